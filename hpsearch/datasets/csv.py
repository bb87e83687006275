"""A table in a CSV file: numbers, categories and free text, some of them missing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.datasets.table import Names, read_table
from hpsearch.errors import DataError, fault

if TYPE_CHECKING:
    import pandas as pd


def load(
    path: str,
    target: Names,
    categorical: Names = (),
    text: Names = (),
    drop: Names = (),
    time: str | None = None,
    weight: str | None = None,
    groups: str | None = None,
    separator: str = ",",
) -> dict[str, Any]:
    """A table in a CSV file, one row a line below a header; encoded by statistics of the training rows.

    Numbers are standardised, categories become one-hot, missing values are marked.

    Args:
        path: The file, in UTF-8. A relative path starts at the working folder.
        target: Column to predict, or a list of numeric ones.
        categorical: Columns that hold categories though they look like numbers, or have more than 100.
        text: Columns of free text; each becomes the TF-IDF of its 1,000 most frequent words.
        drop: Columns to leave out.
        time: Column of dates or numbers by which the rows are put in order, for a split in that order.
        weight: Column of each row's weight in the loss (Keras's `sample_weight`), at least 0.
        groups: Column of what rows belong to, such as a patient: all rows of one are in the same split.
        separator: Between two fields. Default: a comma.

    Returns:
        `x` `{column: (rows,)}`, float or text; after the split `x` is float32 `(rows, features)`.
        `y` `(rows,)`, or `(rows, targets)`; `sample_weight` `(rows,)`, if a column is named.

    Raises:
        DataError: The file is missing or malformed; the message names line, row or column.
    """
    frame = read_csv(Path(path).expanduser(), separator)
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


def read_csv(file: Path, separator: str = ",") -> pd.DataFrame:
    """Reads a CSV file as text; empty fields, `NA`, `NaN`, `null` and the like are missing values.

    Raises:
        DataError: There is no such file, or it is not a table in UTF-8.
    """
    import pandas as pd

    if not file.is_file():
        raise DataError(
            fault(
                "data.options.path",
                "the file does not exist",
                expected="a CSV file",
                received=str(file.absolute()),
            )
        )
    if not isinstance(separator, str) or len(separator) != 1:
        raise DataError(
            fault("data.options.separator", "wrong value", expected="one character", received=separator)
        )
    try:
        header = _check_shape(file, separator)
        # The header is read as a row: pandas would rename columns that are there twice.
        frame = pd.read_csv(
            file,
            sep=separator,
            dtype=str,
            header=None,
            skiprows=1,
            names=range(len(header)),
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as failure:
        raise DataError(_not_utf8(file, failure)) from failure
    except pd.errors.EmptyDataError:
        frame = pd.DataFrame(columns=range(len(header)))
    except (csv.Error, pd.errors.ParserError) as failure:
        raise DataError(fault(str(file), "cannot be read as CSV", received=str(failure))) from failure
    return frame.set_axis(header, axis="columns")


def _check_shape(file: Path, separator: str) -> list[str]:
    """Returns the header, if every line has as many fields; pandas would fill or cut the others."""
    header: list[str] = []
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=separator)
        for fields in reader:
            if not header:
                header = fields
            elif fields and len(fields) != len(header):
                raise DataError(
                    fault(
                        f"{file}, line {reader.line_num}",
                        "the wrong number of fields",
                        expected=f"{len(header)} as in the header",
                        received=str(len(fields)),
                    )
                )
    if not header:
        raise DataError(fault(str(file), "the file is empty", expected="a header and rows"))
    others = [each for each in ",;\t|" if each != separator and each in header[0]]
    if len(header) == 1 and others:
        raise DataError(
            fault(
                str(file),
                "there is only one column",
                received=header[0],
                advice=f"Is `{others[0]!r}` between the fields? Say so: `data.options.separator`.",
            )
        )
    return header


def _not_utf8(file: Path, failure: UnicodeDecodeError) -> str:
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return fault(
                f"{file}, line {number}",
                "not UTF-8",
                received=f"byte 0x{line[error.start]:02x} at column {error.start + 1} of the line",
                advice="Save the file as UTF-8.",
            )
    return fault(str(file), "not UTF-8", received=str(failure))
