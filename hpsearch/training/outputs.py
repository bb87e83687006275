"""What a model's outputs mean: which target each is compared with, and which class a row of it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.targets import classes_of
from hpsearch.training.metrics import (
    classification_metrics,
    classification_names,
    regression_metrics,
    regression_names,
)

if TYPE_CHECKING:
    from hpsearch.datasets import Data

Array = NDArray[Any]


@dataclass(frozen=True)
class Target:
    """What one output is compared with.

    Attributes:
        name: The output's name; empty when there is only one.
        task: `classification`, `regression`, or empty: several classes a row, which Keras's own metrics
            must measure.
        class_names: In the order of the class numbers; empty for regression.
    """

    name: str
    task: str
    class_names: tuple[str, ...] = ()

    def called(self, metric: str) -> str:
        """Returns the metric's name with the output's before it: `digit_f1_macro`."""
        return f"{self.name}_{metric}" if self.name else metric

    def metric_names(self) -> tuple[str, ...]:
        """Returns the names of what `Judged.metrics` computes, without the output's."""
        if self.task == "classification":
            return classification_names(self.class_names)
        return regression_names() if self.task == "regression" else ()


@dataclass(frozen=True, eq=False)
class Judged:
    """One output's truth and predictions, one entry a row.

    Attributes:
        target: What it is compared with.
        truth: Class numbers `(rows,)`, or amounts `(rows, ...)`.
        predicted: The same for what the model says.
        confidence: Probability of the predicted class, `(rows,)`; None for regression.
    """

    target: Target
    truth: Array
    predicted: Array
    confidence: Array | None = None

    def metrics(self) -> dict[str, float]:
        """Returns the output's metrics, with its name before theirs if there are several outputs."""
        if self.target.task == "classification":
            found = classification_metrics(self.truth, self.predicted, self.target.class_names)
        else:
            found = regression_metrics(self.truth, self.predicted)
        return {self.target.called(name): value for name, value in found.items()}


def targets_of(data: Data) -> tuple[Target, ...]:
    """Returns what each output of a model for `data` is compared with."""
    y = data.train.y
    if not isinstance(y, Mapping) or len(y) == 1:
        return (Target("", data.task, data.class_names),)
    return tuple(_target(name, array, data.task) for name, array in y.items())


def metric_names(data: Data) -> tuple[str, ...]:
    """Returns the metrics that every epoch reports besides what the model compiles with: `val_...`."""
    return tuple(
        f"val_{target.called(name)}" for target in targets_of(data) for name in target.metric_names()
    )


def judge(targets: tuple[Target, ...], y: Any, outputs: Any, model: Any) -> tuple[Judged, ...]:
    """Reads classes or amounts from a model's outputs.

    Args:
        targets: From `targets_of`.
        y: The true targets: an array, or one for each output by its name.
        outputs: What the model returned for the same rows: an array, a list, or a mapping of arrays.
        model: The model; its losses say whether its outputs are logits.

    Returns:
        One entry for each target that can be measured.

    Raises:
        ValueError: An output's shape does not fit its target.
    """
    found = []
    for target in targets:
        truth, output = _of(target.name, y, ()), _of(target.name, outputs, getattr(model, "output_names", ()))
        if target.task == "classification":
            found.append(_classes(target, truth, output, _gives_logits(model, target.name, output)))
        elif target.task == "regression":
            if truth.size != output.size:
                raise ValueError(f"the model's output {output.shape} does not fit the target {truth.shape}")
            found.append(Judged(target, truth, output.reshape(truth.shape)))
    return tuple(found)


def class_numbers(y: Array) -> Array:
    """Returns the class of each row, `(rows,)`, of class numbers `(rows,)` or one-hot rows."""
    if y.ndim > 1 and y.shape[-1] > 1:
        return np.asarray(y.argmax(axis=-1))
    return y.reshape(len(y)).astype(np.int64)


def _target(name: str, y: Array, task: str) -> Target:
    classes = classes_of(y, task)
    if classes is None:
        return Target(name, "regression")
    return Target(name, "classification" if classes else "", tuple(map(str, range(classes))))


def _of(name: str, arrays: Any, order: Any) -> Array:
    """Picks the array that belongs to an output from whatever structure holds them."""
    if isinstance(arrays, Mapping):
        return np.asarray(arrays[name] if name else next(iter(arrays.values())))
    if isinstance(arrays, list | tuple):
        return np.asarray(arrays[list(order).index(name) if name else 0])
    return np.asarray(arrays)


def _classes(target: Target, y: Array, output: Array, logits: bool) -> Judged:
    truth = class_numbers(y)
    scores = output.reshape(len(output), -1)
    if len(scores) != len(truth):
        raise ValueError(f"the model's output {output.shape} does not fit the target {y.shape}")
    if scores.shape[1] == 1:
        positive = _sigmoid(scores[:, 0]) if logits else scores[:, 0]
        predicted = (scores[:, 0] > (0.0 if logits else 0.5)).astype(np.int64)  # strictly above, as in Keras
        return Judged(target, truth, predicted, np.where(predicted == 1, positive, 1 - positive))
    predicted = scores.argmax(axis=1)
    probabilities = _softmax(scores) if logits else scores
    return Judged(target, truth, predicted, probabilities[np.arange(len(scores)), predicted])


def _gives_logits(model: Any, name: str, output: Array) -> bool:
    """Whether the output is scores of any size; the loss says so, or else the numbers do."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, Mapping):
        loss = loss.get(name)
    elif isinstance(loss, list | tuple):
        names = list(getattr(model, "output_names", ()))
        loss = loss[names.index(name)] if name in names else loss[0]
    if "hinge" in str(getattr(loss, "name", loss)):
        return True  # the classes are below and above 0
    declared = getattr(loss, "from_logits", None)
    if declared is not None:
        return bool(declared)
    if isinstance(loss, str):
        return False  # Keras's losses by name expect probabilities
    return bool((output < 0).any() or (output > 1).any())


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x.astype(np.float64), -60, 60))))


def _softmax(x: Array) -> Array:
    powers = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
