"""A LiteRT file that is still the one that was compared with Keras, and its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import assemble
from hpsearch.errors import ExportError, UsageError, did_you_mean, fault
from hpsearch.exporting import exported_trial, file_name
from hpsearch.files import sha256_of
from hpsearch.variants import BASE, LITERT

if TYPE_CHECKING:
    from hpsearch.study import Study

FORMATS = (BASE, *LITERT)
"""Those that LiteRT runs."""


@dataclass(frozen=True)
class Verified:
    """A file, and what the export wrote beside it (`hpsearch.export.record`)."""

    file: Path
    record: Mapping[str, Any]


def open_verified(file: Path) -> Verified:
    """Reads a file's record, and makes sure that it is of this file.

    Raises:
        UsageError: There is no such file, or LiteRT does not run it.
        ExportError: Nothing says that it was verified, or it has changed since.
    """
    if not file.is_file():
        raise UsageError(fault(str(file), "the file does not exist", expected="an exported `.tflite` file"))
    advice = "Export it again: `hpsearch export`."
    beside = Path(f"{file}.json")
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        fmt, sha256 = record["format"], record["sha256"]
    except FileNotFoundError:
        what = "nothing says that the file was verified"
        raise ExportError(
            fault(str(file), what, expected=f"its record, {beside.name}", advice=advice)
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as failure:
        what = "cannot be read as the record of an export"
        raise ExportError(fault(str(beside), what, received=str(failure), advice=advice)) from None
    _check_format(fmt, where=str(file))
    if (received := sha256_of(file)) != sha256:
        what = "not the file that was verified: it has changed since its export"
        expected = f"SHA-256 {sha256}"
        raise ExportError(fault(str(file), what, expected=expected, received=received, advice=advice))
    return Verified(file, record)


def of_study(study: Study, *, trial: int | None = None, fmt: str | None = None) -> Verified:
    """Finds a trial's file; one that was not exported yet is exported now, and verified with that.

    Args:
        study: Its search has ended.
        trial: Its number. Default: the champion.
        fmt: One of `FORMATS`. Default: the first of them that the search exported, else `float32`.

    Raises:
        StudyError: There is no champion yet, or no such trial with a model.
        UsageError: LiteRT does not run the format.
        ExportError: The file is not right, or has changed since it was verified.
    """
    number = exported_trial(study, trial)
    champion = study.champion or {}
    there = champion["exports"] if number == champion["trial"] else ()
    exported = {each["format"]: Path(each["path"]) for each in there}
    fmt = fmt or next((each for each in exported if each in FORMATS), BASE)
    _check_format(fmt, where="--format")
    default = study.files.champion / file_name(study.name, number, fmt)
    file = next((each for each in (exported.get(fmt), default) if each and each.exists()), None)
    if file is None:
        file = Path(assemble.export_model(study, trial=trial, fmt=fmt).path)
    return open_verified(file)


def _check_format(fmt: str, *, where: str) -> None:
    if fmt not in FORMATS:
        what, expected = "LiteRT does not run such files", f"one of {', '.join(FORMATS)}"
        advice = did_you_mean(fmt, FORMATS)
        raise UsageError(fault(where, what, expected=expected, received=fmt, advice=advice))
