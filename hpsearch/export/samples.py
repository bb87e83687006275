"""Real samples to compare on: `samples.npz`, one array an input, rows first."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import DataError, fault

Array = NDArray[Any]
Arrays = dict[str, Array]
"""Arrays by the name of the input or output they belong to; all with as many rows."""

CHUNK = 32
"""Most rows run at once."""


def read(path: str) -> Arrays:
    """Reads the samples.

    Raises:
        DataError: The file is missing or damaged, holds no rows, or something that is not a number.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays: Arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DataError(
            fault(
                path,
                "the samples do not exist",
                expected="an `.npz` file with one array an input",
                advice="An export is compared with Keras on real samples; evaluating a trial writes them.",
            )
        ) from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as failure:
        raise DataError(
            fault(
                path,
                "the samples cannot be read",
                expected="an `.npz` file of numbers",
                received=str(failure),
            )
        ) from failure
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise DataError(
                fault(f"{path}: {name}", "not an array of numbers", received=f"type {array.dtype}")
            )
    rows = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if not rows or min(rows.values()) == 0 or len(set(rows.values())) > 1:
        received = ", ".join(f"{name}: {count}" for name, count in rows.items()) or "no arrays"
        raise DataError(
            fault(path, "no samples", expected="as many rows in each array, at least one", received=received)
        )
    return arrays


def batches(rows: int, batch: int | None) -> list[NDArray[np.intp]]:
    """Returns the row numbers of each batch to run.

    Args:
        rows: How many samples there are.
        batch: The fixed batch size, or None when any size must work: then a single row is tried first.

    Example:
        >>> [b.tolist() for b in batches(5, 2)]
        [[0, 1], [2, 3], [4, 0]]
        >>> [b.tolist() for b in batches(5, None)]
        [[0], [0, 1, 2, 3, 4]]
    """
    if batch is None:
        every = np.arange(max(rows, 2)) % rows
        return [every[:1], *np.split(every, range(CHUNK, len(every), CHUNK))]
    filled = -(-rows // batch) * batch
    return np.split(np.arange(filled) % rows, range(batch, filled, batch))


def rows_of(arrays: Arrays) -> int:
    """Returns how many rows each of the arrays has."""
    return len(next(iter(arrays.values())))


def take(arrays: Arrays, rows: NDArray[np.intp]) -> Arrays:
    """Returns some rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}
