"""Weights of classes, as weights of the training rows: Keras's `class_weight`, scikit-learn's `balanced`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import ExperimentError, did_you_mean, fault
from hpsearch.training.outputs import class_numbers

if TYPE_CHECKING:
    from hpsearch.datasets import Data
    from hpsearch.datasets.data import Array

KEY = "training.class_weight"


def weighted(data: Data, class_weight: str | Mapping[str, float] | None) -> Data:
    """Weighs the training rows by their class, as `fit(class_weight=...)` does; others stay as they are.

    Where the rows have weights, they are multiplied, which Keras refuses to do.

    Args:
        data: Of one target of classes.
        class_weight: `balanced`, or a weight by the class's name, or number as text; others weigh 1.

    Returns:
        The same object if `class_weight` is None.

    Raises:
        ExperimentError: There is no such class, or there are no classes at all.
    """
    if class_weight is None:
        return data
    if not data.class_names:
        received = "several targets" if data.task == "classification" else "a regression"
        raise ExperimentError(fault(KEY, "is for one target of classes", received=received))
    train = data.train
    y = next(iter(train.y.values())) if isinstance(train.y, Mapping) else train.y
    classes = class_numbers(y)
    if isinstance(class_weight, str):
        weights = _balanced(classes, len(data.class_names))
    else:
        weights = _by_name(class_weight, data.class_names)
    rows = weights.astype(np.float32)[classes]
    if train.sample_weight is not None:
        rows = rows * train.sample_weight
    return replace(data, train=replace(train, sample_weight=rows))


def _balanced(classes: Array, count: int) -> Array:
    """Returns the weights with which all classes that occur count the same."""
    from sklearn.utils.class_weight import compute_class_weight

    there = np.unique(classes)
    weights = np.ones(count)
    weights[there] = compute_class_weight("balanced", classes=there, y=classes)
    return weights


def _by_name(class_weight: Mapping[str, float], names: tuple[str, ...]) -> Array:
    numbers = {str(number): number for number in range(len(names))}
    numbers |= {name: number for number, name in enumerate(names)}  # a class's name wins
    weights = np.ones(len(names))
    given: dict[int, str] = {}
    for name, weight in class_weight.items():
        if name not in numbers:
            raise ExperimentError(
                fault(
                    KEY,
                    "there is no such class",
                    expected=", ".join(names),
                    received=name,
                    advice=did_you_mean(name, names),
                )
            )
        number = numbers[name]
        if number in given:
            raise ExperimentError(
                fault(KEY, f"class `{names[number]}` occurs twice", received=f"{given[number]}, {name}")
            )
        given[number] = name
        weights[number] = weight
    return weights
