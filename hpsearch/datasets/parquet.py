"""A table in a Parquet file; treated like one in a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpsearch.datasets.table import Names, read_table
from hpsearch.errors import DataError, fault


def load(
    path: str,
    target: Names,
    categorical: Names = (),
    text: Names = (),
    drop: Names = (),
    time: str | None = None,
    weight: str | None = None,
    groups: str | None = None,
) -> dict[str, Any]:
    """A table in a Parquet file; encoded by statistics of the training rows.

    Numbers are standardised, categories become one-hot, missing values are marked.

    Args:
        path: The file. A relative path starts at the working folder.
        target: Column to predict, or a list of numeric ones.
        categorical: Columns that hold categories though they are numbers, or have more than 100.
        text: Columns of free text; each becomes the TF-IDF of its 1,000 most frequent words.
        drop: Columns to leave out.
        time: Column of dates or numbers by which the rows are put in order, for a split in that order.
        weight: Column of each row's weight in the loss (Keras's `sample_weight`), at least 0.
        groups: Column of what rows belong to, such as a patient: all rows of one are in the same split.

    Returns:
        `x` `{column: (rows,)}`, float or text; after the split `x` is float32 `(rows, features)`.
        `y` `(rows,)`, or `(rows, targets)`; `sample_weight` `(rows,)`, if a column is named.

    Raises:
        DataError: The file is missing or malformed; the message names row or column.
    """
    import pandas as pd

    file = Path(path).expanduser()
    if not file.is_file():
        received = str(file.absolute())
        raise DataError(
            fault(
                "data.options.path", "the file does not exist", expected="a Parquet file", received=received
            )
        )
    try:
        frame = pd.read_parquet(file)
    except (ValueError, OSError, ImportError) as failure:  # pyarrow's own errors are ValueErrors
        raise DataError(fault(str(file), "cannot be read as Parquet", received=str(failure))) from failure
    return read_table(
        frame,
        where=path,
        target=target,
        categorical=categorical,
        text=text,
        drop=drop,
        time=time,
        weight=weight,
        groups=groups,
    )
