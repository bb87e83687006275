"""The ways to train: our own, with the order of the rows in our hands, or the user's `HyperModel.fit`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.errors import ModelError, fault
from hpsearch.models.stateful import fixed_batch, reset_states
from hpsearch.training.lanes import lanes
from hpsearch.training.prepare import seed_everything
from hpsearch.training.watch import scalars

if TYPE_CHECKING:
    from hpsearch.datasets import Data, Split
    from hpsearch.training.course import Course
    from hpsearch.training.prepare import Prepared
    from hpsearch.training.watch import Watch

_TWICE = re.compile(r"multiple values for (?:keyword )?argument '(\w+)'")
_YIELDING = frozenset({"epochs", "batch_size", "verbose"})
"""Keywords that a user's `fit` may pass to `model.fit` itself, ours then giving way."""


def fit(prepared: Prepared, data: Data, watch: Watch, *, seed: int) -> dict[str, float]:
    """Trains a model; `watch` sees every epoch.

    Args:
        prepared: The model and how to train it.
        data: Training and validation rows.
        watch: Receives the epochs.
        seed: Of the rows' order.

    Returns:
        What the user's `fit` returned as the trial's metrics; else nothing.

    Raises:
        Exception: Whatever the training, or `watch`, raises.
    """
    if prepared.custom_fit:
        value = _users_fit(prepared, data, watch, seed)
        metrics = _returned(value, watch.course)
        if not watch.course.epochs:
            watch.catch_up(_rows(value) or [metrics])
        return metrics
    ordered = InLanes if fixed_batch(prepared.model) else Shuffled
    source = ordered(data.train, prepared.batch_size or 32, seed)
    prepared.model.fit(
        source, epochs=prepared.epochs, shuffle=False, verbose=0, callbacks=[watch, _Turn(source)]
    )
    return {}


class Shuffled(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Batches of a split, in an order that depends on the seed and the epoch only.

    With a seed set, Keras on TensorFlow shuffles arrays into the same order in every epoch.

    Args:
        split: The rows.
        batch_size: Rows a batch; the last may be smaller.
        seed: Of the order.
    """

    def __init__(self, split: Split, batch_size: int, seed: int) -> None:
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._seed = seed
        self.turn(0)

    def turn(self, epoch: int) -> None:
        """Shuffles for an epoch, numbered from 0."""
        self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._split))

    @property
    def whole_batches(self) -> int:
        """How many batches are not smaller than the others."""
        return len(self._order) // self._batch_size

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        split = self._split
        batch = (_taken(split.x, rows), _taken(split.y, rows))
        return batch if split.sample_weight is None else (*batch, split.sample_weight[rows])


class InLanes(Shuffled):
    """Batches of a split in the order that a stateful model needs, the same in every epoch.

    Rows that do not fill a batch are left out.
    """

    def turn(self, epoch: int) -> None:  # noqa: ARG002
        """Puts the rows in order."""
        self._order = lanes(len(self._split), self._batch_size)


class _Turn(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Begins an epoch: its order of rows, and no state of the one before.

    The source cannot do it alone: only the trainer knows where it starts.
    """

    def __init__(self, source: Shuffled) -> None:
        super().__init__()
        self._source = source

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._source.turn(epoch)
        reset_states(self.model)


def _taken(arrays: Any, rows: Any) -> Any:
    if isinstance(arrays, Mapping):
        return {name: array[rows] for name, array in arrays.items()}
    return arrays[rows]


def _users_fit(prepared: Prepared, data: Data, watch: Watch, seed: int) -> Any:
    """Calls the user's `fit` as Keras Tuner does."""
    train, validation = data.train, data.validation
    weights = () if validation.sample_weight is None else (validation.sample_weight,)
    keywords: dict[str, Any] = {
        "validation_data": (validation.x, validation.y, *weights),
        "epochs": prepared.epochs,
        "callbacks": [watch],
        "verbose": 0,
    }
    if prepared.batch_size is not None:
        keywords["batch_size"] = prepared.batch_size
    if train.sample_weight is not None:
        keywords["sample_weight"] = train.sample_weight
    function = prepared.hypermodel.fit
    keywords = {name: keywords[name] for name in _accepted(function, keywords) - prepared.fit_chooses}
    while True:
        try:
            return function(prepared.hp, prepared.model, train.x, train.y, **keywords)
        except TypeError as error:
            twice = _TWICE.search(str(error))
            if twice is None or twice[1] not in _YIELDING & keywords.keys() or watch.course.epochs:
                raise
            del keywords[twice[1]]  # the user's `fit` gives it to `model.fit` as well
            seed_everything(seed)


def _accepted(function: Any, keywords: Mapping[str, Any]) -> set[str]:
    """Returns the keywords that a function takes."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return set(keywords)
    return set(keywords) & set(parameters)


def _returned(value: Any, course: Course) -> dict[str, float]:
    """Reads what the user's `fit` returned, in the forms that Keras Tuner allows."""
    match value:
        case keras.callbacks.History():
            return {}
        case list() | tuple():
            parts = [_returned(part, course) for part in value]
            names = dict.fromkeys(name for part in parts for name in part)
            return {name: float(np.mean([part[name] for part in parts if name in part])) for name in names}
        case Mapping():
            return scalars(value)
        case None if course.epochs:
            return {}
    if number := scalars({course.lead: value}):
        return number
    raise ModelError(
        fault(
            "HyperModel.fit",
            "returned nothing to compare trials by",
            expected="a History, a number, or a dictionary of metrics",
            received=value,
        )
    )


def _rows(value: Any) -> list[dict[str, float]]:
    """Returns the epochs of a History."""
    if not isinstance(value, keras.callbacks.History):
        return []
    return [
        scalars(dict(zip(value.history, row, strict=True)))
        for row in zip(*value.history.values(), strict=False)
    ]
