"""Asynchronous successive halving: who goes on, what it costs, and that a killed search loses nothing."""

from collections import Counter

import optuna
import pytest

from hpsearch import strategies
from hpsearch.driver import End
from hpsearch.errors import StrategyError
from hpsearch.experiment_search import StrategySection
from hpsearch.legs import LEG, Promotion, Reached, begin_leg, end_leg, last_reached, read_leg
from hpsearch.listener import Listener
from hpsearch.space import Parameter, Space
from hpsearch.strategies import Context
from hpsearch.testing.searching import ToySearch
from hpsearch.testing.simulated import SimulatedSearch
from hpsearch.testing.simulation import Point
from hpsearch.trial import TrialState

X = Parameter("x", "float", 0.5, low=0.0, high=1.0)


class Slopes:
    """Trials whose accuracy rises to `x`, in 27 epochs of one second."""

    def declare(self, ask):
        return {"x": ask(X)}

    def curve(self, params):
        return [Point({"accuracy": params["x"] * (1 - 0.5**epoch)}) for epoch in range(1, 28)]


RANDOM = {"name": "asha", "sampler": "random"}
TWO = ("maximize", "minimize")


def simulate(strategy=RANDOM, **changes):
    search = SimulatedSearch(Slopes(), Space((X,)), strategy, metric="accuracy", epochs=27, **changes)
    return search, search.run()


def create(context=None, **section):
    section = StrategySection(name="asha", **section)
    return strategies.create(section, context or Context(Space((X,)), ("maximize",), epochs=27))


def test_one_of_three_goes_on_from_where_it_was():
    search, end = simulate(trials=27)
    assert end is End.TRIALS
    trials = search.study.get_trials()
    # Asynchronous: who was among the best third of the first few has gone on, and may not be any more.
    counts = Counter(len(trial.intermediate_values) for trial in trials)
    assert counts[27] >= 1
    assert counts[1] <= 18
    assert sum(counts.values()) == 27
    assert len(search.moments) == sum(len(trial.intermediate_values) for trial in trials)
    assert {t.state.name for t in trials if len(t.intermediate_values) < 27} == {"PRUNED"}
    assert {t.state.name for t in trials if len(t.intermediate_values) == 27} == {"COMPLETE"}
    best = max(trials, key=lambda trial: trial.params["x"])
    assert search.study.best_trial.number == best.number


def test_a_pruned_trial_keeps_the_last_value_that_it_reached():
    search, _ = simulate(trials=9)
    pruned = [t for t in search.study.get_trials() if t.state.name == "PRUNED"]
    assert pruned
    assert all(t.value == t.intermediate_values[t.last_step] for t in pruned)


@pytest.mark.parametrize("slots", [1, 4, 100])
def test_a_search_is_the_same_every_time_and_no_slot_is_idle(slots):
    first, _ = simulate(trials=200, slots=slots)
    second, _ = simulate(trials=200, slots=slots)
    assert first.moments == second.moments
    begun_last_s = min(m.at_s for m in first.moments if m.trial == 199)
    trained = sum(m.at_s < begun_last_s for m in first.moments)
    assert trained == (int(begun_last_s) - 1) * slots  # while trials begin, every slot trains all the time
    assert len({t.params["x"] for t in first.study.get_trials()}) == 200


def test_the_last_survivor_trains_to_its_end_so_that_there_is_a_model():
    search, end = simulate(trials=2)
    assert end is End.TRIALS
    assert [t.state.name for t in search.study.get_trials()].count("COMPLETE") == 1


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        ({"total_epochs": 60}, End.EPOCHS),
        ({"timeout_s": 60.0}, End.TIME),
        ({"total_compute_s": 60.0}, End.COMPUTE),
    ],
)
def test_a_spent_budget_promotes_nobody_once_there_is_a_model(budget, why):
    search, end = simulate(**budget)
    assert end is why
    complete = [t for t in search.study.get_trials() if t.state.name == "COMPLETE"]
    assert complete
    late = {m.trial for m in search.moments if m.cost > 60 + 27}
    assert len(late) <= 1  # the one that was rescued


