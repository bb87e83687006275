"""Metrics of a whole split, computed once from all its predictions: the numbers scikit-learn gives.

Everything comes from one confusion matrix, in float64. Labels are class numbers from 0, `(rows,)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES_SHOWN = 20
"""With more classes than this, no metrics of single classes."""

AVERAGES = ("macro", "micro", "weighted")


def confusion_matrix(y_true: NDArray[Any], y_pred: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Counts pairs of true and predicted class.

    Args:
        y_true: True class numbers, `(rows,)`.
        y_pred: Predicted class numbers, `(rows,)`.
        classes: Number of classes; all labels are below it.

    Returns:
        Counts, `(classes, classes)`: row is the true class, column the predicted one.
    """
    pairs = y_true.astype(np.int64) * classes + y_pred.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def classification_metrics(
    y_true: NDArray[Any], y_pred: NDArray[Any], class_names: Sequence[str] = ()
) -> dict[str, float]:
    """Accuracy, precision, recall and F1: macro, micro, weighted, and of each class.

    As scikit-learn with `zero_division=0`; its macro average, too, leaves out classes that occur neither
    in the truth nor among the predictions.

    Args:
        y_true: True class numbers, `(rows,)`.
        y_pred: Predicted class numbers, `(rows,)`.
        class_names: In the order of the numbers. Default: the numbers that occur.

    Returns:
        `accuracy`, `precision_macro`, ..., `f1_weighted`, and up to 20 classes `f1_class_<name>`, ...
    """
    classes = 1 + max(len(class_names) - 1, int(y_true.max()), int(y_pred.max()))
    matrix = confusion_matrix(y_true, y_pred, classes)
    hits = matrix.diagonal().astype(np.float64)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    of_class = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }
    occurs = support + predicted > 0
    accuracy = float(hits.sum() / len(y_true))
    metrics = {"accuracy": accuracy}
    for name, values in of_class.items():
        metrics[f"{name}_macro"] = float(values[occurs].mean())
        metrics[f"{name}_micro"] = accuracy  # every row has one class, so all three are the share of hits
        metrics[f"{name}_weighted"] = float(np.average(values, weights=support))
    if classes <= CLASSES_SHOWN:
        names = [*class_names, *map(str, range(len(class_names), classes))]
        for name, values in of_class.items():
            metrics |= {f"{name}_class_{label}": float(v) for label, v in zip(names, values, strict=True)}
    return metrics


def regression_metrics(y_true: NDArray[Any], y_pred: NDArray[Any]) -> dict[str, float]:
    """Mean absolute error, root of the mean squared error, and R²; several targets are averaged.

    A constant target has R² 1 where it is predicted exactly, else 0, as in scikit-learn.

    Args:
        y_true: True values, `(rows,)` or `(rows, targets)`.
        y_pred: Predicted values of the same size.

    Returns:
        `mae`, `rmse`, `r2`.
    """
    truth = y_true.reshape(len(y_true), -1).astype(np.float64)
    error = y_pred.reshape(truth.shape).astype(np.float64) - truth
    squares = (error**2).sum(axis=0)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    constant = np.where(squares == 0, 1.0, 0.0)
    r2 = np.where(spread > 0, 1 - squares / np.where(spread > 0, spread, 1), constant)
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(squares / len(truth)).mean()),
        "r2": float(r2.mean()),
    }


def classification_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of `classification_metrics`."""
    labels = class_names if len(class_names) <= CLASSES_SHOWN else ()
    kinds = ("precision", "recall", "f1")
    return (
        "accuracy",
        *(f"{kind}_{average}" for kind in kinds for average in AVERAGES),
        *(f"{kind}_class_{label}" for kind in kinds for label in labels),
    )


def regression_names() -> tuple[str, ...]:
    """Returns the names of `regression_metrics`."""
    return ("mae", "rmse", "r2")


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Divides; 0 where there is nothing to divide by."""
    quotient = np.zeros(len(part))
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient
