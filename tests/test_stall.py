"""`search.patience`: how long a search has found nothing better, and what one more may gain."""

import numpy as np
import optuna
import pytest

from hpsearch.legs import LEG
from hpsearch.plan import End
from hpsearch.space import Parameter, Space
from hpsearch.stall import trials_since_best
from hpsearch.strategies.expectation import expected_improvement
from hpsearch.testing.simulated import SimulatedSearch
from hpsearch.testing.simulation import Point

X = Parameter("x", "float", 0.5, low=0.0, high=1.0)
COMPLETE, PRUNED, FAIL = (optuna.trial.TrialState[name] for name in ("COMPLETE", "PRUNED", "FAIL"))


def study_of(*trials, directions=("minimize",)):
    """Trials are their values, or (state, epochs' values)."""
    study = optuna.create_study(directions=directions)
    for each in trials:
        state, values, epochs = COMPLETE, each, {}
        if isinstance(each, tuple) and isinstance(each[0], optuna.trial.TrialState):
            state, values, epochs = each[0], None, dict(enumerate(each[1], start=1))
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=None if values is None else np.atleast_1d(values).tolist(),
                intermediate_values=epochs,
            )
        )
    return study.get_trials()


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([], 0),
        ([1.0], 0),
        ([3.0, 1.0, 2.0, 1.0], 2),
        ([3.0, 1.0, (FAIL, []), 2.0, (PRUNED, [4.0])], 2),
        ([3.0, 1.0, 2.0, (PRUNED, [4.0, 0.5]), (FAIL, [])], 0),
    ],
)
def test_trials_after_the_best_are_counted(trials, expected):
    assert trials_since_best(study_of(*trials), {"loss": "minimize"}) == expected


def test_of_several_objectives_any_step_of_the_front_counts():
    trials = study_of((1.0, 1.0), (2.0, 2.0), (3.0, 1.5), (2.5, 0.5), directions=("minimize", "maximize"))
    objectives = {"loss": "minimize", "accuracy": "maximize"}
    assert [trials_since_best(trials[:most], objectives) for most in (1, 2, 3, 4)] == [0, 0, 1, 2]


def test_of_several_objectives_trials_that_paused_count_with_what_they_have_shown():
    study = optuna.create_study(directions=["minimize", "maximize"])
    objectives = {"loss": "minimize", "tflite_accuracy": "maximize"}

    def add(vector, constraints=None, state=PRUNED):
        record = {"until": 1, "values": {"1": vector} if vector else {}, "spans": [], "paused": None}
        record |= {"constraints": {"1": constraints}} if constraints else {}
        study.add_trial(optuna.trial.create_trial(state=state, user_attrs={LEG: record}))
        return trials_since_best(study.get_trials(), objectives)

    assert add([1.0, 1.0]) == 0
    assert add([2.0, 0.5]) == 1
    assert add([0.5, 0.1], {"c": 0.1}) == 2  # infeasible
    assert add([0.5, None, 0.1]) == 3  # one objective is not known
    assert add([0.1, 9.9], state=FAIL) == 3
    assert add(None) == 3  # not trained
    assert add([0.9, 0.8]) == 0


class Hill:
    space = Space((X,))

    def declare(self, ask):
        return {"x": ask(X)}

    def curve(self, params):
        return [Point({"score": -((params["x"] - 0.4) ** 2) - 1.0 / epoch}) for epoch in range(1, 10)]


@pytest.mark.parametrize("strategy", ["random", "bayesian", "asha"])
def test_a_search_ends_when_it_finds_nothing_better(strategy):
    search = SimulatedSearch(Hill(), Hill.space, strategy, "score", 9, patience=6, slots=2)
    assert search.run() is End.PATIENCE
    trials = search.study.get_trials()
    assert 6 <= trials_since_best(trials, {"score": "maximize"}) <= 7  # another one was running
    assert all(trial.state.is_finished() for trial in trials)
    assert search.study.best_trial.state is COMPLETE


def test_a_search_of_several_objectives_ends_when_the_front_does_not_move():
    curves = Hill()
    curves.curve = lambda params: [
        Point({"score": -((params["x"] - 0.4) ** 2) - 1.0 / epoch, "parameters": 1.0})
        for epoch in range(1, 10)
    ]
    search = SimulatedSearch(
        curves, Hill.space, "asha", "score", 9, patience=6, others={"parameters": "minimize"}
    )
    assert search.run() is End.PATIENCE
    assert trials_since_best(search.study.get_trials(), {"score": "maximize", "parameters": "minimize"}) >= 6


def test_little_is_expected_where_all_was_tried():
    study = optuna.create_study()
    expected = []
    for values in ([0.0, 0.1, 0.2, 0.9, 1.0], [0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8]):
        for x in values:
            study.enqueue_trial({"x": x})
            trial = study.ask()
            study.tell(trial, (trial.suggest_float("x", 0.0, 1.0) - 0.4) ** 2)
        expected.append(expected_improvement(study, Hill.space, 9))
    assert expected[0] > 0.005
    assert 0.0 <= expected[1] < expected[0] / 4


def test_nothing_is_expected_of_few_trials_or_several_objectives():
    assert expected_improvement(optuna.create_study(), Hill.space, 9) is None
    assert expected_improvement(optuna.create_study(directions=["minimize"] * 2), Hill.space, 9) is None
