"""`search.patience` and `min_improvement`: a search has found nothing better, and expects nothing better."""

import re

import numpy as np
import optuna
import pytest

import hpsearch
from hpsearch.checking import _check_improvement
from hpsearch.errors import ExperimentError
from hpsearch.experiment import Experiment
from hpsearch.legs import LEG
from hpsearch.listener import Listener
from hpsearch.plan import End
from hpsearch.space import Condition, Parameter, Space, trial_values
from hpsearch.stall import trials_since_best
from hpsearch.strategies.expectation import FEWEST_TRIALS, IN_A_ROW, SETTLED_TRIALS, Expectation
from hpsearch.testing.simulated import SimulatedSearch
from hpsearch.testing.simulation import Point
from hpsearch.testing.trials import overlapping, small

X = Parameter("x", "float", 0.5, low=0.0, high=1.0)
SPAN = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
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
        expected.append(Expectation(Hill.space, 9).improvement(study))
    assert expected[0] > 0.005
    assert 0.0 <= expected[1] < expected[0] / 4
    assert Expectation(Hill.space, 9).improvement(study, before=5) == expected[0]


def test_nothing_is_expected_of_few_trials_several_objectives_or_no_space():
    study = optuna.create_study()
    expectation = Expectation(Hill.space, 9)
    for number in range(FEWEST_TRIALS):
        assert expectation.improvement(study) is None
        study.add_trial(optuna.trial.create_trial(params={"x": number / 9}, distributions=SPAN, value=1.0))
    assert expectation.improvement(study) is not None
    assert Expectation(Space(()), 9).improvement(study) is None
    assert expectation.improvement(optuna.create_study(directions=["minimize"] * 2)) is None


# === search.min_improvement ===


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(
    ("strategy", "least"), [("random", 1e-3), ("bayesian", 1e-3), ("optuna", 1e-3), ("asha", 1e-2)]
)
def test_a_search_ends_when_little_is_expected(strategy, least, slots):
    """Of trials that paused less is known at full length: `asha` is sure of 0.001 much later."""
    storage = optuna.storages.InMemoryStorage()
    search = SimulatedSearch(
        Hill(), Hill.space, strategy, "score", 9, min_improvement=least, slots=slots, storage=storage
    )
    assert search.run() is End.IMPROVEMENT
    expectation = Expectation(Hill.space, 9)
    trials = search.study.get_trials()
    assert SETTLED_TRIALS <= len(trials) < 80
    assert all(trial.state.is_finished() for trial in trials)
    assert expectation.is_settled(search.study, least)
    assert expectation.improvement(search.study) < least
    assert search.study.best_value > -1 / 9 - least  # the best there is, as was expected
    assert search.run() is End.IMPROVEMENT  # the study alone says so
    assert len(search.study.get_trials()) == len(trials)


def test_a_search_that_was_interrupted_ends_with_the_same_trial():
    def search(**budget):
        return SimulatedSearch(Hill(), Hill.space, "random", "score", 9, min_improvement=2e-5, **budget)

    plain = search()
    assert plain.run() is End.IMPROVEMENT
    storage = optuna.storages.InMemoryStorage()
    for most in (7, SETTLED_TRIALS + 1):
        assert search(storage=storage, trials=most).run() is End.TRIALS
    again = search(storage=storage)
    assert again.run() is End.IMPROVEMENT
    assert [t.params for t in again.study.get_trials()] == [t.params for t in plain.study.get_trials()]
    assert len(plain.study.get_trials()) > SETTLED_TRIALS + 1


class _Expecting(Expectation):
    """Expects what it is told to, by the number of trials."""

    def __init__(self, expected, space=Hill.space):
        super().__init__(space, 9)
        self.expected = expected

    def improvement(self, study, *, before=None):
        return self.expected[len(study.get_trials()) if before is None else before]


def _study_of(count):
    study = optuna.create_study()
    for number in range(count):
        study.add_trial(
            optuna.trial.create_trial(params={"x": number / count}, distributions=SPAN, value=1.0)
        )
    return study


