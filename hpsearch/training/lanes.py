"""The order in which a stateful model sees the rows: one after the other, in as many lanes as a batch has.

The state that row `i` of a batch leaves behind is what row `i` of the next batch begins with. So the rows,
which are windows in the order of time, are dealt out in lanes, each of them a stretch of time:

    8 rows in batches of 2:   batch 0    1    2    3
                              lane   0    1    2    3
                                     4    5    6    7
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import DataError, fault
from hpsearch.models.stateful import fixed_batch

if TYPE_CHECKING:
    import keras

    from hpsearch.datasets import Split
    from hpsearch.datasets.data import Array


def lanes(rows: int, batch: int) -> Array:
    """Returns the numbers of the rows in the order of lanes, in whole batches.

    Args:
        rows: How many there are; the last few, less than a batch, are left out.
        batch: Rows a batch.

    Raises:
        DataError: They do not fill one batch.

    Example:
        >>> lanes(9, 2).tolist()
        [0, 4, 1, 5, 2, 6, 3, 7]
    """
    if rows < batch:
        raise DataError(
            fault(
                "data",
                "a split has fewer rows than a batch of the stateful model",
                expected=f"at least {batch} rows",
                received=f"{rows}",
                advice="Give more or shorter windows, or a smaller `batch_size`.",
            )
        )
    return np.arange(rows // batch * batch).reshape(batch, -1).T.ravel()


def rows_seen(model: keras.Model, split: Split) -> Array:
    """Returns the numbers of the rows that a model sees, in their order: all of them, or lanes.

    Raises:
        DataError: The model is stateful, and they do not fill a batch.
    """
    batch = fixed_batch(model)
    return np.arange(len(split)) if batch is None else lanes(len(split), batch)


def arranged(model: keras.Model, split: Split) -> Split:
    """Returns a split as a model sees it; the same object unless the model is stateful.

    Raises:
        DataError: The model is stateful, and the rows do not fill a batch.
    """
    return split if fixed_batch(model) is None else split.select(rows_seen(model, split))
