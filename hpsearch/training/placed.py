"""Rows that lie on the device as tensors, so that a graph can read them without going back to Python."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.streamed import Streamed
from hpsearch.mapped import ALIGNMENT

if TYPE_CHECKING:
    from hpsearch.datasets import Split

LARGEST_BYTES = 512 * 1024**2
"""Rows that take more than this are not copied to the device."""
KEPT = 12
"""Arrays whose tensors are kept: those of training and validation, for a data set or two."""

_tensors: dict[tuple[object, ...], tuple[NDArray[Any], Any]] = {}


def fits_device(split: Split) -> bool:
    """Whether `placed` takes a split: numbers in memory, and not too many of them."""
    arrays: list[Any] = [array for _, array in split.arrays()]
    return (
        not any(isinstance(array, Streamed) or array.dtype.kind not in "biuf" for array in arrays)
        and sum(array.nbytes for array in arrays) <= LARGEST_BYTES
    )


def placed(split: Split) -> tuple[Any, ...]:
    """Returns a split's rows as tensors on the device: `(x, y)`, or `(x, y, sample_weight)`.

    The trials of a worker share them. Floats are cast as `fit` casts them.
    """
    parts = (split.x, split.y) if split.sample_weight is None else (split.x, split.y, split.sample_weight)
    return tuple(
        {name: _tensor(array) for name, array in part.items()} if isinstance(part, Mapping) else _tensor(part)
        for part in parts
    )


def addresses(split: Split) -> tuple[object, ...]:
    """Returns what tells a split's arrays from others as long as they are kept; no copies, no hashes."""
    return tuple((label, *_address(array)) for label, array in split.arrays())


def _address(array: Any) -> tuple[object, ...]:
    if isinstance(array, Streamed):
        return (id(array),)
    memory = array.__array_interface__
    return (memory["data"][0], memory["typestr"], memory["shape"], memory["strides"])


def _tensor(array: NDArray[Any]) -> Any:
    key = _address(array)
    if key not in _tensors:
        while len(_tensors) >= KEPT:
            del _tensors[next(iter(_tensors))]
        given = array.astype(keras.config.floatx(), copy=False) if array.dtype.kind == "f" else array
        tensor = _aliased(given) if keras.backend.backend() == "tensorflow" else None
        if tensor is None:
            tensor = keras.ops.convert_to_tensor(np.ascontiguousarray(given))
        # The array is kept as well: nothing else can come to lie at its address.
        _tensors[key] = (array, tensor)
    return _tensors[key][1]


def _aliased(array: NDArray[Any]) -> Any:
    """Returns a tensor that is the array's memory, which workers share; None where there must be a copy."""
    import tensorflow as tf

    address = array.__array_interface__["data"][0]
    aligned = array.flags.c_contiguous and address % ALIGNMENT == 0
    if not aligned or not array.nbytes or array.dtype.kind == "b" or tf.config.list_logical_devices("GPU"):
        return None
    # DLPack takes writable arrays only; graphs just read them. The tensor keeps the array, and so its memory.
    memory = (ctypes.c_byte * array.nbytes).from_address(address)
    memory.owner = array  # type: ignore[attr-defined]
    writable = np.frombuffer(memoryview(memory), array.dtype).reshape(array.shape)
    return tf.experimental.dlpack.from_dlpack(writable.__dlpack__())
