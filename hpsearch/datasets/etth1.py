"""ETTh1: hourly temperatures of an electricity transformer, two years (Zhou et al., Informer, AAAI 2021)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.datasets.windows import check_windows, windows
from hpsearch.errors import DataError, fault

COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
FILE = "ETTh1.csv"
MONTH = 30 * 24
PARTS = {"train": (0, 12 * MONTH), "validation": (12 * MONTH, 16 * MONTH), "test": (16 * MONTH, 20 * MONTH)}
"""The paper's split in time: 12, 4 and 4 months of 30 days; what follows is not used."""


def load(
    path: str | None = None, steps: int = 48, horizon: int = 1, stride: int | None = None
) -> dict[str, Any]:
    """Hourly loads and oil temperature of a transformer; the oil temperature some hours ahead is the target.

    Source: https://github.com/zhouhaoyi/ETDataset (ETT-small), CC BY-ND 4.0.

    Args:
        path: `ETTh1.csv`, or the folder that holds it. Default: `$HPSEARCH_DATA_DIR/etth1`.
        steps: Hours in a window. Default: 48.
        horizon: How many hours ahead of each step its target lies. Default: 1.
        stride: From window to window. Default: `steps`, each begins where the one before ends.

    Returns:
        `x` float32 `(windows, steps, 7)`, all columns; `y` float32 `(windows, steps, 1)`, column `OT`;
        training, validation and test, in the order of time. Columns have mean 0 and standard deviation 1
        over the training months, as in the paper.

    Raises:
        DataError: The file is missing or malformed, or an option is out of range.
    """
    file = _find(path)
    table = _read(file)
    if horizon < 0:
        raise DataError(
            fault("data.options.horizon", "out of range", expected="at least 0", received=horizon)
        )
    if len(table) < PARTS["test"][1]:
        expected = f"at least {PARTS['test'][1]} rows: 20 months of hours"
        raise DataError(fault(str(file), "is too short", expected=expected, received=f"{len(table)} rows"))
    check_windows(steps, stride, {part: stop - start for part, (start, stop) in PARTS.items()}, reach=horizon)
    train = table[slice(*PARTS["train"])]
    scaled = ((table - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32)
    loaded: dict[str, Any] = {}
    for part, bounds in PARTS.items():
        rows = scaled[slice(*bounds)]
        loaded[f"x_{part}"] = windows(rows[: len(rows) - horizon], steps, stride)
        loaded[f"y_{part}"] = windows(rows[horizon:, -1:], steps, stride)
    return loaded


def _find(path: str | None) -> Path:
    root = os.environ.get("HPSEARCH_DATA_DIR")
    if path is None and root is None:
        raise DataError(
            fault(
                "data etth1",
                f"where {FILE} lies is not said",
                expected="`data.options.path`, or HPSEARCH_DATA_DIR with the folder above `etth1`",
                advice="It is ETT-small/ETTh1.csv of https://github.com/zhouhaoyi/ETDataset.",
            )
        )
    place = Path(path).expanduser() if path is not None else Path(root or "").expanduser() / "etth1"
    file = place if place.suffix == ".csv" else place / FILE
    if not file.is_file():
        where = "HPSEARCH_DATA_DIR" if path is None else "data.options.path"
        raise DataError(
            fault(where, f"`{file}` does not exist", expected=f"{FILE} or the folder that holds it")
        )
    return file


def _read(file: Path) -> Array:
    """Reads the columns of numbers, `(hours, 7)`, in the order of `COLUMNS`."""
    import pandas

    try:
        table = pandas.read_csv(file)
    except (OSError, ValueError) as failure:  # pandas' parser errors and wrong encodings are ValueErrors
        raise DataError(
            fault(str(file), "cannot be read as a table", received=" ".join(str(failure).split()))
        ) from failure
    if missing := [column for column in COLUMNS if column not in table]:
        raise DataError(
            fault(
                str(file),
                f"has no column `{missing[0]}`",
                expected=", ".join(COLUMNS),
                received=", ".join(map(str, table.columns)),
            )
        )
    for column in COLUMNS:
        numbers = pandas.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
        if wrong := np.flatnonzero(~np.isfinite(numbers)).tolist():
            raise DataError(
                fault(
                    f"{file}, row {wrong[0] + 2}, column {column}",
                    "not a number",
                    expected="a finite number in every row",
                    received=repr(table[column].iloc[wrong[0]]),
                )
            )
        table[column] = numbers
    return table[list(COLUMNS)].to_numpy(np.float64)
