"""Tables of named columns: told apart as numbers, categories and text, and checked value by value."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, did_you_mean, fault

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 100
"""More different texts than that in a column are no categories, unless the user says so."""
Names = str | Sequence[str]
"""One column, or several."""


def read_table(
    frame: pd.DataFrame,
    *,
    where: str,
    target: Names,
    categorical: Names = (),
    text: Names = (),
    drop: Names = (),
    time: str | None = None,
    weight: str | None = None,
    groups: str | None = None,
) -> dict[str, Any]:
    """Makes inputs and targets of a table; missing values stay missing until the rows are split.

    A column whose values are all numbers is numeric. Any other holds categories, if it has at most 100
    different ones. Everything doubtful is refused: a text among numbers, a text in every row.

    Args:
        frame: Text columns may hold numbers as text.
        where: Names the file, for messages.
        target: Column to predict, or several numeric ones.
        categorical: Columns that hold categories whatever they look like, such as codes.
        text: Columns of free text.
        drop: Columns to leave out.
        time: Column by which the rows are ordered: they are split in that order. It is no input.
        weight: Column of each row's weight in the loss. It is no input.
        groups: Column of what rows belong to, such as a patient: all rows of one are in the same split. It
            is no input.

    Returns:
        What a loader returns, with the preprocessing that is fitted on the training rows.

    Raises:
        DataError: A column or a value is not what it has to be; the message names it.
    """
    from hpsearch.datasets.encoding import fit

    columns = [str(column) for column in frame.columns]
    frame = frame.set_axis(columns, axis="columns").reset_index(drop=True)
    _check_columns(columns, where)
    if frame.empty:
        raise DataError(fault(where, "there are no rows", expected="rows below the header"))
    if len(frame) == 1:
        raise DataError(
            fault(where, "there is only one row", expected="rows to train on, to validate and to test")
        )
    named = {"target": target, "categorical": categorical, "text": text, "drop": drop}
    named |= {"time": time or (), "weight": weight or (), "groups": groups or ()}
    chosen = {option: _named(option, value, columns, where) for option, value in named.items()}
    _check_once(chosen)
    y = _target(frame, chosen["target"], where)
    apart = {name for key in ("target", "drop", "time", "weight", "groups") for name in chosen[key]}
    numeric: dict[str, Array] = {}
    categories: dict[str, Array] = {}
    texts: dict[str, Array] = {}
    for name in (column for column in columns if column not in apart):
        column = frame[name]
        if column.isna().all():
            raise _wrong(where, name, "has no value at all", advice="List it under `data.options.drop`.")
        if name in chosen["text"]:
            texts[name] = _texts(column)
        elif name in chosen["categorical"]:
            categories[name] = _texts(column)
        elif (found := _numbers(column, where, name)) is not None:
            numeric[name] = found
        else:
            categories[name] = _categories(column, where, name)
    if not numeric and not categories and not texts:
        raise DataError(
            fault(
                where,
                "no column is left as input",
                expected="one besides the target",
                received=", ".join(columns),
            )
        )
    table: dict[str, Any] = {
        "x": {**numeric, **categories, **texts},
        "y": y,
        "preprocess": partial(fit, numeric=tuple(numeric), categories=tuple(categories), texts=tuple(texts)),
    }
    if weight is not None:
        table["sample_weight"] = _weights(frame[weight], where, weight)
    if groups is not None:
        table["groups"] = _groups(frame[groups], where, groups)
    if time is None:
        return table
    order = _moments(frame[time], where, time).argsort(kind="stable")
    table["x"] = {name: values[order] for name, values in table["x"].items()}
    for key in ("y", "sample_weight", "groups"):
        if key in table:
            table[key] = table[key][order]
    return {**table, "overlap": 0}


def _wrong(
    where: str, column: str, problem: str, *, row: int | None = None, advice: str | None = None, **more: Any
) -> DataError:
    place = f"{where}: column `{column}`" + ("" if row is None else f", row {row + 1}")
    return DataError(fault(place, problem, advice=advice, **more))


def _check_columns(columns: list[str], where: str) -> None:
    for position, name in enumerate(columns):
        if not name.strip():
            raise DataError(fault(where, f"column {position + 1} has no name", received=", ".join(columns)))
        if name in columns[:position]:
            raise _wrong(
                where,
                name,
                "is there twice",
                received=f"columns {columns.index(name) + 1} and {position + 1}",
            )


def _named(option: str, value: object, columns: list[str], where: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    key = f"data.options.{option}"
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DataError(
            fault(key, "not a name of a column", expected="a name, or a list of them", received=value)
        )
    if option == "target" and not names:
        raise DataError(fault(key, "is empty", expected=f"a column of {where}: {', '.join(columns)}"))
    for name in names:
        if name not in columns:
            raise DataError(
                fault(
                    key,
                    f"{where} has no column `{name}`",
                    expected=", ".join(columns),
                    advice=did_you_mean(name, columns),
                )
            )
    return tuple(names)


def _check_once(chosen: dict[str, tuple[str, ...]]) -> None:
    seen: dict[str, str] = {}
    for option, names in chosen.items():
        for name in names:
            if name in seen:
                both = seen[name] if seen[name] == option else f"{seen[name]} and {option}"
                raise DataError(
                    fault(f"data.options.{option}", f"column `{name}` is named twice", received=both)
                )
            seen[name] = option


def _target(frame: pd.DataFrame, names: tuple[str, ...], where: str) -> Array:
    for name in names:
        missing = np.flatnonzero(frame[name].isna())
        if len(missing):
            raise _wrong(
                where,
                name,
                "the target has no value",
                row=int(missing[0]),
                received=f"{len(missing)} such row{'s' if len(missing) > 1 else ''} of {len(frame)}",
                advice="Take the rows without a target out of the file.",
            )
    if len(names) == 1:
        numbers = _numbers(frame[names[0]], where, names[0])
        return _texts(frame[names[0]]) if numbers is None else _whole(numbers)
    amounts = []
    for name in names:
        numbers = _numbers(frame[name], where, name)
        if numbers is None:
            raise _wrong(where, name, "text cannot be one of several targets", expected="numbers")
        amounts.append(numbers)
    return np.stack(amounts, axis=-1)


def _whole(numbers: Array) -> Array:
    """Returns whole numbers as integers: they may be classes."""
    return numbers.astype(np.int64) if (numbers == np.floor(numbers)).all() else numbers


def _numbers(column: pd.Series[Any], where: str, name: str) -> Array | None:
    """Returns the column as numbers, missing ones NaN; None if it holds something else."""
    import pandas as pd
    from pandas.api import types

    if types.is_bool_dtype(column) or types.is_datetime64_any_dtype(column):
        return None
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    strange = np.flatnonzero(np.isnan(numbers) & column.notna().to_numpy())
    if 2 * len(strange) >= column.notna().sum():
        return None
    if len(strange):
        raise _wrong(
            where,
            name,
            "not a number",
            row=int(strange[0]),
            expected=f"a number as in {column.notna().sum() - len(strange)} other rows, or an empty field",
            received=f"`{column.iloc[strange[0]]}`",
            advice="If they are no numbers, list the column in `data.options.categorical`, `text` or `drop`.",
        )
    if np.isinf(numbers).any():
        raise _wrong(where, name, "is infinite", row=int(np.flatnonzero(np.isinf(numbers))[0]))
    return np.asarray(numbers)


def _texts(column: pd.Series[Any]) -> Array:
    """Returns the column as text; a missing value is the empty text."""
    return np.array(
        ["" if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]
    )


def _categories(column: pd.Series[Any], where: str, name: str) -> Array:
    values = _texts(column)
    distinct = len(np.unique(values))
    if distinct > MAX_CATEGORIES:
        raise _wrong(
            where,
            name,
            "too many different texts for categories",
            expected=f"at most {MAX_CATEGORIES}",
            received=f"{distinct} in {len(values)} rows, such as `{values[0]}`",
            advice="List the column under `data.options.categorical`, `text` or `drop`.",
        )
    return values


def _weights(column: pd.Series[Any], where: str, name: str) -> Array:
    weights = _numbers(column, where, name)
    expected = "a number of at least 0 in every row"
    if weights is None:
        raise _wrong(where, name, "holds no weights", expected=expected, received=f"`{column.iloc[0]}`")
    wrong = np.flatnonzero(~(weights >= 0))
    if len(wrong):
        row = int(wrong[0])
        received = "no value" if np.isnan(weights[row]) else f"{weights[row]:g}"
        raise _wrong(where, name, "not a weight", row=row, expected=expected, received=received)
    return weights


def _groups(column: pd.Series[Any], where: str, name: str) -> Array:
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise _wrong(where, name, "has no group", row=int(missing[0]), expected="a group in every row")
    return _texts(column)


def _moments(column: pd.Series[Any], where: str, name: str) -> Array:
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the first value has no date's format: then it is refused
        moments = numbers if numbers.notna().all() else pd.to_datetime(column, errors="coerce", utc=True)
    missing = np.flatnonzero(moments.isna())
    if len(missing):
        raise _wrong(
            where,
            name,
            "not a time",
            row=int(missing[0]),
            expected="a date or a number in every row, all written alike",
            received=f"`{column.iloc[missing[0]]}`",
        )
    return np.asarray(moments.to_numpy())
