"""Rows that stay in their file: what stands for an array that is larger than memory."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLED = 1024
"""Rows that a fingerprint looks at."""


class Streamed:
    """Some rows of an array on disk; indexing reads them into memory, nothing else does.

    It has what training needs of an array: `len`, `shape`, `ndim`, `dtype`, and `[rows]` by a slice or an
    array of indices.

    Args:
        source: `shape`, `dtype`, and indexing by a slice or by increasing indices, as `h5py.Dataset` has.
        rows: Which rows of it, `(n,)`, in any order. Default: all.

    Example:
        >>> images = Streamed(h5py.File("images.h5")["x"])
        >>> images[np.array([7, 3])].shape  # read now
        (2, 28, 28, 1)
        >>> images.select(slice(1000))  # reads nothing
    """

    def __init__(self, source: Any, rows: NDArray[Any] | None = None) -> None:
        self._source = source
        self._rows = np.arange(source.shape[0]) if rows is None else rows
        self.shape = (len(self._rows), *source.shape[1:])
        self.ndim = len(self.shape)
        self.dtype = np.dtype(np.float32) if source.dtype == np.float64 else np.dtype(source.dtype)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | NDArray[Any]) -> NDArray[Any]:
        wanted = self._rows[rows]
        if not len(wanted):
            return np.empty((0, *self.shape[1:]), self.dtype)
        increasing, places = np.unique(wanted, return_inverse=True)
        first, last = int(increasing[0]), int(increasing[-1])
        together = last - first + 1 == len(increasing)
        read = self._source[first : last + 1] if together else self._source[increasing]
        return np.asarray(read[places], dtype=self.dtype)

    def select(self, rows: slice | NDArray[Any]) -> Streamed:
        """Returns fewer rows, in another order, without reading them."""
        return Streamed(self._source, self._rows[rows])

    def fingerprint(self) -> bytes:
        """Returns SHA-256 of which rows these are, and of the values of some spread over all."""
        sha = hashlib.sha256(np.ascontiguousarray(self._rows, dtype=np.int64).data)
        sampled = np.unique(np.linspace(0, len(self) - 1, SAMPLED).astype(np.int64))
        for row in np.sort(self._rows[sampled]):
            sha.update(np.ascontiguousarray(self._source[int(row)]).tobytes())
        return sha.digest()
