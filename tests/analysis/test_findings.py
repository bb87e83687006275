"""What matters, and what to keep."""

from types import SimpleNamespace

import optuna
import pytest

from hpsearch.analysis.findings import findings
from hpsearch.analysis.importance import importances
from hpsearch.analysis.shown import shown
from hpsearch.space import Parameter, Space
from hpsearch.trial import TrialState
from hpsearch.trial_view import TrialView


def _study(function, trials=60):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(function, n_trials=trials)
    return study


def test_what_decides_has_most_of_the_importance():
    def cost(trial):
        decides, idle = trial.suggest_float("decides", 0, 1), trial.suggest_float("idle", 0, 1)
        return (decides - 0.3) ** 2 + 1e-6 * idle

    found = importances(_study(cost))
    assert list(found) == ["decides", "idle"]
    assert found["decides"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_a_hyperparameter_of_a_branch_is_judged_where_it_is():
    def cost(trial):
        kind = trial.suggest_categorical("kind", ["a", "b"])
        always = trial.suggest_float("always", 0, 1)
        own = (trial.suggest_float("own", 0, 1) - 0.5) ** 2 if kind == "b" else 0.3
        return own + 1e-3 * always

    found = importances(_study(cost, 120))
    assert set(found) == {"kind", "always", "own"}
    assert found["own"] > found["always"]


def test_few_trials_say_nothing():
    assert importances(_study(lambda trial: trial.suggest_float("x", 0, 1), 9)) == {}


def test_every_hyperparameter_is_spoken_of(searched):
    shares = importances(shown(searched))
    found = findings(searched, shares)
    assert [each.name for each in found.hyperparameters] == list(shares)
    assert {each.name for each in found.hyperparameters} == {"learning_rate", "units", "activation"}
    best = searched.best[0]
    for each in found.hyperparameters:
        assert each.best == best.params[each.name]
    activation = next(each for each in found.hyperparameters if each.name == "activation")
    assert activation.good == "relu (all 5)"
    assert "relu" in activation.advice
    assert set(activation.searched.split(", ")) == {"relu", "tanh"}
    later = sum(trial.number > best.number for trial in searched.trials)
    assert f"The best trial was number {best.number}; the {later} after it" in found.progress


def test_a_best_value_at_the_end_of_its_range(tmp_path):
    from hpsearch.space import Override
    from hpsearch.testing.searching import ToySearch

    overrides = {"learning_rate": Override(low=1e-4, high=2e-3, log=True), "units": Override(values=(64,))}
    search = ToySearch(tmp_path / "s", "optuna", trials=30, overrides=overrides)
    search.run()
    study = search.study
    declared = study.facts["space"]  # the toy's probe knows no overrides
    assert '"max_value": 0.1' in declared
    found = findings(study, importances(shown(study)))
    assert found.fixed == {"units": 64}
    rate = next(each for each in found.hyperparameters if each.name == "learning_rate")
    assert rate.best > 1e-3


def _looked_at(params, *, declared=(), epochs=10, best_epoch=5):
    """Returns what is found of complete trials with these hyperparameters, the best first."""
    trials = tuple(
        TrialView(n, TrialState.COMPLETE, each, (1.0 - n / 100,), {}, epochs, best_epoch, 1.0, None)
        for n, each in enumerate(params)
    )
    return findings(_as_study(trials, trials, Space(tuple(declared)).to_json()), {})


def _as_study(ranking, trials, space="[]"):
    return SimpleNamespace(
        ranking=ranking,
        trials=trials,
        best=ranking[:1],
        objectives={"val_r2": "maximize"},
        facts={"space": space},
    )


RATE = Parameter("dropout", "float", 0.0, low=0.0, high=0.5)
UNITS = Parameter("units", "int", 64, low=16, high=256)


@pytest.mark.parametrize(
    ("declared", "values", "advice"),
    [
        (
            RATE,
            [0.0, 0.0, 0.0, 0.3],
            "Perhaps 0: all of the best have it, but only 1 of 1 with another are complete.",
        ),
        (RATE, [0.0] * 3 + [0.1, 0.2, 0.3], "Keep 0 for now: all of the best trials have it."),
        (RATE, [0.0, 0.1, 0.0, 0.3], "Leave it as it is: the trials are too few to tell."),
        (
            RATE,
            [0.5, 0.49, 0.1, 0.3],
            "Try values above 0.5, too: most of the best are at that end of the range.",
        ),
        (UNITS, [256, 32, 64, 128], "Leave it as it is: the trials are too few to tell."),
        (
            UNITS,
            [16, 16, 64, 128],
            "Try values below 16, too: most of the best are at that end of the range.",
        ),
    ],
)
def test_few_trials_give_advice_where_the_best_agree(declared, values, advice):
    found = _looked_at([{declared.name: value} for value in values], declared=[declared])
    assert [each.advice for each in found.hyperparameters] == [advice]


def test_best_at_the_last_epochs_is_too_short():
    params = [{"units": 16}, {"units": 32}]
    assert _looked_at(params).short is None
    assert _looked_at(params, epochs=2, best_epoch=2).short is None
    assert _looked_at(params, best_epoch=10).short == (
        "All of the best 2 trials were at their best in the last epoch of their 10: more epochs may help."
    )


def test_values_that_are_always_together_cannot_be_told_apart():
    params = [{"a": 1, "b": True, "c": number % 2} for number in range(4)]
    params += [{"a": 2, "b": False, "c": number % 2} for number in range(4)]
    assert _looked_at(params).together == (
        "The complete trials nearly always have a=1, b=True together, so that which of them makes the "
        "difference cannot be told."
    )
    params[4]["b"] = params[5]["b"] = True
    assert _looked_at(params).together is None


def test_what_the_second_half_of_the_trials_brought_is_told():
    def said(*values):
        trials = [
            TrialView(n, TrialState.COMPLETE, {"x": n}, (value,), {}, 9, 5, 1.0, None)
            for n, value in enumerate(values)
        ]
        return findings(_as_study(sorted(trials, key=lambda trial: -trial.values[0]), trials), {}).progress

    early = [0.1, 0.5, 0.2, 0.3, 0.4]
    assert said(*early, 0.1, 0.9, 0.1, 0.1, 0.2).endswith(
        "The second half of the trials improved the best result by 0.4000."
    )
    assert said(*early, 0.1, 0.3, 0.1, 0.1, 0.2).endswith(
        "The second half of the trials brought nothing better."
    )
    assert "second half" not in said(*early)


def test_few_trials_after_the_best_that_ran_to_their_end_say_nothing():
    trials = [
        TrialView(0, TrialState.COMPLETE, {"x": 1}, (0.9,), {}, 9, 5, 1.0, None),
        *(TrialView(n, TrialState.PRUNED, {"x": n}, (), {}, 1, 1, 1.0, None) for n in range(1, 9)),
    ]
    study = _as_study(trials[:1], trials)
    assert findings(study, {}).progress == (
        "The best trial was number 0; the 8 after it, of which 0 ran to their end, were no better: too few "
        "to say whether the search has found what there is."
    )


def test_nothing_is_found_where_nothing_is_complete(tmp_path):
    from hpsearch.errors import SearchError
    from hpsearch.testing.searching import ToySearch

    search = ToySearch(tmp_path / "s", trials=3, max_failures_in_a_row=2, toy={"fail_every": 1})
    with pytest.raises(SearchError):
        search.run()
    assert findings(search.study, {}) is None
