"""What the target is: classes or amounts; classes become numbers from 0, their names are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpsearch.datasets.data import Array, Split
from hpsearch.errors import DataError, fault

TASKS = ("classification", "regression")


@dataclass(frozen=True, eq=False)
class Targets:
    """Splits whose targets are ready to train on.

    Attributes:
        splits: In the order given. Classes are int32 `(rows,)`, or float32 one-hot `(rows, classes)`
            where the source had that; amounts are float32.
        task: `classification` or `regression`.
        class_names: In the order of the class numbers; empty for regression and for several outputs.
    """

    splits: tuple[Split, ...]
    task: str
    class_names: tuple[str, ...]


def read_targets(
    splits: Sequence[Split],
    *,
    task: str | None,
    class_names: tuple[str, ...] | None,
    where: str,
    one_hot: bool = False,
) -> Targets:
    """Tells classes from amounts, and numbers the classes.

    Text, booleans and one-hot rows are classes, fractions are amounts. Integers are classes when there
    are few different ones (at most 20 or the square root of the rows, each twice on average).

    Args:
        splits: All rows there are, in one or several splits.
        task: `classification` or `regression` if the user said so.
        class_names: If the source has them.
        one_hot: Whether class numbers become one-hot rows.
        where: Names the data set, for messages.

    Raises:
        DataError: The target is malformed, or could be either.
    """
    if task is not None and task not in TASKS:
        raise DataError(
            fault("data.options.task", "unknown task", expected=" or ".join(TASKS), received=task)
        )
    first = splits[0].y
    if isinstance(first, Mapping) and len(first) > 1:
        return _several(splits, task, where)
    output = next(iter(first)) if isinstance(first, Mapping) else None
    columns = [_column(split, output, where) for split in splits]
    if len({column.shape[1:] for column in columns}) > 1:
        shapes = ", ".join(str(column.shape[1:]) for column in columns)
        raise DataError(fault(where, "the splits' targets differ in shape", received=shapes))
    everything = np.concatenate(columns)
    if everything.dtype.kind == "f" and not np.isfinite(everything).all():
        count = int((~np.isfinite(everything)).sum())
        raise DataError(
            fault(
                where,
                "the target has missing or infinite values",
                expected="a finite number in every row",
                received=f"{count} NaN or infinite of {everything.size}",
            )
        )
    task = task or _inferred(everything, class_names, where)
    names: tuple[str, ...] = ()
    if task == "regression":
        columns = [_amounts(column, where) for column in columns]
    else:
        columns, names = _numbered(columns, everything, class_names, where)
    if one_hot:
        columns = [_one_hot(column, len(names), where) for column in columns]
    return Targets(
        tuple(
            replace(split, y=column if output is None else {output: column})
            for split, column in zip(splits, columns, strict=True)
        ),
        task,
        names,
    )


def class_numbers(y: Array) -> Array:
    """Returns the class of each row, `(rows,)`, of class numbers or one-hot rows."""
    return y.argmax(axis=1) if y.ndim == 2 else y


def classes_of(y: Array, task: str) -> int | None:
    """Returns the number of classes of one output among several.

    Args:
        y: Its targets.
        task: Of the data set; in `classification` an output of fractions is one of amounts all the same.

    Returns:
        None for amounts, 0 for several classes a row.
    """
    if task == "regression" or (y.dtype.kind == "f" and not np.array_equal(y, np.floor(y))):
        return None
    if y.size == len(y):
        return 1 + int(y.max())
    return y.shape[1] if _is_one_hot(y) else 0


def _several(splits: Sequence[Split], task: str | None, where: str) -> Targets:
    if task is None:
        raise DataError(
            fault(
                where,
                "with several outputs hpsearch cannot tell what the target is",
                expected="`data.options.task`: " + " or ".join(TASKS),
            )
        )
    for split in splits:
        for label, array in split.arrays():
            if label.startswith("y") and array.dtype.kind in "US":
                raise DataError(
                    fault(
                        where,
                        f"the target `{label}` is text",
                        expected="numbers from 0 for classes, where there are several outputs",
                    )
                )
            if label.startswith("y") and not np.isfinite(array).all():
                raise DataError(fault(where, f"the target `{label}` has missing or infinite values"))
    return Targets(tuple(splits), task, ())


def _column(split: Split, output: str | None, where: str) -> Array:
    if isinstance(split.y, Mapping) != (output is not None) or (output and output not in split.y):
        raise DataError(fault(where, "the splits' targets differ in their names"))
    column = split.y[output] if isinstance(split.y, Mapping) and output is not None else split.y
    if isinstance(column, Mapping):
        raise DataError(fault(where, "the splits' targets differ in their names"))
    return column.reshape(len(column)) if column.ndim == 2 and column.shape[1] == 1 else column


def _inferred(y: Array, class_names: tuple[str, ...] | None, where: str) -> str:
    if class_names or y.dtype.kind in "USb" or _is_one_hot(y):
        return "classification"
    if y.dtype.kind == "f":
        return "regression"
    distinct = len(np.unique(y))
    if y.ndim == 1 and distinct <= max(20.0, math.sqrt(len(y))) and 2 * distinct <= len(y):
        return "classification"
    raise DataError(
        fault(
            where,
            "the target's integers could be classes or amounts",
            expected="`data.options.task`: " + " or ".join(TASKS),
            received=f"{distinct} different integers in {len(y)} rows" if y.ndim == 1 else f"shape {y.shape}",
        )
    )


def _is_one_hot(y: Array) -> bool:
    if y.ndim != 2 or y.dtype.kind not in "biuf":
        return False
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def _one_hot(y: Array, classes: int, where: str) -> Array:
    if not classes:
        raise DataError(fault(where, "`data.options.one_hot` is for classes", received="a regression"))
    return y if y.ndim == 2 else np.eye(classes, dtype=np.float32)[y]


def _amounts(y: Array, where: str) -> Array:
    if y.dtype.kind in "US":
        raise DataError(fault(where, "text cannot be the target of a regression", expected="numbers"))
    return y.astype(np.float32)


def _numbered(
    columns: list[Array], everything: Array, class_names: tuple[str, ...] | None, where: str
) -> tuple[list[Array], tuple[str, ...]]:
    if _is_one_hot(everything):
        names = class_names or tuple(str(number) for number in range(everything.shape[1]))
        if len(names) != everything.shape[1]:
            raise DataError(
                fault(
                    where,
                    "`class_names` does not fit the target",
                    expected=f"{everything.shape[1]} names",
                    received=f"{len(names)}",
                )
            )
        return [column.astype(np.float32) for column in columns], names
    whole = everything.dtype.kind != "f" or bool((everything == np.floor(everything)).all())
    if everything.ndim != 1 or not whole:
        raise DataError(
            fault(
                where,
                "the target is not one class a row",
                expected="class numbers or names `(rows,)`, or one-hot rows `(rows, classes)`",
                received=f"shape {everything.shape}, type {everything.dtype}",
            )
        )
    if everything.dtype.kind == "f":
        columns = [column.astype(np.int64) for column in columns]
        everything = everything.astype(np.int64)
    found = np.unique(everything)
    if class_names is None:
        if len(found) < 2:
            raise DataError(
                fault(where, "there is only one class", expected="at least two", received=_name(found[0]))
            )
        return (
            [np.searchsorted(found, column).astype(np.int32) for column in columns],
            tuple(_name(value) for value in found),
        )
    if everything.dtype.kind in "US":
        numbers = {name: number for number, name in enumerate(class_names)}
        strangers = [_name(value) for value in found if _name(value) not in numbers]
        encoded = [[numbers.get(_name(value), -1) for value in column] for column in columns]
    else:
        strangers = [_name(value) for value in found if not 0 <= value < len(class_names)]
        encoded = [column.tolist() for column in columns]
    if strangers:
        raise DataError(
            fault(
                where,
                f"class `{strangers[0]}` has no name in `class_names`",
                expected=f"{', '.join(class_names)} (or their numbers from 0)",
                received=", ".join(strangers[:10]),
            )
        )
    return [np.array(column, dtype=np.int32) for column in encoded], class_names


def _name(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
