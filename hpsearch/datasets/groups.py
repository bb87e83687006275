"""Rows that belong together, such as the pictures of one patient: all of a group are in the same split."""

from __future__ import annotations

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault

_KEY = "data.options.groups"


def check_groups(groups: Array | None, *, ordered: bool, stratify: bool | None) -> None:
    """Refuses groups where the rows are split in another way.

    Args:
        groups: The group of each row, or None.
        ordered: Whether the rows are split in their order.
        stratify: Whether the user wants each class to have the same share of every part.

    Raises:
        DataError: They are.
    """
    if groups is None:
        return
    if ordered:
        raise DataError(fault(_KEY, "rows that are split in their order cannot be split by groups"))
    if stratify:
        what = "a split by groups cannot give each part the same share of a class"
        raise DataError(fault("data.options.stratify", what))


def divide_groups(rows: Array, count: int, groups: Array, seed: int, where: str) -> tuple[Array, Array]:
    """Returns the rows that stay and those that leave: whole groups, with about `count` rows.

    Args:
        rows: Numbers of the rows to divide.
        count: How many should leave.
        groups: The group of every row of the data set.
        seed: Of the choice.
        where: Names the data set, for messages.

    Raises:
        DataError: There is only one group left.
    """
    from sklearn.model_selection import GroupShuffleSplit

    here = groups[rows]
    there = len(np.unique(here))
    if there < 2:
        expected = "three groups: to train on, to validate on and to test"
        raise DataError(fault(where, "too few groups to split", expected=expected, received=f"{there} left"))
    leaving = min(max(1, round(there * count / len(rows))), there - 1)
    splitter = GroupShuffleSplit(1, test_size=leaving, random_state=seed)
    stay, leave = next(splitter.split(rows, groups=here))
    return rows[stay], rows[leave]
