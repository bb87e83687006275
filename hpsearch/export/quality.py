"""How good predictions are: scores on what is true of the samples, of Keras and of the file alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hpsearch.export import keras_file
from hpsearch.export import samples as samples_file
from hpsearch.export.classes import Decision, decision
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.samples import Array, Arrays, rows_of, take
from hpsearch.export.signature import clean
from hpsearch.trial import ONLY_OUTPUT, Export

Scores = dict[str, float]

BOUNDED = ("accuracy", "f1", "r2")
"""Scores whose loss `max_loss` bounds: all are at most 1, so that a loss means the same for each."""


@dataclass(frozen=True, eq=False)
class Quality:
    """What the outputs mean, and what is true of the samples.

    Attributes:
        classes: How the classes are read off, for each output that predicts some.
        truth: Class numbers or amounts, by output; empty when nothing is known.
    """

    classes: Mapping[str, Decision]
    truth: Arrays

    def scores(self, outputs: Arrays) -> Scores:
        """Scores the outputs for all samples, in their order.

        Returns:
            Accuracy, and precision, recall and F1 as means over the classes; for amounts MAE, RMSE and R²;
            with the output's name before theirs if there are several.
        """
        found: Scores = {}
        for name, truth in self.truth.items():
            decide = self.classes.get(name)
            predicted = outputs[name] if decide is None else decide(outputs[name])
            if predicted.size != truth.size:  # not meant to be compared
                continue
            scored = _amounts(truth, predicted) if decide is None else _classes(truth, predicted)
            prefix = f"{name}_" if len(self.truth) > 1 else ""
            found |= {f"{prefix}{metric}": value for metric, value in scored.items()}
        return found

    def agreement(self, expected: Arrays, received: Arrays) -> float | None:
        """Returns the share of rows for which every predicted class is the same; None without classes."""
        same = []
        for name, decide in self.classes.items():
            equal = decide(expected[name]) == decide(received[name])
            same.append(equal.reshape(len(equal), -1).all(axis=1))
        return float(np.all(same, axis=0).mean()) if same else None


def quality_of(endpoint: Endpoint, job: Export) -> Quality:
    """Reads what is true of the samples, and what the outputs predict.

    Raises:
        DataError: The file cannot be read.
    """
    truth: Arrays = {}
    if job.truth is not None:
        arrays = samples_file.read(job.truth)
        rows = np.arange(rows_of(endpoint.samples)) % rows_of(arrays)
        names = list(endpoint.reference)
        for name, array in take(arrays, rows).items():
            called = names[0] if name == ONLY_OUTPUT else clean(name)
            if called in names:
                truth[called] = array
    loss = keras_file.loss(job.model)
    classes = {}
    for name, output in endpoint.reference.items():
        task = job.task
        if name in truth:
            task = "regression" if truth[name].dtype.kind == "f" else "classification"
        if (decide := decision(output, task=task, loss=loss)) is not None:
            classes[name] = decide
    return Quality(classes, truth)


def loss_of(before: Scores, after: Scores) -> tuple[str, float]:
    """Returns the bounded score that falls most, and by how much; at least 0."""
    losses = {name: before[name] - after[name] for name in before if name.endswith(BOUNDED)}
    worst = max(losses, key=losses.__getitem__, default="")
    return worst, max(losses.get(worst, 0.0), 0.0)


def _classes(truth: Array, predicted: Array) -> Scores:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    expected, received = truth.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(
        expected, received, average="macro", zero_division=0
    )
    accuracy = accuracy_score(expected, received)
    return {
        "accuracy": float(accuracy),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


def _amounts(truth: Array, predicted: Array) -> Scores:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    expected = truth.reshape(len(truth), -1).astype(np.float64)
    received = predicted.reshape(expected.shape).astype(np.float64)
    found = {
        "mae": float(mean_absolute_error(expected, received)),
        "rmse": float(root_mean_squared_error(expected, received)),
    }
    if len(expected) > 1:  # R² of a single row is not defined
        found["r2"] = float(r2_score(expected, received))
    return found