def test_brackets_pause_for_the_first_time_at_different_rungs():
    strategy = create(options={"brackets": 3})
    firsts = Counter(strategy.schedule.first(number) for number in range(600))
    assert set(firsts) == {1, 3, 9}
    assert firsts[1] > firsts[3] > firsts[9] > 30
    search, _ = simulate({**RANDOM, "options": {"brackets": 3}}, trials=60)
    assert {len(t.intermediate_values) for t in search.study.get_trials()} >= {1, 3, 9, 27}


@pytest.mark.parametrize("sampler", [None, {"name": "tpe", "n_startup_trials": 10}])
def test_a_model_learns_from_paused_trials(sampler):
    """Random proposals would have the mean 0.5 with a standard error of 0.05."""
    search, _ = simulate({"name": "asha", "sampler": sampler}, trials=40)
    later = [t.params["x"] for t in search.study.get_trials()[10:]]
    assert sum(later) / len(later) > 0.7
    assert len(set(later)) == len(later)


def _study(values, directions=("maximize",)):
    """Holds trials that have paused at the first rung with these values; None runs.

    A dictionary is a trial that is so far beyond the constraints on what is known there.
    """
    study = optuna.create_study(directions=directions)
    for value in values:
        trial = study.ask()
        begin_leg(trial, 1)
        vector, constraints = (
            value if isinstance(value, tuple) and isinstance(value[-1], dict) else (value, {})
        )
        if vector is not None:
            reached = Reached(vector if isinstance(vector, tuple) else (vector,), constraints)
            end_leg(trial, {}, reached, (0.0, 1.0))
    return study


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([0.5, 0.4], None),
        ([0.5, 0.4, None], None),
        ([0.5, 0.4, 0.6], 2),
        ([0.5, 0.5, 0.4], 0),  # of equals the earlier
        ([0.1, 0.2, 0.3, 0.4, 0.5], 4),
    ],
)
def test_who_is_promoted(values, expected):
    promotion = create().schedule.promote(_study(values).get_trials())
    assert promotion == (None if expected is None else Promotion(expected, 3))


def test_who_was_promoted_and_who_failed():
    study = _study([0.5, 0.4, 0.6])
    schedule = create().schedule
    begin_leg(optuna.trial.Trial(study, 2), 3)
    assert schedule.promote(study.get_trials()) is None  # it keeps its place among the best third
    study.tell(2, state=optuna.trial.TrialState.FAIL)
    assert schedule.promote(study.get_trials()) is None  # two are left, of which none is a third
    assert schedule.rescue(study.get_trials()) == Promotion(0, 3)


@pytest.mark.parametrize(
    ("section", "epochs", "message"),
    [
        ({"options": {"reduction_factor": 1}}, 27, r"reduction_factor: is too low.*at least 2.*received 1"),
        ({"options": {"min_resource": 0}}, 27, r"min_resource: is too low"),
        (
            {"options": {"min_resource": 30}},
            27,
            r"nothing to halve.*below the 27 epochs.*a first rung at epoch 30",
        ),
        ({"options": {"brackets": 4}}, 27, r"options\.brackets: there is nothing to halve.*At most 3 fit"),
        ({}, 1, r"nothing to halve.*training\.epochs"),
        ({"options": {"max_t": 3}}, 27, r"options\.max_t: strategy `asha` has no such option"),
        ({"pruner": "median"}, 27, r"pruner: strategy `asha` decides itself"),
        ({"sampler": {"name": "bayesian", "beta": 1}}, 27, r"sampler\.beta: sampler `bayesian` has no such"),
    ],
)
def test_what_cannot_be_is_refused(section, epochs, message):
    with pytest.raises(Exception, match=f"(?s){message}"):
        create(Context(Space((X,)), epochs=epochs), **section)


def test_the_process_of_bayesian_has_one_objective():
    with pytest.raises(StrategyError) as error:
        create(Context(Space((X,)), TWO, epochs=9), sampler="bayesian")
    assert str(error.value) == (
        "search.strategy.sampler: sampler `bayesian` has one objective; received 2 objectives. "
        "Use `tpe` or `nsgaii`."
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(0.5, 9.0), (0.4, 8.0), (0.6, 7.0)], 2),  # beats both
        ([(0.5, 9.0), (0.4, 8.0), (0.3, 7.0)], 0),  # one front: the best by the first objective
        ([(0.5, 9.0), (0.4, 8.0), (0.3, 7.0), (0.2, 9.5), (0.1, 9.5), (0.2, 9.1)], 0),
        ([(None, 9.0, 0.4), (None, 9.0, 0.3), (None, 9.5, 0.2)], 1),  # a loss stands in for the first
        ([(None, 9.0, 0.4), (None, 8.0, 0.4), (None, 9.5, 0.4)], 1),
    ],
)
def test_who_is_promoted_by_several_objectives(values, expected):
    schedule = create(Context(Space((X,)), TWO, epochs=27)).schedule
    assert schedule.promote(_study(values, TWO).get_trials()) == Promotion(expected, 3)


def test_the_two_of_a_front_that_lie_farthest_apart_go_on_before_what_is_between_them():
    study = _study([(0.5, 9.0), (0.4, 8.0), (0.1, 1.0), (0.2, 9.5), (0.1, 9.5), (0.2, 9.1)], TWO)
    schedule = create(Context(Space((X,)), TWO, epochs=27)).schedule
    for expected in (0, 2):
        assert schedule.promote(study.get_trials()) == Promotion(expected, 3)
        begin_leg(optuna.trial.Trial(study, expected), 3)
    assert schedule.promote(study.get_trials()) is None
    assert schedule.rescue(study.get_trials()) == Promotion(1, 3)


@pytest.mark.parametrize("several", [False, True])
def test_whoever_breaks_a_constraint_comes_after_all_others(several):
    constraints = [{"c": 0.5}, {"c": 0.1}, {"c": -1.0}, {"c": 0.2, "d": 0.2}, {}, {"c": 0.1}]
    values = [0.9, 0.8, 0.1, 0.7, 0.2, 0.6]
    vectors = [
        ((value, 1.0) if several else value, broken)
        for value, broken in zip(values, constraints, strict=True)
    ]
    directions = TWO if several else TWO[:1]
    study = _study(vectors, directions)
    schedule = create(Context(Space((X,)), directions, epochs=27)).schedule
    order = []
    for _ in vectors:
        promotion = schedule.rescue(study.get_trials())
        order.append(promotion.trial)
        study.tell(promotion.trial, state=optuna.trial.TrialState.FAIL)
    assert order == [4, 2, 1, 5, 3, 0]


def test_a_leg_of_an_earlier_version_is_read():
    study = _study([0.5, 0.4, 0.6])
    trial = optuna.trial.Trial(study, 0)
    trial.set_user_attr(LEG, {"until": 3, "values": {"1": 0.5, "3": 0.7}, "spans": [[0, 1]], "paused": {}})
    assert read_leg(trial).reached == {1: Reached((0.5,)), 3: Reached((0.7,))}
    assert last_reached(study.trials[0]) == Reached((0.7,))
    assert create().schedule.rescue(study.get_trials()) == Promotion(0, 9)


class Sizes:
    """Trials whose accuracy rises to `x` and whose number of parameters is what `x` costs, or more."""

    space = Space((X, Parameter("waste", "float", 0.5, low=0.0, high=1.0)))

    def declare(self, ask):
        return {parameter.name: ask(parameter) for parameter in self.space.parameters}

    def curve(self, params):
        size = 100 * params["x"] + 100 * params["waste"]
        return [
            Point({"accuracy": params["x"] * (1 - 0.5**epoch), "parameters": size}) for epoch in range(1, 28)
        ]


def sizes(sampler=None, **changes):
    strategy = {"name": "asha", **({"sampler": sampler} if sampler else {})}
    search = SimulatedSearch(
        Sizes(), Sizes.space, strategy, "accuracy", 27, others={"parameters": "minimize"}, **changes
    )
    search.run()
    return search


@pytest.mark.parametrize(
    "sampler", [None, "random", {"name": "nsgaii", "population_size": 5}, "nsgaiii", "qmc"]
)
def test_of_several_objectives_few_trials_are_trained_to_their_end(sampler):
    search = sizes(sampler, trials=60, slots=2)
    trials = search.study.get_trials()
    assert Counter(t.state.name for t in trials).keys() == {"COMPLETE", "PRUNED"}
    trained = Counter(m.trial for m in search.moments)
    assert Counter(trained.values()).keys() <= {1, 3, 9, 27}
    assert len(search.moments) == sum(trained.values()) < 60 * 8  # none twice
    assert {t.number for t in trials if t.state.name == "COMPLETE"} == {
        n for n in trained if trained[n] == 27
    }
    assert sizes(sampler, trials=60, slots=2).moments == search.moments


