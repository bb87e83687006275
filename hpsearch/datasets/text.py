"""Text becomes token ids; the vocabulary is learned from the training rows alone.

A loader returns strings and what is to be made of them:

    return {"x": texts, "y": labels, "preprocess": partial(fit, max_tokens=5000, length=64)}

The words are those of `keras.layers.TextVectorization`: lower case, without punctuation, split at white
space. A token's id is its line in `vocabulary.txt`, counted from 0: the first line, empty, is padding, the
second, `[UNK]`, is every word that is not in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from hpsearch.datasets.data import Arrays
from hpsearch.errors import DataError, fault
from hpsearch.files import write_text

READING = (
    "lower case, without punctuation, split at white space; a token's id is its line, counted from 0; "
    "unknown words are 1, the rest of a row is 0"
)
"""How to make token ids of text with nothing but the file, in words."""
SPECIAL = ("", "[UNK]")
"""Padding and the unknown word: the first two tokens of every vocabulary."""


def fit(texts: Arrays, *, max_tokens: int, length: int) -> keras.Model:
    """Learns a vocabulary, and makes a model of it that reads text.

    Args:
        texts: Training rows, strings `(rows,)`.
        max_tokens: Most tokens of the vocabulary, padding and the unknown word included; the most frequent
            words are taken.
        length: Tokens a row; longer texts lose their end, shorter ones are padded there.

    Returns:
        A model from text `(batch,)` to token ids `(batch, length)`, int32.

    Raises:
        DataError: An argument is out of range, the rows are not text or hold no word.
    """
    _check_least("max_tokens", max_tokens, len(SPECIAL) + 1)
    _check_least("length", length, 1)
    if not isinstance(texts, np.ndarray) or texts.ndim != 1 or texts.dtype.kind not in "US":
        received = f"shape {texts.shape}" if isinstance(texts, np.ndarray) else "several inputs"
        raise DataError(
            fault("data", "only text is tokenized", expected="strings `(rows,)`", received=received)
        )
    learned = keras.layers.TextVectorization(max_tokens=max_tokens)
    learned.adapt(texts.astype(object), batch_size=1024)
    words = [str(word) for word in learned.get_vocabulary(include_special_tokens=False)]
    # The layer splits at ASCII white space; what other line ends divide would be two lines of the file.
    words = [word for word in words if word.splitlines() == [word]]
    if not words:
        raise DataError(fault("data", "the training rows hold no word", received=repr(str(texts[0])[:40])))
    inputs = keras.Input((), dtype="string", name="text")
    vectorize = keras.layers.TextVectorization(
        vocabulary=words, output_sequence_length=length, name="vectorize"
    )
    return keras.Model(inputs, keras.ops.cast(vectorize(inputs), "int32"), name="preprocessing")


def vocabulary_of(preprocessing: object) -> tuple[str, ...]:
    """Returns the tokens by their ids; none, if this is not a model that makes token ids of text."""
    if not isinstance(preprocessing, keras.Model):
        return ()
    for layer in preprocessing.layers:
        if isinstance(layer, keras.layers.TextVectorization) and layer.get_config()["output_mode"] == "int":
            return tuple(str(token) for token in layer.get_vocabulary())
    return ()


def write_vocabulary(target: Path, vocabulary: Sequence[str]) -> str:
    """Writes a token a line, in the order of the ids; returns the file's name."""
    write_text(target, "".join(f"{token}\n" for token in vocabulary))
    return target.name


def _check_least(option: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DataError(
            fault(
                f"data.options.{option}", "out of range", expected=f"an integer from {least}", received=value
            )
        )
