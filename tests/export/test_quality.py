"""Scores on what is true of the samples, on plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from hpsearch.export.quality import Quality, loss_of

RNG = np.random.default_rng(0)


def largest(values):
    return values.argmax(axis=-1)


def test_classes_are_scored_as_scikit_learn_does():
    truth, output = RNG.integers(0, 3, 50), RNG.random((50, 3))
    found = Quality({"y": largest}, {"y": truth}).scores({"y": output})
    predicted = output.argmax(axis=1)
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(truth, predicted),
            "precision": precision_score(truth, predicted, average="macro"),
            "recall": recall_score(truth, predicted, average="macro"),
            "f1": f1_score(truth, predicted, average="macro"),
        }
    )


def test_yes_and_no_are_classes():
    found = Quality({"y": lambda values: values > 0.5}, {"y": np.array([0, 1, 1, 0])})
    assert found.scores({"y": np.array([[0.1], [0.9], [0.2], [0.3]])})["accuracy"] == 0.75


def test_amounts_of_any_shape_are_scored():
    truth = RNG.random((20, 4, 2))
    found = Quality({}, {"y": truth}).scores({"y": truth + 0.5})
    assert found["mae"] == pytest.approx(0.5)
    assert found["rmse"] == pytest.approx(0.5)
    assert found["r2"] < 0
    assert "r2" not in Quality({}, {"y": truth[:1]}).scores({"y": truth[:1]})


def test_several_outputs_have_their_names_in_front():
    quality = Quality({"kind": largest}, {"kind": np.array([0, 1]), "price": np.array([1.0, 2.0])})
    outputs = {"kind": np.eye(2), "price": np.array([[1.0], [2.0]]), "other": np.zeros(2)}
    found = quality.scores(outputs)
    assert (found["kind_f1"], found["price_r2"]) == (1, 1)
    assert quality.agreement(outputs, {**outputs, "kind": np.eye(2)[::-1]}) == 0


def test_outputs_that_are_not_meant_for_the_truth_are_left_out():
    assert Quality({}, {"y": np.zeros(3)}).scores({"y": np.zeros((3, 2))}) == {}


def test_a_loss_is_of_the_bounded_score_that_falls_most():
    before = {"digit_accuracy": 0.9, "digit_f1": 0.9, "rmse": 1.0, "price_r2": 0.8}
    after = {"digit_accuracy": 0.89, "digit_f1": 0.95, "rmse": 9.0, "price_r2": 0.75}
    assert loss_of(before, after) == ("price_r2", pytest.approx(0.05))
    assert loss_of(after, after)[1] == 0
    assert loss_of({}, {}) == ("", 0.0)
