"""Trials of several parts: their names and means, and the section of an experiment that asks for them."""

import json
import math

import numpy as np
import pytest

from hpsearch.errors import ExperimentError
from hpsearch.experiment import Experiment
from hpsearch.one_standard_error import simplest_within_one_error
from hpsearch.parts import Part, PartResult, described, means, parts_of, spreads
from hpsearch.trial import Result, TrialState
from hpsearch.trial_record import read_outcome, record_outcome
from hpsearch.trial_view import TrialView, scores


def results(*values, folds=None):
    parts = parts_of(folds, len(values) // (folds or 1))
    return tuple(
        PartResult(
            part, seed=part.number, metrics={"val_accuracy": value}, epochs=2, best_epoch=1, duration_s=1.0
        )
        for part, value in zip(parts, values, strict=True)
    )


def make(**evaluation):
    return Experiment(name="x", model="mlp", data="digits", objective="val_accuracy", evaluation=evaluation)


@pytest.mark.parametrize(
    ("folds", "repeats", "names"),
    [
        (2, 1, ["fold-1", "fold-2"]),
        (None, 2, ["repeat-1", "repeat-2"]),
        (2, 2, ["repeat-1-fold-1", "repeat-1-fold-2", "repeat-2-fold-1", "repeat-2-fold-2"]),
    ],
)
def test_parts_are_named_after_what_tells_them_apart(folds, repeats, names):
    parts = parts_of(folds, repeats)
    assert [part.name for part in parts] == names
    assert [part.number for part in parts] == list(range(1, len(names) + 1))
    assert parts[-1].label == names[-1].replace("-fold", ", fold").replace("-", " ")


def test_mean_deviation_and_error_are_numpys():
    values = [0.91, 0.94, 0.875]
    spread = spreads(results(*values, folds=3))["val_accuracy"]
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.std == pytest.approx(np.std(values, ddof=1))
    assert spread.error == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    assert spreads(results(0.9)) == {}


def test_a_metric_that_one_part_lacks_has_no_mean():
    assert means([{"a": 1.0, "b": 2.0}, {"a": 3.0}]) == {"a": 2.0}


def test_what_a_mean_is_over_is_said():
    assert described(results(1, 2, 3, folds=3)) == "3 folds"
    assert described(results(1, 2)) == "2 repeats"
    assert described(results(1, 2, 3, 4, folds=2)) == "2 repeats of 2 folds"


def test_the_study_holds_the_parts():
    import optuna

    outcome = Result({}, {"val_accuracy": 0.5}, 4, 0, 2.0, parts=results(0.4, 0.6, folds=2))
    trial = optuna.trial.create_trial(
        value=0.5,
        user_attrs=json.loads(json.dumps({"hpsearch": record_outcome(outcome, {}, spans=())})),
    )
    assert read_outcome(trial) == outcome


def view(number, *values, parameters=10):
    mean = sum(values) / len(values)
    return TrialView(
        number, TrialState.COMPLETE, {}, (mean,), {"val_accuracy": mean}, 4, 0, 1.0, None,
        parts=results(*values, folds=len(values)), facts={"parameters": parameters},
    )  # fmt: skip


def test_a_score_has_its_error():
    assert scores(view(0, 0.5, 0.7), ["val_accuracy"]) == ["0.6000 ± 0.1000"]


def test_the_simplest_within_one_standard_error_is_selected():
    best, near, far = view(0, 0.8, 0.9, parameters=100), view(1, 0.8, 0.84, parameters=50), view(2, 0.7, 0.7)
    assert simplest_within_one_error((best, near, far), "val_accuracy").number == 1
    assert simplest_within_one_error((best, far), "val_accuracy").number == 0
    equal = view(3, 0.81, 0.83, parameters=50)
    assert simplest_within_one_error((best, near, equal), "val_accuracy").number == 1


def test_what_asks_for_parts_is_part_of_the_identity_and_what_selects_is_not():
    plain = make().identity()
    assert make(repeats=1).identity() == plain
    assert make(repeats=2).identity() == {**plain, "evaluation.repeats": 2}
    folds = make(folds=3, splitter="kfold").identity()
    assert folds == {
        **plain, "evaluation.folds": 3, "evaluation.splitter": "kfold", "evaluation.repeats": 1
    }  # fmt: skip
    assert make(folds=3, splitter="kfold", select="one_standard_error").identity() == folds
    assert make().evaluation.parts == ()
    assert make(folds=2).evaluation.parts == (Part(1, 1), Part(2, 2))


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"folds": 1}, "evaluation.folds: too small; expected an integer of at least 2; received 1"),
        ({"repeats": 0}, "evaluation.repeats: must be positive"),
        ({"splitter": "kfold"}, "a splitter needs `folds`; expected `folds`, at least 2; received none"),
        ({"folds": 3, "splitter": "k-fold"}, "expected one of kfold, stratified, group, time_series"),
        ({"folds": 3, "groups": "patient"}, "name their column under `data.options.groups`"),
        ({"select": "one_standard_error"}, "one training has no standard error"),
    ],
)
def test_what_makes_no_sense_is_refused(evaluation, message):
    with pytest.raises(ExperimentError) as caught:
        make(**evaluation)
    assert message in str(caught.value)
