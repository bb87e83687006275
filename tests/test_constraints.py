"""`search.constraints`: how they are read, when they are met, and what a search makes of them."""

from collections import Counter

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState

from hpsearch.constraints import check_constraints, constraints_of, require, violations
from hpsearch.driver import End
from hpsearch.errors import ExperimentError, ObjectiveError, SearchError, UsageError
from hpsearch.experiment import Experiment
from hpsearch.experiment_constraints import Constraint
from hpsearch.hopeless import MOST_REFUSED
from hpsearch.listener import Listener
from hpsearch.stall import trials_since_best
from hpsearch.strategies.penalty import penalised
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import TrialState


def make(constraints=None, **changes):
    search = {"trials": 3} | ({"constraints": constraints} if constraints is not None else {})
    return Experiment(
        name="e", model="mlp", data="digits", objective="val_accuracy", search=search, **changes
    )


def test_constraints_are_read_and_written_in_one_form():
    experiment = make([" parameters<=1e5 ", "val_accuracy  >= 0.90", "tflite_size_kib < 100"])
    assert experiment.search.constraints == (
        "parameters <= 100000",
        "val_accuracy >= 0.9",
        "tflite_size_kib < 100",
    )
    assert make("loss > -1").search.constraints == ("loss > -1",)
    assert constraints_of(experiment)[1] == Constraint("val_accuracy", ">=", 0.9)


def test_constraints_survive_a_file(tmp_path):
    file = tmp_path / "e.yaml"
    file.write_text(make(["parameters <= 5"]).to_yaml())
    assert Experiment.load(file).search.constraints == ("parameters <= 5",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "parameters",
            r"search\.constraints\[0\]: not a constraint; expected a metric, `<=`, .* 'parameters'",
        ),
        ("parameters = 5", "not a constraint"),
        ("parameters <= many", "not a constraint"),
        ("parameters <= nan", "not a constraint"),
        ("<= 5", "not a constraint"),
        ("1 <= loss <= 2", "not a constraint"),
        ("loss <= 1 KiB", "not a constraint"),
        (["loss <= 1", "loss < 2"], r"two bounds on the same side; .* received loss <= 1, loss < 2"),
        (["loss <= 1", "loss > 1"], "no trial can meet both; .* received loss > 1, loss <= 1"),
        ([5], "wrong type"),
    ],
)
def test_what_is_no_constraint_is_refused(text, message):
    with pytest.raises(ExperimentError, match=message):
        make(text)


def test_bounds_on_both_sides_are_allowed():
    assert make(["loss >= 1", "loss <= 1"]).search.constraints == ("loss >= 1", "loss <= 1")


def test_a_format_of_the_file_is_named_or_the_first_that_is_exported():
    assert make().tflite_format == "float32"
    assert make(export={"formats": ["keras", "int8", "float32"]}).tflite_format == "int8"
    search = {"tflite_format": "float16", "trials": 1}
    assert make().model_copy(update={"search": type(make().search)(**search)}).tflite_format == "float16"
    with pytest.raises(
        ExperimentError, match=r"search\.tflite_format: unknown value; .* Did you mean `int8`"
    ):
        Experiment(name="e", model="mlp", data="digits", objective="loss", search={"tflite_format": "int"})


def test_what_is_constrained_must_not_change_while_a_study_goes_on():
    plain = make().identity()
    assert not {"search.constraints", "search.tflite_format"} & plain.keys()
    assert make(["parameters <= 5"]).identity()["search.constraints"] == '["parameters <= 5"]'
    sized = make(["tflite_size_kib <= 5"], export={"formats": ["int8"]}).identity()
    assert sized["search.tflite_format"] == "int8"  # what the metric is of, though exports may change


@pytest.mark.parametrize(
    ("constraint", "value", "violation"),
    [
        ("parameters <= 100", 150.0, 0.5),
        ("parameters <= 100", 100.0, 0.0),
        ("parameters <= 100", 50.0, -0.5),
        ("val_accuracy >= 0.8", 0.6, 0.25),
        ("val_accuracy >= 0.8", 1.0, -0.25),
        ("loss <= 0", 2.0, 2.0),
        ("r2 >= -2", -3.0, 0.5),
    ],
)
def test_a_violation_is_relative_to_the_bound(constraint, value, violation):
    assert Constraint.parse(constraint).violation(value) == pytest.approx(violation)


