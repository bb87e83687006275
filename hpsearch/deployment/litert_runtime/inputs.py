"""Whether what someone gives is what the model takes, and what the file takes for it.

Messages say what, where, expected and received: they go to whoever sent it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import preprocessing

TEXT = "text"
"""What a model of text calls its only input."""


class InputError(ValueError):
    """What was given is not what the model takes."""


def wrong(
    where: str,
    problem: str,
    *,
    expected: str | None = None,
    received: str | None = None,
    advice: str | None = None,
) -> InputError:
    """Returns the error, its message in this order."""
    parts = [f"{where}: {problem}"]
    if expected is not None:
        parts.append(f"expected {expected}")
    if received is not None:
        parts.append(f"received {received}")
    text = "; ".join(parts).rstrip(".") + "."
    return InputError(f"{text} {advice}" if advice else text)


def kind(description: Mapping[str, Any]) -> str:
    """Returns what the model takes: `text`, `columns` of a table, or `tensors`."""
    return next((each for each in ("text", "columns") if description[each]), "tensors")


def names(description: Mapping[str, Any]) -> list[str]:
    """Returns the names under which values are given."""
    takes = kind(description)
    if takes == "text":
        return [TEXT]
    if takes == "columns":
        columns = description["columns"]
        return [each["name"] for part in ("numbers", "categories", "texts") for each in columns[part]]
    return [each["name"] for each in description["inputs"]]


def shape_of(tensor: Mapping[str, Any]) -> str:
    """Writes a shape and type: `(rows, 28, 28, 1) float32`."""
    sizes = ["any" if size is None else str(size) for size in tensor["shape"][1:]]
    return f"({', '.join(['rows', *sizes])}{'' if sizes else ','}) {tensor['dtype']}"


def tensors(description: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Checks values and makes of them what the file takes.

    Args:
        description: What `model.json` holds.
        given: Values of all rows, by the names of `names`.

    Raises:
        InputError: Something is missing, too much, or not what it has to be.
    """
    wanted = names(description)
    missing = [name for name in wanted if name not in given]
    takes = kind(description)
    # A table may have more columns than those the model reads, such as the one that it predicts.
    unknown = [] if takes == "columns" else [str(name) for name in given if name not in wanted]
    if missing or unknown:
        raise wrong(
            "the input",
            f"`{missing[0]}` is missing" if missing else f"there is no input `{unknown[0]}`",
            expected=", ".join(f"`{name}`" for name in wanted),
            received=", ".join(f"`{name}`" for name in given) or "nothing",
        )
    if takes == "tensors":
        arrays = {each["name"]: _tensor(each, given[each["name"]]) for each in description["inputs"]}
        _same_length({name: len(array) for name, array in arrays.items()})
        return arrays
    lists = {name: _values(name, given[name]) for name in wanted}
    _same_length({name: len(values) for name, values in lists.items()})
    tensor = description["inputs"][0]
    if takes == "text":
        texts = [_text(TEXT, row, value) for row, value in enumerate(lists[TEXT])]
        array = preprocessing.token_ids(texts, description["text"]["vocabulary"], tensor["shape"][1])
    else:
        array = _columns(description["columns"], lists)
    return {tensor["name"]: array.astype(tensor["dtype"])}


def array_of(where: str, value: Any) -> np.ndarray[Any, Any]:
    """Returns numbers as an array.

    Raises:
        InputError: They are no numbers, or the lists differ in length.
    """
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as failure:
        raise wrong(where, "lists of different lengths or depths", received=_shown(value)) from failure
    if array.dtype.kind not in "fiub":
        expected = "a number for each value, no text, object or null"
        raise wrong(where, "not all values are numbers", expected=expected, received=_shown(value))
    return array


def _tensor(tensor: Mapping[str, Any], value: Any) -> np.ndarray[Any, Any]:
    where, dtype = f"input `{tensor['name']}`", np.dtype(tensor["dtype"])
    expected = shape_of(tensor)
    array = array_of(where, value)
    sizes = tensor["shape"]
    if array.ndim != len(sizes) or any(
        size not in (None, got) for size, got in zip(sizes[1:], array.shape[1:], strict=True)
    ):
        raise wrong(where, "wrong shape", expected=expected, received=str(array.shape))
    if not array.size:
        raise wrong(where, "there are no rows", expected=expected, received=str(array.shape))
    if (array.dtype.kind == "b") != (dtype.kind == "b"):
        raise wrong(where, "wrong type", expected=expected, received=str(array.dtype))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise wrong(where, "NaN or infinity", expected=f"finite numbers, {expected}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if array.dtype.kind == "f" and (array != np.floor(array)).any():
            fraction = array[array != np.floor(array)][0]
            raise wrong(where, "wrong type", expected=f"whole numbers, {expected}", received=str(fraction))
        if array.min() < limits.min or array.max() > limits.max:
            received = f"{array.min()} to {array.max()}"
            allowed = f"{limits.min} to {limits.max}, {expected}"
            raise wrong(where, "out of range", expected=allowed, received=received)
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(cast).all():
        largest = f"{np.abs(array).max():g}"
        raise wrong(where, f"too large for {dtype}", expected=expected, received=largest)
    return np.ascontiguousarray(cast)


def _columns(columns: Mapping[str, Any], lists: Mapping[str, Sequence[Any]]) -> np.ndarray[Any, Any]:
    values: dict[str, list[Any]] = {}
    for each in columns["numbers"]:
        name = each["name"]
        values[name] = [_number(name, row, value) for row, value in enumerate(lists[name])]
    for each in (*columns["categories"], *columns["texts"]):
        name = each["name"]
        values[name] = [_category(name, row, value) for row, value in enumerate(lists[name])]
    return preprocessing.features(columns, values)


def _values(name: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise wrong(f"`{name}`", "not a list", expected="a value for each row", received=_shown(value))
    if not value:
        raise wrong(f"`{name}`", "there are no rows", expected="a value for each row")
    return list(value)


def _same_length(rows: Mapping[str, int]) -> None:
    if len(set(rows.values())) > 1:
        received = ", ".join(f"`{name}`: {count}" for name, count in rows.items())
        raise wrong(
            "the input", "the number of rows differs", expected="the same for each", received=received
        )


def _text(name: str, row: int, value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        raise wrong(f"`{name}`, row {row + 1}", "not a text", expected="a string", received=_shown(value))
    return value


def _number(name: str, row: int, value: Any) -> float:
    """Returns a number; NaN, which stands for a missing one, of nothing."""
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return float("nan")
    where = f"column `{name}`, row {row + 1}"
    try:
        number = float(value) if isinstance(value, str | int | float) else float("inf")
    except (ValueError, OverflowError):
        raise wrong(where, "not a number", expected="a number, or null", received=_shown(value)) from None
    if isinstance(value, bool) or not np.isfinite(np.float32(number)):
        raise wrong(where, "not a finite number", expected="a number, or null", received=_shown(value))
    return number


def _category(name: str, row: int, value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if not isinstance(value, str | int | float):
        where = f"column `{name}`, row {row + 1}"
        raise wrong(where, "not a text", expected="a string, or null", received=_shown(value))
    return str(value)


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
