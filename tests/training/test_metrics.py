from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from hpsearch.training.metrics import (
    classification_metrics,
    classification_names,
    confusion_matrix,
    regression_metrics,
    regression_names,
)


@st.composite
def labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Truth and predictions; classes may be missing from either or from both."""
    classes = draw(st.integers(2, 25))
    number = st.integers(0, classes - 1)
    rows = draw(st.lists(st.tuples(number, number), min_size=1, max_size=80))
    truth, predicted = np.array(rows).T
    return truth, predicted, classes


@settings(max_examples=150, deadline=None)
@given(labels())
def test_classification_agrees_with_scikit_learn(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, predicted, classes = case
    names = [f"c{number}" for number in range(classes)]
    ours = classification_metrics(truth, predicted, names)
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted), rel=1e-12)
    for average in ("macro", "micro", "weighted"):
        theirs = sk.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        for kind, value in zip(("precision", "recall", "f1"), theirs, strict=False):
            assert ours[f"{kind}_{average}"] == pytest.approx(value, rel=1e-12), (kind, average)
    if classes <= 20:
        theirs = sk.precision_recall_fscore_support(truth, predicted, labels=range(classes), zero_division=0)
        for kind, values in zip(("precision", "recall", "f1"), theirs, strict=False):
            got = [ours[f"{kind}_class_{name}"] for name in names]
            np.testing.assert_allclose(got, values, rtol=1e-12)
    assert not any("class_" in name for name in ours) or classes <= 20
    assert set(ours) == set(classification_names(names))


@settings(max_examples=60, deadline=None)
@given(labels())
def test_confusion_matrix_agrees_with_scikit_learn(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    truth, predicted, classes = case
    theirs = sk.confusion_matrix(truth, predicted, labels=range(classes))
    np.testing.assert_array_equal(confusion_matrix(truth, predicted, classes), theirs)


def test_classes_beyond_the_names_are_called_by_their_number() -> None:
    ours = classification_metrics(np.array([0, 1, 2]), np.array([0, 1, 1]), ["cat", "dog"])
    assert ours["f1_class_cat"] == 1.0
    assert ours["f1_class_2"] == 0.0


@st.composite
def amounts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, targets = draw(st.integers(2, 40)), draw(st.integers(1, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1e-3, 1.0, 1e4]))
    truth = generator.normal(size=(rows, targets)) * scale + draw(st.sampled_from([0.0, 100.0]))
    if draw(st.booleans()):
        truth[:, 0] = 3.0  # a constant target
    error = generator.normal(size=truth.shape) * scale * draw(st.sampled_from([0.0, 0.1, 2.0]))
    return truth, truth + error


@settings(max_examples=150, deadline=None)
@given(amounts())
def test_regression_agrees_with_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = case
    ours = regression_metrics(truth, predicted)
    assert ours["mae"] == pytest.approx(sk.mean_absolute_error(truth, predicted), rel=1e-9)
    assert ours["rmse"] == pytest.approx(sk.root_mean_squared_error(truth, predicted), rel=1e-9)
    assert ours["r2"] == pytest.approx(sk.r2_score(truth, predicted), rel=1e-9, abs=1e-12)
    assert tuple(ours) == regression_names()


def test_a_column_of_predictions_fits_a_flat_target() -> None:
    truth = np.array([1, 2, 4], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert regression_metrics(truth, truth[:, None] + 1)["mae"] == 1.0