def test_a_strict_bound_is_not_met_by_itself():
    assert Constraint.parse("loss < 1").violation(1.0) > 0
    assert Constraint.parse("loss > 1").violation(1.0) > 0
    assert Constraint.parse("loss < 1").violation(0.99) < 0


def test_only_what_is_known_is_judged_and_nan_meets_nothing():
    constraints = constraints_of(make(["parameters <= 100", "val_accuracy >= 0.8"]))
    assert violations(constraints, {"parameters": 50.0}) == {"parameters <= 100": -0.5}
    assert violations(constraints, {"val_accuracy": float("nan")})["val_accuracy >= 0.8"] > 0
    with pytest.raises(
        ObjectiveError, match=r"search\.constraints: training reports no metric `val_accuracy`"
    ):
        require(constraints, {"parameters": 50.0})


def test_a_metric_that_does_not_exist_is_named():
    known = ("loss", "val_accuracy", "parameters")
    check_constraints(make(["parameters <= 5", "val_accuracy > 0"]), known)
    with pytest.raises(
        ObjectiveError, match=r"constraints\[1\]: there is no such metric; .*Did you mean `val_ac"
    ):
        check_constraints(make(["parameters <= 5", "accuracy > 0"]), known)
    with pytest.raises(ObjectiveError, match="Did you mean `parameters`"):
        check_constraints(make(["paramters <= 5"]), known)
    check_constraints(make(["mine <= 5"]), known, any_metric=True)


LIMITS = {"most_units": 80, "least_accuracy": 0.8}
STRATEGIES = (
    "random",
    "bayesian",
    "asha",
    "hyperband",
    {"name": "optuna", "sampler": "tpe"},
    {"name": "optuna", "sampler": "nsgaii"},
    {"name": "optuna", "sampler": "nsgaiii"},
    {"name": "optuna", "sampler": "cmaes"},
)


def _states(search):
    return Counter((trial.state, trial.feasible) for trial in search.study.trials)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_trial_that_breaks_a_constraint_is_never_the_best(tmp_path, strategy, recwarn):
    search = ToySearch(tmp_path / "s", strategy, trials=25, toy={**LIMITS, "epochs": 9})
    assert search.run() is End.TRIALS
    for trial in search.study.trials:
        if trial.params["units"] > 80:  # known before it is trained, so it is not
            assert (trial.state, trial.epochs, trial.values) == (TrialState.PRUNED, 0, ())
            assert trial.broken == ("units",)
            assert trial.metrics == {"units": trial.params["units"]}
        elif trial.state is TrialState.COMPLETE:
            assert trial.feasible == (trial.values[0] >= 0.8)
        else:
            assert trial.feasible
    ranking = search.study.ranking
    assert [t.feasible for t in ranking] == sorted((t.feasible for t in ranking), reverse=True)
    assert search.study.best == (max((t for t in ranking if t.feasible), key=lambda t: t.values[0]),)
    assert _states(search)[TrialState.PRUNED, False] >= 1
    assert not [each for each in recwarn if "onstraint" in str(each.message)]


def test_gp_learns_from_trials_that_were_not_trained(tmp_path):
    pytest.importorskip("torch")
    strategy = {"name": "optuna", "sampler": {"name": "gp", "n_startup_trials": 6}}
    search = ToySearch(tmp_path / "s", strategy, trials=14, toy={**LIMITS, "epochs": 2})
    assert search.run() is End.TRIALS
    assert search.study.best


def test_the_tracker_hears_which_constraints_are_broken(tmp_path):
    search = ToySearch(tmp_path / "s", trials=12, toy=LIMITS)
    search.run()
    assert len(search.study.infeasible) >= 2
    frame = search.study.trials_dataframe()
    assert list(frame.feasible) == [t.feasible for t in search.study.trials]
    best = search.study.best[0]
    assert search.tracker.view.best[-1][1] == best.values[0]


class _InterruptAfter(Listener):
    def __init__(self, trials):
        self.left = trials

    def on_trial_finished(self, trial, best):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_a_search_that_resumes_knows_the_violations_of_before(tmp_path, sampler):
    strategy = {"name": "optuna", "sampler": sampler}
    plain = ToySearch(tmp_path / "plain" / "s", strategy, trials=24, toy=LIMITS)
    plain.run()
    search = ToySearch(tmp_path / "resumed" / "s", strategy, trials=24, toy=LIMITS)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search.run(_InterruptAfter(5))
    search.run()
    assert search.points() == plain.points()
    assert [t.broken for t in search.study.trials] == [t.broken for t in plain.study.trials]


