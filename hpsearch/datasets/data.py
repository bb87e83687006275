"""The value every data set becomes: three splits, a task, the names of its classes, a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.streamed import Streamed
from hpsearch.errors import DataError, fault
from hpsearch.trial import DataSummary

Array = NDArray[Any]
Arrays = Array | Mapping[str, Array]
"""One array, or one for each input (or output) by its name; rows first."""
Preprocessing = Callable[[Any], Any]
"""Turns raw inputs into those to train on: a Keras model or layer, or a function of arrays."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows for training, validation or test. The arrays are read-only.

    Attributes:
        x: Inputs, `(rows, ...)`, or a mapping of them by input name. Where they are larger than memory,
            a `Streamed` stands for the array.
        y: Targets, `(rows, ...)`, or a mapping of them by output name.
        sample_weight: Weight of each row, `(rows,)`, or None.

    Raises:
        DataError: The arrays differ in their number of rows, or have none.
    """

    x: Arrays
    y: Arrays
    sample_weight: Array | None = None

    def __post_init__(self) -> None:
        rows = {label: len(array) if array.ndim else 0 for label, array in self.arrays()}
        if len(set(rows.values())) > 1:
            raise DataError(
                fault(
                    "data",
                    "the arrays differ in length",
                    expected="one row in each for every sample",
                    received=", ".join(f"{label}: {count}" for label, count in rows.items()),
                )
            )
        if not all(rows.values()):
            raise DataError(
                fault("data", "there are no rows", received=", ".join(f"{name}: 0" for name in rows))
            )
        for field in ("x", "y", "sample_weight"):
            object.__setattr__(self, field, _read_only(getattr(self, field)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Split, (self.x, self.y, self.sample_weight)  # unpickled arrays are read-only again

    def __len__(self) -> int:
        return len(next(self.arrays())[1])

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Yields every array with its label: `x` or `x[name]`, `y` or `y[name]`, `sample_weight`."""
        yield from _labelled("x", self.x)
        yield from _labelled("y", self.y)
        if self.sample_weight is not None:
            yield "sample_weight", self.sample_weight

    def take(self, rows: Array | slice) -> Split:
        """Returns the split with only `rows`, in their order; in memory.

        Args:
            rows: Integer indices, `(n,)`, or a slice.
        """
        return Split(
            pick(self.x, rows),
            pick(self.y, rows),
            None if self.sample_weight is None else self.sample_weight[rows],
        )

    def select(self, rows: Array | slice) -> Split:
        """Returns the same as `take`, but leaves on disk what is there."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return Split(_selected(self.x, rows), pick(self.y, rows), weight)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, split once and for all trials.

    Attributes:
        name: What the user calls it.
        train: Rows to learn from.
        validation: Rows that choose between trials.
        test: Rows that no trial sees; the best model is evaluated on them once.
        task: `classification` or `regression`.
        class_names: Names of the classes in the order of their numbers; empty for regression and for
            targets of several outputs.
        digest: SHA-256 over all splits, the first 16 hexadecimal digits.
        preprocessing: What made the inputs of all splits from the raw ones, or None. It was fitted on
            the training rows, and rows to predict need it too.
        labelled: The same rows with the targets they came with, where the inputs are the targets
            (`data.options.reconstruct`); else None.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    task: str
    class_names: tuple[str, ...]
    digest: str
    preprocessing: Preprocessing | None = None
    labelled: Data | None = None

    @property
    def input_shape(self) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
        """Shape of one sample, or of each input by its name."""
        if isinstance(self.train.x, Mapping):
            return {name: tuple(array.shape[1:]) for name, array in self.train.x.items()}
        return tuple(self.train.x.shape[1:])

    @property
    def classes(self) -> int | None:
        """Number of classes; None for regression."""
        return len(self.class_names) or None

    def summary(self) -> DataSummary:
        """Returns the data set in a few words, small enough to cross a process border."""
        return DataSummary(
            name=self.name,
            digest=self.digest,
            task=self.task,
            sizes={"train": len(self.train), "validation": len(self.validation), "test": len(self.test)},
            shapes={label: f"{array.shape[1:]} {array.dtype}" for label, array in self.train.arrays()},
            class_names=self.class_names,
        )


def pick(arrays: Arrays, rows: Array | slice) -> Arrays:
    """Returns `rows` of an array, or of each array of a mapping."""
    if isinstance(arrays, Mapping):
        return {name: array[rows] for name, array in arrays.items()}
    return arrays[rows]


def _selected(arrays: Any, rows: Array | slice) -> Any:
    if isinstance(arrays, Mapping):
        return {name: _selected(array, rows) for name, array in arrays.items()}
    return arrays.select(rows) if isinstance(arrays, Streamed) else arrays[rows]


def digest_of(*splits: Split) -> str:
    """Returns SHA-256 over shapes, types and bytes of all splits: its first 16 hexadecimal digits.

    Of an array that is streamed, the bytes of some rows spread over it.
    """
    sha = hashlib.sha256()
    for split in splits:
        for label, array in split.arrays():
            sha.update(f"{label} {array.shape} {array.dtype.str};".encode())
            sha.update(_bytes_of(array))
    return sha.hexdigest()[:16]


def _bytes_of(array: Any) -> Any:
    if isinstance(array, Streamed):
        return array.fingerprint()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _read_only(arrays: Any) -> Any:
    """Views, because the caller's own arrays stay writable."""
    if arrays is None:
        return None
    if isinstance(arrays, Mapping):
        return {name: _read_only(array) for name, array in arrays.items()}
    if isinstance(arrays, Streamed):
        return arrays
    view = arrays.view()
    view.setflags(write=False)
    return view


def _labelled(label: str, arrays: Arrays) -> Iterator[tuple[str, Array]]:
    if isinstance(arrays, Mapping):
        yield from ((f"{label}[{name}]", array) for name, array in arrays.items())
    else:
        yield label, arrays
