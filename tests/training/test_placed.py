"""Rows on the device: the memory that workers share, or copies of it."""

import gc
import tempfile
import weakref

import numpy as np
import pytest

from hpsearch import shared as module
from hpsearch.datasets.data import Split
from hpsearch.shared import shared, use
from hpsearch.training.placed import placed


@pytest.fixture
def rows(monkeypatch):
    """Mapped rows, as a worker has them: `(1000, 4)`."""
    monkeypatch.setattr(module, "_descriptor", None)
    with tempfile.TemporaryFile() as file:
        use(file.fileno())
        x = np.arange(4000, dtype=np.float32).reshape(1000, 4)
        yield shared("rows", lambda: Split(x, np.arange(1000)))


def _memory(tensor):
    return np.from_dlpack(tensor).__array_interface__["data"][0]


def test_mapped_rows_are_not_copied(rows):
    x, y = placed(rows)
    assert _memory(x) == rows.x.__array_interface__["data"][0]
    assert _memory(y) == rows.y.__array_interface__["data"][0]
    np.testing.assert_array_equal(x, rows.x)


def test_a_tensor_keeps_its_memory():
    memory = np.zeros(2**20 + 16, np.float32)  # larger than what the allocator keeps
    shift = -memory.__array_interface__["data"][0] // 4 % 16  # to a multiple of 64 bytes
    array = memory[shift : shift + 2**20]
    from hpsearch.training.placed import _aliased

    tensor, gone = _aliased(array), weakref.ref(memory)
    del array, memory
    gc.collect()
    assert gone() is not None
    assert float(np.sum(tensor)) == 0.0
    del tensor
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "array",
    [
        np.arange(100) % 2 == 0,
        np.arange(101, dtype=np.float32)[1:],
        np.arange(200, dtype=np.float32)[::2],
        np.arange(100, dtype=np.float64),
        np.arange(100, dtype=np.uint8),
    ],
    ids=["bools", "unaligned", "every second", "cast", "bytes"],
)
def test_other_rows_are_the_same_numbers(array):
    x, _ = placed(Split(array, np.arange(100)))
    np.testing.assert_array_equal(x, array)
    assert x.dtype.as_numpy_dtype == (np.float32 if array.dtype.kind == "f" else array.dtype)
