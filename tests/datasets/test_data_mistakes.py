"""What is wrong with a file is said with its name and the line, row or column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection

GOOD = "age,city,price\n" + "".join(
    f"{20 + row},{'Rom' if row % 2 else 'Bonn'},{row}.5\n" for row in range(20)
)


def changed(line, text):
    lines = GOOD.splitlines(keepends=True)
    lines[line - 1] = text + "\n"
    return "".join(lines)


def names(rows=120):
    return "name,price\n" + "".join(f"Jo{row},{row}.5\n" for row in range(rows))


# What the file holds, options besides `path` and `target: price`, and what the message must say.
MISTAKES = {
    "empty file": ("", {}, ["table.csv: the file is empty", "a header and rows"]),
    "header only": ("age,price\n", {}, ["table.csv: there are no rows"]),
    "one row": ("age,price\n1,2.5\n", {}, ["table.csv: there is only one row"]),
    "two rows": ("age,price\n1,2.5\n2,3.5\n", {}, ["data csv: 2 rows are too few to split"]),
    "not UTF-8": (
        GOOD.replace("Rom", "Köln").encode("latin-1"),
        {},
        ["table.csv, line 3: not UTF-8", "0xf6 at column 5"],
    ),
    "binary file": (bytes([0x89, 0x50, 0xFF, 0, 10]) * 40, {}, ["table.csv, line 1: not UTF-8"]),
    "duplicate column": (
        GOOD.replace("city", "age", 1),
        {},
        ["table.csv: column `age`: is there twice", "columns 1 and 2"],
    ),
    "column without a name": (GOOD.replace("city", "", 1), {}, ["column 2 has no name", "age, , price"]),
    "missing column": (
        GOOD,
        {"target": "prize"},
        [
            "data.options.target",
            "table.csv has no column `prize`",
            "age, city, price",
            "Did you mean `price`?",
        ],
    ),
    "missing dropped column": (GOOD, {"drop": ["town"]}, ["data.options.drop", "has no column `town`"]),
    "missing time column": (GOOD, {"time": "date"}, ["data.options.time", "has no column `date`"]),
    "missing weight column": (GOOD, {"weight": "w"}, ["data.options.weight", "has no column `w`"]),
    "a weight that is text": (
        GOOD,
        {"weight": "city"},
        ["column `city`: holds no weights", "received `Bonn`"],
    ),
    "a weight below 0": (
        changed(4, "-1,Rom,1.5"),
        {"weight": "age"},
        ["column `age`, row 3: not a weight", "at least 0 in every row", "received -1"],
    ),
    "a row without a weight": (
        changed(4, ",Rom,1.5"),
        {"weight": "age"},
        ["row 3: not a weight", "no value"],
    ),
    "a weight that is an input": (
        GOOD,
        {"weight": "age", "categorical": "age"},
        ["column `age` is named twice", "categorical and weight"],
    ),
    "string in a numeric column": (
        changed(6, "old,Rom,1.5"),
        {},
        ["table.csv: column `age`, row 5: not a number", "19 other rows", "received `old`", "categorical"],
    ),
    "infinite number": (changed(4, "inf,Rom,1.5"), {}, ["column `age`, row 3: is infinite"]),
    "missing target": (
        changed(9, "30,Rom,"),
        {},
        ["column `price`, row 8: the target has no value", "1 such row"],
    ),
    "NaN in the target": (changed(9, "30,Rom,NaN"), {}, ["column `price`, row 8: the target has no value"]),
    "string in a numeric target": (
        changed(3, "30,Rom,cheap"),
        {},
        ["column `price`, row 2: not a number", "cheap"],
    ),
    "row too long": (
        changed(7, "30,Rom,1.5,9"),
        {},
        ["table.csv, line 7: the wrong number of fields", "received 4"],
    ),
    "row too short": (
        changed(7, "30,Rom"),
        {},
        ["table.csv, line 7: the wrong number of fields", "expected 3"],
    ),
    "empty column": (
        GOOD.replace("Rom", "").replace("Bonn", ""),
        {},
        ["column `city`: has no value at all", "data.options.drop"],
    ),
    "names as categories": (
        names(),
        {},
        ["column `name`: too many different texts for categories", "120 in 120 rows", "`Jo0`"],
    ),
    "nothing to learn from": ("price\n1.5\n2.5\n3.5\n", {}, ["no column is left as input"]),
    "wrong separator": (GOOD.replace(",", ";"), {}, ["there is only one column", "data.options.separator"]),
    "bad separator": (GOOD, {"separator": "::"}, ["data.options.separator: wrong value", "one character"]),
    "target as input too": (GOOD, {"drop": ["price"]}, ["column `price` is named twice", "target and drop"]),
    "name that is no text": (GOOD, {"drop": [3]}, ["data.options.drop: not a name of a column", "[3]"]),
    "date that is none": (
        "day,x,y\n"
        + "".join(f"{(row and f'2024-01-{row:02}') or 'soon'},{row},{row}.5\n" for row in (1, 2, 0, 3)),
        {"target": "y", "time": "day"},
        ["column `day`, row 3: not a time", "received `soon`"],
    ),
    "text among several targets": (
        GOOD,
        {"target": ["price", "city"]},
        ["column `city`: text cannot be one of"],
    ),
    "one class only": (
        GOOD.replace("Rom", "Bonn"),
        {"target": "city", "drop": "price"},
        ["there is only one class", "Bonn"],
    ),
    "class with one row": (
        changed(4, "22,Ulm,2.5"),
        {"target": "city", "drop": "price"},
        ["class `Ulm` has too few rows", "received 1"],
    ),
    "unknown option": (GOOD, {"tgt": "price"}, ["data.options", "'tgt'", "path, target, categorical"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_table(mistake, tmp_path):
    content, options, said = MISTAKES[mistake]
    file = tmp_path / "table.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        load_data(DataSection(name="csv", options={"path": str(file), "target": "price", **options}))
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in said if part not in message] == [], message


def test_the_table_without_a_mistake(tmp_path):
    (tmp_path / "table.csv").write_text(GOOD)
    options = {"path": str(tmp_path / "table.csv"), "target": "price"}
    assert load_data(DataSection(name="csv", options=options)).task == "regression"


def test_a_file_that_is_not_there(tmp_path):
    for name in ("csv", "parquet"):
        options = {"path": str(tmp_path / "no"), "target": "y"}
        with pytest.raises(DataError, match=r"data.options.path: the file does not exist.*/no"):
            load_data(DataSection(name=name, options=options))


def test_mistakes_in_a_parquet_file(tmp_path):
    file = tmp_path / "table.parquet"
    file.write_text(GOOD)
    options = {"path": str(file), "target": "y"}
    with pytest.raises(DataError, match=r"table.parquet: cannot be read as Parquet"):
        load_data(DataSection(name="parquet", options=options))
    pd.DataFrame({"x": [1.0, 2.0, np.nan], "y": [1.5, None, 2.5]}).to_parquet(file)
    with pytest.raises(DataError, match=r"column `y`, row 2: the target has no value"):
        load_data(DataSection(name="parquet", options=options))


def test_california_housing_without_a_network(monkeypatch, tmp_path: Path):
    def unreachable(**_options):
        raise OSError("no route to host")

    monkeypatch.delenv("HPSEARCH_DATA_DIR", raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_california_housing", unreachable)
    with pytest.raises(
        DataError, match=r"cannot be downloaded; received OSError: no route to host.*housing.csv"
    ):
        load_data(DataSection(name="california_housing"))
