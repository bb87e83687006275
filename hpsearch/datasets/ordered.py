"""Splits that keep the order of the rows: the past for training, the future for validation and test."""

from __future__ import annotations

import math

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault


def check_order(split: str | None, gap: int | None, *, overlap: int | None, stratify: bool | None) -> bool:
    """Returns whether the rows are split in their order; refuses what would leak the future.

    Args:
        split: `random`, `ordered` or None: what the user says.
        gap: Rows to leave out between two parts, likewise.
        overlap: Of a series: how many rows after each share something with it. None: no series.
        stratify: Whether the user wants each class to have the same share of every part.

    Raises:
        DataError: The options contradict each other or the series.
    """
    if split not in (None, "random", "ordered"):
        raise DataError(
            fault("data.options.split", "unknown split", expected="random or ordered", received=split)
        )
    series = overlap is not None
    if series and split == "random":
        raise DataError(
            fault(
                "data.options.split",
                "rows in order of time cannot be split at random: training would see what comes after",
                expected="ordered",
                received=split,
            )
        )
    ordered = series or split == "ordered"
    if gap is not None and not ordered:
        raise DataError(fault("data.options.gap", "is for `split: ordered`", received=gap))
    least = overlap or 0
    if gap is not None and (isinstance(gap, bool) or not isinstance(gap, int) or gap < least):
        raise DataError(
            fault(
                "data.options.gap",
                f"each row shares something with the {least} after it" if least else "wrong value",
                expected=f"a whole number, at least {least}",
                received=gap,
            )
        )
    if ordered and stratify:
        raise DataError(
            fault("data.options.stratify", "an ordered split cannot give each part the same share of a class")
        )
    return ordered


def in_order(rows: int, shares: dict[str, float], gap: int, where: str) -> dict[str, slice]:
    """Cuts parts from the end, as Keras's `validation_split` does; what comes first is for training.

    Args:
        rows: How many there are.
        shares: Of each part, the last one first.
        gap: Rows left out between two parts.
        where: Names the data set, for messages.

    Returns:
        The rows of each part and of `train`; nothing where there are no shares.

    Raises:
        DataError: A part has no row.
    """
    chosen: dict[str, slice] = {}
    stop = rows
    for part, share in shares.items():
        start = stop - (rows - math.floor(rows * (1 - share)))
        chosen[part] = slice(max(start, 0), stop)
        stop = start - gap
    if not chosen:
        return {}
    chosen["train"] = slice(0, max(stop, 0))
    for part, piece in chosen.items():
        if piece.stop <= piece.start:
            raise DataError(
                fault(
                    where,
                    f"{rows} rows are too few to split in order",
                    expected="a row in every split",
                    received=f"none for {part}" + (f", with {gap} left out between two parts" if gap else ""),
                )
            )
    return chosen


def check_classes(
    labels: Array | None, chosen: dict[str, slice], class_names: tuple[str, ...], where: str
) -> None:
    """Refuses what a file sorted by its classes would give.

    Raises:
        DataError: A class occurs in another part and not among the training rows.
    """
    if labels is None or not chosen:
        return
    known = labels[chosen["train"]]
    for part, piece in chosen.items():
        strangers = np.setdiff1d(labels[piece], known)
        if len(strangers):
            raise DataError(
                fault(
                    where,
                    f"class `{class_names[strangers[0]]}` has rows for {part} and none for training",
                    expected="each class among the first rows too",
                    advice="If the rows are sorted by class, leave `data.options.split` out.",
                )
            )