def test_those_that_waste_nothing_go_on():
    search = sizes("random", trials=81)
    waste = {t.number: t.params["waste"] for t in search.study.get_trials()}
    complete = [waste[t.number] for t in search.study.best_trials]
    assert sum(complete) / len(complete) < 0.2 < sum(waste.values()) / len(waste)


@pytest.mark.parametrize("sampler", ["tpe", {"name": "nsgaii", "population_size": 5}])
def test_a_sampler_of_several_objectives_learns_from_paused_trials(sampler):
    """Random proposals would have the mean 0.5 with a standard error of 0.03."""
    later = [t.params["waste"] for t in sizes(sampler, trials=120).study.get_trials()[20:]]
    assert sum(later) / len(later) < 0.38


def test_epochs_of_paused_trials_count_to_the_budget():
    search = sizes(total_epochs=100)
    assert 100 <= len(search.moments) < 130


SEVERAL = {"strategy": "asha", "objectives": {"val_accuracy": "maximize", "parameters": "minimize"}}


def toy(path, **changes):
    return ToySearch(path, **{"strategy": RANDOM, "trials": 18, "toy": {"epochs": 9}, **changes})


@pytest.mark.parametrize(("slots", "changes"), [(1, {}), (3, {}), (1, SEVERAL), (3, SEVERAL)])
def test_each_epoch_is_trained_once_in_one_run_a_trial(tmp_path, slots, changes):
    search = toy(tmp_path / "s", slots=slots, **changes)
    assert search.run() is End.TRIALS
    trials = search.study.trials
    states = Counter(t.state for t in trials)
    assert states[TrialState.COMPLETE] >= 1
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == 18
    for trial in trials:
        trained = (search.folder.trial(trial.number) / "trained.txt").read_text().split()
        assert trained == [str(epoch) for epoch in range(1, trial.epochs + 1)]
        assert not list(search.folder.trial(trial.number).glob("state*"))  # the search has ended
    runs = search.tracker.view.runs
    assert sorted(runs) == list(range(18))
    assert {run.status for run in runs.values()} == {"FINISHED"}
    for trial in trials:
        assert [epoch for epoch, _ in runs[trial.number].series["val_accuracy"]] == [
            *range(1, trial.epochs + 1)
        ]
    assert search.study.best[0].state is TrialState.COMPLETE


class _Stop(Listener):
    """Interrupts the search, as Ctrl-C does, after so many epochs."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch(self, number, epoch):
        import os
        import signal

        self.epochs -= 1
        if self.epochs == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("changes", [{}, SEVERAL], ids=["one objective", "two objectives"])
def test_a_search_interrupted_anywhere_goes_on_as_if_it_had_not_been(tmp_path, changes):
    plain = toy(tmp_path / "plain", **changes)
    plain.run()
    search = toy(tmp_path / "s", checkpoints={"keep": "best 1"}, **changes)
    for epochs in (1, 7, 20, 10):
        assert search.run(_Stop(epochs)) is End.INTERRUPTED
        assert search.study.state == "interrupted"
    paused = [t.number for t in search.study.trials if t.paused]
    assert paused
    assert all((search.folder.trial(n) / "state.npz").exists() for n in paused)  # retention leaves them
    assert search.run() is End.TRIALS
    assert search.points() == plain.points()
    assert [(t.state, t.epochs, t.values) for t in search.study.trials] == [
        (t.state, t.epochs, t.values) for t in plain.study.trials
    ]
    assert search.run() is End.TRIALS  # nothing is left to do


def test_more_trials_may_be_asked_for_later(tmp_path):
    search = toy(tmp_path / "s")
    search.run()
    search.trials = 24
    assert search.run() is End.TRIALS
    assert len(search.study.trials) == 24
    assert all(t.finished for t in search.study.trials)
