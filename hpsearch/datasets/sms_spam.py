"""SMS spam: 5,574 English text messages, a few of them spam (Almeida, Gomez Hidalgo and Yamakami, 2011)."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import DataError, fault

FILE = "SMSSpamCollection"
CLASS_NAMES = ("ham", "spam")
SOURCE = "https://archive.ics.uci.edu/dataset/228/sms+spam+collection"


def load(
    path: str | None = None, max_tokens: int = 5000, length: int = 64, repeated: bool = False
) -> dict[str, Any]:
    """5,574 English text messages, 747 of them spam; the vocabulary is that of the training rows.

    The 403 messages that repeat an earlier one are left out unless asked for: a model would be tested on
    messages it was trained on.

    Source: https://archive.ics.uci.edu/dataset/228/sms+spam+collection (CC BY 4.0)

    Args:
        path: The file `SMSSpamCollection` (a label, a tab and a message a line), or the folder that holds
            it. Default: `$HPSEARCH_DATA_DIR/sms_spam`.
        max_tokens: Most tokens of the vocabulary. Default: 5000.
        length: Tokens a message; 1 in 100 messages is longer than 54 words. Default: 64.
        repeated: Whether to keep the repeated messages. Default: False.

    Returns:
        `x` int32 `(rows, length)`, after preprocessing, `y` int32, 0 for ham and 1 for spam.

    Raises:
        DataError: The file is missing or malformed; the message names the line.
    """
    from hpsearch.datasets.text import fit

    messages = _read(_file(path))
    if not repeated:
        messages = list(dict.fromkeys(messages))
    return {
        "x": [text for _, text in messages],
        "y": np.array([CLASS_NAMES.index(label) for label, _ in messages], dtype=np.int32),
        "class_names": CLASS_NAMES,
        "preprocess": partial(fit, max_tokens=max_tokens, length=length),
    }


def _file(path: str | None) -> Path:
    root = os.environ.get("HPSEARCH_DATA_DIR")
    advice = f"Download it from {SOURCE}."
    if path is None and not root:
        raise DataError(
            fault(
                "data sms_spam",
                "it is not known where the messages are",
                expected="`data.options.path`, or HPSEARCH_DATA_DIR, the folder above `sms_spam`",
                advice=advice,
            )
        )
    where = "HPSEARCH_DATA_DIR" if path is None else "data.options.path"
    place = Path(root or "", "sms_spam") if path is None else Path(path)
    place = place.expanduser()
    file = place / FILE if place.is_dir() else place
    if not file.is_file():
        raise DataError(
            fault(
                where,
                "the file does not exist",
                expected=f"`{FILE}` or its folder",
                received=str(file.absolute()),
                advice=advice,
            )
        )
    return file


def _read(file: Path) -> list[tuple[str, str]]:
    """Returns label and text of every line."""
    lines = file.read_bytes().removesuffix(b"\n").split(b"\n")
    if lines == [b""]:
        raise DataError(fault(str(file), "is empty", expected="a label, a tab and a message a line"))
    return [_message(line, f"{file}:{number}") for number, line in enumerate(lines, start=1)]


def _message(line: bytes, where: str) -> tuple[str, str]:
    try:
        shown = line.decode("utf-8").removesuffix("\r")
    except UnicodeDecodeError as failure:
        raise DataError(
            fault(
                where,
                "not UTF-8",
                received=f"byte 0x{line[failure.start]:02x} at position {failure.start + 1} of the line",
                advice="Convert the file, e.g. `iconv -f latin1 -t utf-8`.",
            )
        ) from failure
    label, tab, text = shown.partition("\t")
    if not tab:
        raise DataError(
            fault(where, "there is no tab", expected="a label, a tab and a message", received=shown[:60])
        )
    if label not in CLASS_NAMES:
        raise DataError(
            fault(where, "unknown label", expected=" or ".join(CLASS_NAMES), received=label[:60] or "nothing")
        )
    if not text.strip():
        raise DataError(fault(where, "there is no message after the label"))
    return label, text