@pytest.mark.parametrize("strategy", [{"name": "optuna", "sampler": "tpe"}, "bayesian"], ids=str)
def test_what_is_not_trained_teaches_the_strategy(tmp_path, strategy):
    def refused(strategy, seed):
        path = tmp_path / f"{strategy if isinstance(strategy, str) else 'tpe'}-{seed}"
        search = ToySearch(path, strategy, trials=40, seed=seed, toy={"most_units": 40, "epochs": 1})
        search.run()
        return sum(not trial.feasible for trial in search.study.trials[15:])

    # At random 78 % of the trials have more than 40 of 16 to 128 units: 20 of the last 25.
    assert sum(refused(strategy, seed) for seed in range(3)) < 0.5 * sum(
        refused("random", seed) for seed in range(3)
    )


def test_a_search_without_an_end_stops_when_nothing_meets_its_constraints(tmp_path):
    search = ToySearch(tmp_path / "s", trials=None, total_epochs=30, toy={"most_units": 1})
    with pytest.raises(
        SearchError, match=r"the last 100 trials break a constraint.*expected units; received un"
    ):
        search.run()
    assert len(search.study.trials) == MOST_REFUSED


def test_the_best_of_those_that_meet_conditions(tmp_path):
    search = ToySearch(tmp_path / "s", trials=20, toy=LIMITS)
    search.run()
    study = search.study
    assert study.best_at() == study.best[0]
    narrow = study.best_at("units<=40", "activation=relu", "val_accuracy >= 0.8")
    assert narrow.values[0] == max(t.values[0] for t in study.ranking if t.params["units"] <= 40)
    assert narrow != study.best[0]
    tanh = max(t.values[0] for t in study.ranking if t.params["activation"] == "tanh")
    with pytest.raises(UsageError, match="no trial that is complete and feasible"):
        study.best_at("activation=tanh", f"val_accuracy>={tanh}")  # there is one, but it is infeasible
    with pytest.raises(UsageError, match=r"condition: no such name; .*received unit"):
        study.best_at("unit<=40")
    with pytest.raises(
        UsageError, match=r"no trial that is complete and feasible .*expected units<=1 and epochs>0"
    ):
        study.best_at("units<=1", "epochs>0")


def _ended(number, value, state=TrialState.COMPLETE, **constraints):
    kinds = {TrialState.COMPLETE: OptunaState.COMPLETE, TrialState.PRUNED: OptunaState.PRUNED}
    values = {"value": value} if state is TrialState.COMPLETE else {}
    trial = optuna.trial.create_trial(
        state=kinds[state],
        params={"x": 0.5},
        distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        constraints=constraints,
        **values,
    )
    trial.number = number
    return trial


def test_infeasible_trials_are_no_better_ones_to_wait_for():
    trials = [_ended(0, 0.5, c=-1.0), _ended(1, 0.9, c=1.0), _ended(2, 0.4, c=-1.0)]
    assert trials_since_best(trials, {"a": "maximize"}) == 2
    assert trials_since_best(trials[1:2], {"a": "maximize"}) == 1  # a search with `patience` alone ends


def test_samplers_are_shown_every_constraint_of_every_infeasible_trial_in_one_order():
    trials = [
        _ended(0, 0.5, a=-1.0, b=0.2),
        _ended(1, 0.9, a=-0.5, b=-0.1),
        _ended(2, None, TrialState.PRUNED, b=3.0),
        _ended(3, None, TrialState.PRUNED),
    ]
    shown = penalised(trials, [StudyDirection.MAXIMIZE], knows_constraints=True)
    assert [list(each.constraints.items()) for each in shown] == [
        [("a", -1.0), ("b", 0.2)],
        [("a", -0.5), ("b", -0.1)],
        [("a", 0.0), ("b", 3.0)],
        [],
    ]
    assert [each.values for each in shown] == [[0.5], [0.9], [0.5], None]
    assert trials[2].state == OptunaState.PRUNED  # what the study holds is not touched
    others = penalised(trials, [StudyDirection.MAXIMIZE])
    assert [each.values for each in others] == [[0.5], [0.9], [0.5], None]
    assert others[0].constraints == {}
