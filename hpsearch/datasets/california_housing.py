"""California housing: median house values of 20,640 districts, census of 1990 (Pace and Barry, 1997)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.datasets.csv import read_csv
from hpsearch.datasets.table import read_table
from hpsearch.errors import DataError, fault

FILE = "housing.csv"
TARGET = "median_house_value"
UNIT = 100_000.0
"""Dollars; the target is in this unit, as in scikit-learn."""


def load(path: str | None = None) -> dict[str, Any]:
    """Median house values of 20,640 districts in California, from eight numbers and where the sea is.

    The file is that of "Hands-On Machine Learning" (Géron): it has the category `ocean_proximity` and
    no `total_bedrooms` in 207 rows. scikit-learn's version has eight numbers, averages a household among
    them, and nothing missing. Both are encoded by statistics of the training rows.

    Args:
        path: `housing.csv`, or the folder that holds it. Default:
            `$HPSEARCH_DATA_DIR/california_housing`, then scikit-learn's cache, then its download.

    Returns:
        `x` `{column: (rows,)}`, float or text; after the split `x` is float32 `(rows, features)`.
        `y` `(rows,)`, in 100,000 dollars.

    Raises:
        DataError: The file is missing or malformed, or cannot be downloaded.
    """
    file = _find(path)
    if file is None:
        return _from_sklearn()
    loaded = read_table(read_csv(file), where=str(file), target=TARGET)
    return {**loaded, "y": loaded["y"] / UNIT}


def _find(path: str | None) -> Path | None:
    root = os.environ.get("HPSEARCH_DATA_DIR")
    if path is not None:
        place = Path(path).expanduser()
        return place / FILE if place.is_dir() else place
    if root and (place := Path(root).expanduser() / "california_housing" / FILE).is_file():
        return place
    return None


def _from_sklearn() -> dict[str, Any]:
    from sklearn.datasets import fetch_california_housing

    try:
        frame = fetch_california_housing(as_frame=True, n_retries=1).frame
    except Exception as failure:
        raise DataError(
            fault(
                "data california_housing",
                "is not in scikit-learn's cache and cannot be downloaded",
                received=f"{type(failure).__name__}: {failure}",
                advice=f"Give the file {FILE} as `data.options.path`, or set HPSEARCH_DATA_DIR to the folder "
                "above `california_housing`.",
            )
        ) from failure
    loaded = read_table(frame, where="data california_housing", target="MedHouseVal")
    return {**loaded, "y": np.asarray(loaded["y"], dtype=np.float32)}
