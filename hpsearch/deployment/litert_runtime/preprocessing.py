"""Text and columns become numbers as Keras made them in training, with NumPy alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_PUNCTUATION = re.compile(rb"[!\"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']")
_EPSILON = np.float32(1e-7)
"""The least standard deviation, as in `keras.layers.Normalization`."""


def words(text: str) -> list[str]:
    """Splits a text as `keras.layers.TextVectorization` does.

    Keras works on bytes: only ASCII letters become lower case, only ASCII white space divides.

    Example:
        >>> words("Free entry! Don't wait")
        ['free', 'entry', 'dont', 'wait']
    """
    return [word.decode() for word in _PUNCTUATION.sub(b"", text.encode(errors="replace").lower()).split()]


def token_ids(texts: Sequence[str], vocabulary: Sequence[str], length: int | None) -> np.ndarray[Any, Any]:
    """Returns a row of token ids for each text.

    Args:
        texts: One a row.
        vocabulary: Tokens by their ids; 0 is padding, 1 stands for every word that is not in it.
        length: Tokens a row: longer texts lose their end. Default: as many as the longest text has.
    """
    ids = {token: number for number, token in enumerate(vocabulary)}
    rows = [[ids.get(word, 1) for word in words(text)] for text in texts]
    found = np.zeros((len(rows), length or max(1, *map(len, rows))), np.int32)
    for row, tokens in zip(found, rows, strict=True):
        row[: len(tokens)] = tokens[: len(row)]
    return found


def features(columns: Mapping[str, Any], values: Mapping[str, Sequence[Any]]) -> np.ndarray[Any, Any]:
    """Returns the vector of each row of a table.

    Args:
        columns: `numbers` (name, mean, variance, whether a missing one is marked), `categories` (name,
            values) and `texts` (name, words, their weights, and that of all other words).
        values: Those of all rows, by column; a missing number is NaN, a missing category the empty text.
    """
    parts = []
    numbers = columns["numbers"]
    if numbers:
        table = np.stack([np.asarray(values[each["name"]], np.float32) for each in numbers], axis=-1)
        mean = np.asarray([each["mean"] for each in numbers], np.float32)
        spread = np.sqrt(np.asarray([each["variance"] for each in numbers], np.float32))
        missing = np.isnan(table)
        parts.append(np.where(missing, np.float32(0), (table - mean) / np.maximum(spread, _EPSILON)))
        marked = [place for place, each in enumerate(numbers) if each["missing"]]
        parts.append(missing[:, marked].astype(np.float32))
    for each in columns["categories"]:
        places = {value: place for place, value in enumerate(each["values"], start=1)}  # 0: any other
        parts.append(
            np.eye(len(places) + 1, dtype=np.float32)[[places.get(v, 0) for v in values[each["name"]]]]
        )
    for each in columns["texts"]:
        places = {word: place for place, word in enumerate(each["words"], start=1)}
        weights = np.asarray([each["unknown"], *each["weights"]], np.float32)
        counts = np.zeros((len(values[each["name"]]), len(weights)), np.float32)
        for row, text in zip(counts, values[each["name"]], strict=True):
            np.add.at(row, [places.get(word, 0) for word in words(text)], 1)
        parts.append(counts * weights)
    return np.concatenate(parts, axis=1)