def test_one_low_expectation_settles_nothing():
    count = SETTLED_TRIALS + 10
    low = [1.0] * (count - IN_A_ROW + 1) + [0.1] * IN_A_ROW
    assert _Expecting(low).is_settled(_study_of(count), 0.2)
    for one in range(1, IN_A_ROW + 1):
        high = [*low]
        high[-one] = 0.2
        assert not _Expecting(high).is_settled(_study_of(count), 0.2)


def test_few_trials_settle_nothing():
    low = [0.0] * 99
    assert not _Expecting(low).is_settled(_study_of(SETTLED_TRIALS - 1), 0.2)
    assert _Expecting(low).is_settled(_study_of(SETTLED_TRIALS), 0.2)
    wide = Space(tuple(Parameter(f"x{i}", "float", 0.5, low=0.0, high=1.0) for i in range(12)))
    assert not _Expecting(low, wide).is_settled(_study_of(23), 0.2)
    assert _Expecting(low, wide).is_settled(_study_of(24), 0.2)


def test_it_is_asked_once_a_trial():
    asked = []

    class Counting(SimulatedSearch):
        def _settled(self, study):
            asked.append(sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False)))
            return False

    search = Counting(Hill(), Hill.space, "random", "score", 9, trials=12, slots=3)
    search.run()
    assert len(asked) <= 12
    assert max(asked) >= 8


class Branches:
    """A space of which one hyperparameter is active at some values of another only."""

    space = Space(
        (
            Parameter("kind", "choice", "a", values=("a", "b")),
            Parameter("x", "float", 0.5, low=0.0, high=1.0, conditions=(Condition("kind", ("b",)),)),
        )
    )

    def declare(self, ask):
        kind, x = self.space.parameters
        values = {"kind": ask(kind)}
        return values if values["kind"] == "a" else values | {"x": ask(x)}

    def curve(self, params):
        score = -0.5 if params["kind"] == "a" else -((params["x"] - 0.4) ** 2)
        return [Point({"score": score - 1.0 / epoch}) for epoch in range(1, 10)]


def test_a_conditional_space_is_settled_too():
    search = SimulatedSearch(Branches(), Branches.space, "random", "score", 9, min_improvement=1e-3)
    assert search.run() is End.IMPROVEMENT
    assert trial_values(search.study.best_trial)["kind"] == "b"


@pytest.mark.slow
def test_a_search_says_what_it_expects(tmp_path):
    class Told(Listener):
        messages = []

        def on_message(self, text):
            self.messages.append(text)

    experiment = Experiment(
        name="settled",
        model=small,
        data=overlapping(),
        objective="val_accuracy",
        search={"strategy": "random", "min_improvement": 0.9},
        training={"epochs": 1},
        resources={"executor": "inline"},
        tracking={"uri": f"sqlite:///{tmp_path}/mlflow.db", "report": False},
        workdir=str(tmp_path),
    )
    study = hpsearch.search(experiment, listener=Told())
    assert len(study.trials) == SETTLED_TRIALS
    (said,) = [text for text in Told.messages if "expected" in text]
    assert re.fullmatch(
        r"The most promising point is expected to better `val_accuracy` by 0\.\d+, less than "
        r"`min_improvement` 0\.9, so no more begin\.",
        said,
    )


@pytest.mark.parametrize(
    ("objective", "space", "message"),
    [
        (
            ["val_accuracy", "val_loss"],
            Hill.space,
            r"search\.min_improvement: how much a trial may improve is a number of one objective; expected "
            r"one objective; received val_accuracy, val_loss\. `patience` counts",
        ),
        ("val_loss", Space(()), r"search\.min_improvement: there is no hyperparameter that could improve"),
    ],
)
def test_what_no_process_can_expect_is_refused(objective, space, message):
    experiment = Experiment(
        name="e", model=small, data=overlapping(), objective=objective, search={"min_improvement": 0.1}
    )
    with pytest.raises(ExperimentError, match=message):
        _check_improvement(experiment, space)
