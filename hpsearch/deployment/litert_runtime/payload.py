"""Bodies of requests, in the forms that MLflow's scoring server reads, become values by input.

{"inputs": [[...], ...]}, {"inputs": {"left": [...], "right": [...]}}      all rows of each input
{"instances": [[...], ...]}, {"instances": [{"left": ..., "right": ...}, ...]}     row by row
{"dataframe_split": {"columns": [...], "data": [[...], ...]}}
{"dataframe_records": [{"age": 31, "city": "Rome"}, ...]}
text/csv: a header and rows
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np

from .inputs import TEXT, InputError, array_of, kind, names, shape_of, wrong

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
MISSING = frozenset(
    [
        "",
        "#N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
).union(["#N/A N/A"])
"""Fields that stand for no value, as pandas reads them, and with it hpsearch's tables."""


def from_json(body: bytes, description: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a JSON document.

    Raises:
        InputError: It is none of the forms.
    """
    expected = f"a JSON object with one of {', '.join(FORMS)}"
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except InputError:
        raise
    except RecursionError:
        raise wrong("the body", "lists within lists without end", expected=expected) from None
    except ValueError as failure:  # no JSON, not UTF-8, numbers of thousands of digits
        raise wrong("the body", "not JSON", expected=expected, received=f"{failure}"[:200]) from failure
    if not isinstance(document, dict):
        raise wrong("the body", "not an object", expected=expected, received=type(document).__name__)
    found = [form for form in FORMS if form in document]
    others = sorted(str(key) for key in document if key not in (*FORMS, "params"))
    if len(found) != 1 or others:
        received = ", ".join(f"`{key}`" for key in document) or "an empty object"
        raise wrong("the body", "which form it has is unclear", expected=expected, received=received)
    (form,) = found
    value = document[form]
    if form == "inputs":
        return _inputs(value, description)
    if form == "instances":
        return _instances(value, description)
    if form == "dataframe_split":
        return _split(value, description)
    return _records(form, value, description)


def from_csv(body: bytes, description: Mapping[str, Any]) -> dict[str, Any]:
    """Reads CSV: a header and rows.

    Raises:
        InputError: It is not such, or the columns do not fit the model.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")) if row]
    except (csv.Error, ValueError) as failure:
        message = f"{failure}"[:200]
        raise wrong(
            "the body", "not CSV in UTF-8", expected="a header and rows", received=message
        ) from failure
    if len(rows) < 2:
        raise wrong(
            "the body", "there are no rows", expected="a header and rows", received=f"{len(rows)} line(s)"
        )
    header, *data = rows
    return frame(header, data, description, csv=True)


def frame(
    columns: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    description: Mapping[str, Any],
    *,
    csv: bool = False,
) -> dict[str, Any]:
    """Finds the model's inputs among the columns of a table.

    Args:
        columns: Their names.
        rows: As many values in each.
        description: What `model.json` holds.
        csv: Whether all values are text, as of a file.

    Raises:
        InputError: The columns do not fit the model.
    """
    header = [str(column) for column in columns]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise wrong("the columns", f"`{twice}` is there twice")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            expected = f"{len(header)}, one a column"
            raise wrong(
                f"row {number + 1}", "wrong number of values", expected=expected, received=str(len(row))
            )
    if not rows:
        raise wrong("the table", "there are no rows")
    takes, wanted = kind(description), names(description)
    if csv and takes != "text":
        read = _cell if takes == "columns" else _number
        rows = [
            [read(value, name, row) for name, value in zip(header, each, strict=True)]
            for row, each in enumerate(rows)
        ]
    by_name = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    if takes == "text" and len(header) == 1:
        return {TEXT: by_name[header[0]]}
    if takes != "tensors":
        return by_name
    tensors = {each["name"]: each for each in description["inputs"]}
    if set(wanted) <= set(header):
        return {name: _shaped(tensors[name], by_name[name]) for name in wanted}
    first = tensors[wanted[0]]
    sizes = first["shape"][1:]
    if len(wanted) == 1 and None not in sizes and prod(sizes) == len(header):
        return {wanted[0]: array_of("the table", rows).reshape(len(rows), *sizes)}
    count = f", or {prod(sizes)} columns of numbers" if len(wanted) == 1 and None not in sizes else ""
    each = ", ".join(f"`{name}` {shape_of(tensors[name])}" for name in wanted)
    received = f"{len(header)}: {', '.join(f'`{name}`' for name in header[:10])}"
    raise wrong("the columns", "they do not fit the model", expected=f"{each}{count}", received=received)


def _inputs(value: Any, description: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, dict):
        return dict(value)
    wanted = names(description)
    if kind(description) == "columns" or len(wanted) > 1:
        expected = f"an object with {', '.join(f'`{name}`' for name in wanted)}"
        raise wrong("`inputs`", "the model has several", expected=expected, received=type(value).__name__)
    return {wanted[0]: value}


def _instances(value: Any, description: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, list) or not value:
        received = "an empty list" if value == [] else type(value).__name__
        raise wrong("`instances`", "there are no rows", expected="a list of rows", received=received)
    wanted = names(description)
    if any(isinstance(row, dict) for row in value):
        return _records("instances", value, description)
    if kind(description) == "columns" or len(wanted) > 1:
        expected = f"objects with {', '.join(f'`{name}`' for name in wanted)}"
        raise wrong("`instances`", "the model has several inputs", expected=expected)
    return {wanted[0]: value}


def _records(form: str, value: Any, description: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        raise wrong(f"`{form}`", "not a list of objects", expected="an object for each row")
    header = list(value[0])
    for number, row in enumerate(value):
        if set(row) != set(header):
            received = ", ".join(f"`{name}`" for name in row) or "nothing"
            expected = ", ".join(f"`{name}`" for name in header) or "values"
            where = f"`{form}`, row {number + 1}"
            raise wrong(where, "other names than in row 1", expected=expected, received=received)
    if form == "instances":
        return {name: [row[name] for row in value] for name in header}
    return frame(header, [[row[name] for name in header] for row in value], description)


def _split(value: Any, description: Mapping[str, Any]) -> dict[str, Any]:
    expected = "an object with `columns`, a list, and `data`, a list of rows"
    columns, data = (value.get("columns"), value.get("data")) if isinstance(value, dict) else (None, None)
    if (
        not isinstance(columns, list)
        or not isinstance(data, list)
        or not all(isinstance(r, list) for r in data)
    ):
        received = (
            f"`{'`, `'.join(map(str, value))}`" if isinstance(value, dict) and value else type(value).__name__
        )
        raise wrong("`dataframe_split`", "not a table", expected=expected, received=received)
    return frame(columns, data, description)


def _shaped(tensor: Mapping[str, Any], values: list[Any]) -> Any:
    """Returns single numbers in a column as rows of one number, where the input has such."""
    array = array_of(f"column `{tensor['name']}`", values)
    sizes = tensor["shape"][1:]
    if array.ndim == 1 and None not in sizes and prod(sizes) == 1:
        return array.reshape(len(array), *sizes)
    return array


def _cell(value: str, _name: str, _row: int) -> str | None:
    return None if value in MISSING else value


def _number(value: str, name: str, row: int) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        where = f"column `{name}`, row {row + 1}"
        raise wrong(where, "not a finite number", expected="a number", received=repr(value[:60]))
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise wrong("the body", f"{text} is no number of JSON", expected="finite numbers")
