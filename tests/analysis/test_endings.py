"""What is said of trials that ended early, and of those next to the best."""

from dataclasses import replace
from types import SimpleNamespace

from hpsearch.analysis.endings import endings, near_the_best
from hpsearch.space import Parameter, Space
from hpsearch.trial import TrialState
from hpsearch.trial_view import TrialView

COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED
EXPERIMENT = "training: {epochs: 9, early_stopping: {patience: 2}}"


RATE = Parameter("rate", "float", 0.01, low=1e-6, high=1.0, sampling="log")
UNITS = Parameter("units", "int", 8, low=8, high=64)


def trial(number, state, epochs, value, params=None):
    values = (value,) if state is COMPLETE else ()
    return TrialView(number, state, params or {}, values, {"val_f1": value}, epochs, epochs, 1.0, None)


def study(trials, experiment=EXPERIMENT, strategy="optuna: tpe, median pruner", metric="val_f1"):
    ranking = sorted((t for t in trials if t.state is COMPLETE), key=lambda t: -t.values[0])
    return SimpleNamespace(
        trials=trials,
        ranking=ranking,
        experiment=experiment,
        objectives={metric: "maximize"},
        facts={"strategy": strategy, "space": Space((RATE, UNITS)).to_json()},
    )


def test_pruned_trials_are_told_and_that_slow_ones_are_among_them():
    trials = [trial(0, COMPLETE, 9, 0.9), *(trial(n, PRUNED, 1, n / 10) for n in range(1, 5))]
    (said,) = endings(study(trials))
    assert said == (
        "4 trials were pruned: others were better after as many epochs, 4 of them after their first epoch. "
        "The best of them was trial 4, which had reached 0.4000 by epoch 1. Settings that begin slowly end "
        "so, too, whatever they might become: a pruner's `n_warmup_steps` gives them time."
    )
    (said,) = endings(study(trials, strategy="asha: tpe"))
    assert said.endswith("by epoch 1.")


def test_trials_that_no_longer_improved_are_told():
    trials = [trial(0, COMPLETE, 9, 0.9), trial(1, COMPLETE, 4, 0.8), trial(2, COMPLETE, 5, 0.7)]
    assert list(endings(study(trials))) == [
        "2 of 3 complete trials ended before their last epoch, because they had not improved for 2 "
        "epochs (`early_stopping`). Where values go up and down, a longer `patience` may find more."
    ]
    trials += [trial(number, COMPLETE, 9, 0.5) for number in range(3, 8)]
    (said,) = endings(study(trials))
    assert said.endswith("(`early_stopping`).")
    assert not list(endings(study(trials, experiment="training: {epochs: 9}")))
    assert not list(endings(study(trials, experiment="")))
    shorter = [replace(each, params={"epochs": each.epochs}) for each in trials]  # as they were to be
    assert not list(endings(study(shorter)))


def test_a_trial_next_to_the_best_shows_how_much_a_result_may_move():
    best = trial(0, COMPLETE, 9, 0.90, {"rate": 0.01, "units": 8})
    second = trial(1, COMPLETE, 9, 0.89, {"rate": 0.02, "units": 16})
    near = trial(2, COMPLETE, 9, 0.80, {"rate": 0.02, "units": 8})
    same = trial(3, COMPLETE, 9, 0.70, {"rate": 0.01, "units": 8})
    assert near_the_best(study([best, second, near])) == (
        "Trial 2 differs from trial 0 in `rate` alone (0.02 instead of 0.01), and is 0.1000 behind: "
        "by that setting, or by chance, and then the first places are a matter of luck."
    )
    assert near_the_best(study([best, second, same])) == (
        "Trial 3 has the settings of trial 0, and is 0.2000 behind: so much is chance."
    )
    stopped = trial(2, COMPLETE, 4, 0.80, {"rate": 0.02, "units": 8})
    said = near_the_best(study([best, second, stopped]))
    assert "by that setting, because it ended too early (at epoch 4, trial 0 at 9), or by chance" in said
    for params in (
        {"rate": 0.02, "units": 32},
        {"rate": 0.5, "units": 8},
        {"rate": 0.01, "units": 8, "x": 1},
    ):
        assert near_the_best(study([best, second, trial(2, COMPLETE, 9, 0.80, params)])) is None
    assert near_the_best(study([best, second])) is None
