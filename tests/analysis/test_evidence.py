"""Intervals, and what can be told apart."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error, recall_score

from hpsearch.analysis.evidence import flattery, metric_intervals, told_apart, trained_once


def _study(tmp_path, task="classification", names=("a", "b", "c"), **given):
    data = {"task": task, "class_names": list(names), "sizes": {"validation": given.pop("rows", 1000)}}
    facts = {"data": data}
    return SimpleNamespace(
        folder=tmp_path,
        facts=facts,
        champion=given.pop("champion", {"trial": 0}),
        objectives=given.pop("objectives", {"val_accuracy": "maximize"}),
        optuna=SimpleNamespace(get_trials=lambda deepcopy: [_stored(given.pop("course", ()))]),
        **given,
    )


def _stored(course):
    """Trial 0, by its values after each epoch."""
    return SimpleNamespace(number=0, intermediate_values=dict(enumerate(course, start=1)))


def _write(tmp_path, truth, predicted):
    (tmp_path / "champion").mkdir()
    with open(tmp_path / "champion" / "test_predictions.csv", "w", newline="") as file:
        rows = zip(range(len(truth)), truth, predicted, strict=True)
        csv.writer(file).writerows([("row", "truth", "prediction"), *rows])


def _by_hand(metric, truth, predicted):
    draw = np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        rows = draw.integers(len(truth), size=len(truth))
        drawn.append(metric(truth[rows], predicted[rows]))
    return np.percentile(drawn, [2.5, 97.5])


def test_of_classes_they_are_those_of_drawing_rows(tmp_path):
    draw = np.random.default_rng(0)
    truth = draw.choice(["a", "b", "c"], 600, p=[0.5, 0.3, 0.2])
    predicted = np.where(draw.random(600) < 0.8, truth, draw.choice(["a", "b", "c"], 600))
    _write(tmp_path, truth, predicted)
    found = metric_intervals(_study(tmp_path))
    for name, metric in {
        "test_accuracy": accuracy_score,
        "test_f1_macro": lambda t, p: f1_score(t, p, average="macro"),
        "test_f1_weighted": lambda t, p: f1_score(t, p, average="weighted"),
        "test_recall_class_c": lambda t, p: recall_score(t, p, labels=["c"], average="macro"),
    }.items():
        low, high = _by_hand(metric, truth, predicted)
        assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=0.015), name
        assert found[name].low < metric(truth, predicted) < found[name].high
        assert found[name].rows == 600


def test_of_amounts_they_are_those_of_drawing_rows(tmp_path):
    draw = np.random.default_rng(0)
    truth = draw.normal(size=500)
    predicted = truth + draw.normal(size=500) / 3
    _write(tmp_path, truth, predicted)
    found = metric_intervals(_study(tmp_path, "regression", ()))
    low, high = _by_hand(lambda t, p: mean_squared_error(t, p) ** 0.5, truth, predicted)
    assert (found["test_rmse"].low, found["test_rmse"].high) == pytest.approx((low, high), abs=0.01)
    assert set(found) == {"test_mae", "test_rmse", "test_r2"}


def test_several_amounts_a_row_and_no_champion_have_none(tmp_path):
    _write(tmp_path, ["1 2", "3 4"], ["1 2", "3 5"])
    assert metric_intervals(_study(tmp_path, "regression", ())) == {}
    assert metric_intervals(_study(tmp_path, champion=None)) == {}
    assert metric_intervals(_study(tmp_path / "elsewhere")) == {}


def _ranking(*values, feasible=99):
    return [
        SimpleNamespace(number=number, values=(value,), feasible=number < feasible, parts=())
        for number, value in enumerate(values)
    ]


def test_trials_that_differ_by_less_than_the_noise(tmp_path):
    said = told_apart(_study(tmp_path, ranking=_ranking(0.95, 0.949, 0.94, 0.5), rows=1000))
    assert said.startswith("On 1,000 validation rows trial 0 cannot be told from the next 2 trials: ")
    said = told_apart(_study(tmp_path, ranking=_ranking(0.95, 0.90), rows=1000))
    assert said.startswith("Trial 0 is better than trial 1 by 0.0500, more than twice the standard error")


def test_of_other_metrics_nothing_is_claimed(tmp_path):
    objectives = {"val_f1_macro": "maximize"}
    assert told_apart(_study(tmp_path, ranking=_ranking(0.9, 0.8), objectives=objectives)) is None
    assert told_apart(_study(tmp_path, ranking=_ranking(0.9))) is None
    assert told_apart(_study(tmp_path, ranking=_ranking(0.9, 0.95, feasible=1))) is None


def test_of_trials_trained_once_chance_is_not_known(tmp_path):
    objectives = {"val_r2": "maximize"}
    said = trained_once(_study(tmp_path, ranking=_ranking(0.79, 0.78), objectives=objectives))
    assert said == (
        "Trial 0 is 0.0100 ahead of trial 1. Each was trained once, so how much of that is chance is not "
        "known: `evaluation: {repeats: 3}` shows it."
    )
    assert trained_once(_study(tmp_path, ranking=_ranking(0.79), objectives=objectives)) is None
    said = trained_once(_study(tmp_path, ranking=_ranking(0.79, 0.78999), objectives=objectives))
    assert "is less than 0.0001 ahead" in said


def test_a_lead_is_compared_with_how_restless_the_best_trial_is(tmp_path):
    def said(course):
        ranking, objectives = _ranking(0.79, 0.78), {"val_r2": "maximize"}
        return trained_once(_study(tmp_path, ranking=ranking, objectives=objectives, course=course))

    restless = [0.1, 0.3, 0.5, 0.6, 0.7, 0.75, 0.79, 0.77, 0.79]
    assert "from one epoch to the next trial 0 itself moves by 0.0200 (median of its last third)" in said(
        restless
    )
    calm = [0.1, 0.3, 0.5, 0.6, 0.7, 0.786, 0.788, 0.789, 0.79]
    assert "is not known" in said(calm)
    assert "is not known" in said(restless[-6:])  # too few changes


def test_how_much_the_validation_flatters(tmp_path):
    champion = {"trial": 3, "values": {"val_accuracy": 0.95}, "test": {"test_accuracy": 0.93}}
    said = flattery(_study(tmp_path, champion=champion))
    assert said.startswith(
        "Trial 3 was selected for val_accuracy 0.9500, 0.0200 better than the test_accuracy of 0.9300"
    )
    loss = {"trial": 3, "values": {"val_loss": 0.3}, "test": {"test_loss": 0.2}}
    said = flattery(_study(tmp_path, champion=loss, objectives={"val_loss": "minimize"}))
    assert said == (
        "Trial 3 was selected for val_loss 0.3000; on rows that no trial saw, its test_loss is no worse, "
        "0.2000: quote this one."
    )
    assert flattery(_study(tmp_path, champion={"trial": 3, "values": {}, "test": {}})) is None
    json.dumps(said)
