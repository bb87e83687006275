"""Data sets that come in batches, Keras's `PyDataset` and TensorFlow's `tf.data`: read once, into memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from hpsearch.errors import DataError, fault


def is_batched(given: object) -> bool:
    """Whether something is a `keras.utils.PyDataset` or a `tf.data.Dataset`; imports neither."""
    return _is_keras(given) or _is_tensorflow(given)


def gather(given: Any, *, where: str) -> tuple[Any, ...]:
    """Reads all batches and joins them: hpsearch has its own order of rows and its own split.

    Args:
        given: Gives batches `(x, y)` or `(x, y, sample_weight)`, in which `x` and `y` may be dicts.
        where: Names the data set, for messages.

    Returns:
        `(x, y)` or `(x, y, sample_weight)`, for all rows.

    Raises:
        DataError: It has no end, or does not give such batches.
    """
    expected = "batches `(x, y)` or `(x, y, sample_weight)`, rows first"
    batches = []
    for number, batch in enumerate(_batches(given, where)):
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3) or not _has_rows(batch[1]):
            problem = f"batch {number} is not one"
            advice = "Is `.batch(...)` missing?" if _is_tensorflow(given) else None
            raise DataError(
                fault(where, problem, expected=expected, received=type(batch).__name__, advice=advice)
            )
        batches.append(tuple(batch))
    if not batches:
        raise DataError(fault(where, "there are no batches", expected=expected))
    if len({len(batch) for batch in batches}) > 1:
        raise DataError(fault(where, "some batches have sample weights, some have none"))
    return tuple(_joined(parts) for parts in zip(*batches, strict=True))


def _is_keras(given: object) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(given, keras.utils.PyDataset)


def _is_tensorflow(given: object) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(given, tensorflow.data.Dataset)


def _batches(given: Any, where: str) -> Iterator[Any]:
    if _is_tensorflow(given):
        if int(given.cardinality()) == sys.modules["tensorflow"].data.INFINITE_CARDINALITY:
            raise DataError(fault(where, "has no end", advice="Leave `.repeat()` out."))
        return iter(given.as_numpy_iterator())
    if given.num_batches is None:
        raise DataError(fault(where, "has no end", expected="a PyDataset with `__len__`"))
    return (given[number] for number in range(given.num_batches))


def _has_rows(y: Any) -> bool:
    parts = y.values() if isinstance(y, dict) else [y]
    return all(np.ndim(part) > 0 for part in parts)


def _joined(parts: tuple[Any, ...]) -> Any:
    if isinstance(parts[0], dict):
        return {name: _joined(tuple(part[name] for part in parts)) for name in parts[0]}
    return np.concatenate([np.asarray(part) for part in parts])
