"""Columns to numbers: Keras preprocessing layers whose statistics are those of the training rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from hpsearch.datasets.data import Array

MAX_TOKENS = 1000
"""Words kept of a text column: the most frequent ones."""


def fit(
    x: Mapping[str, Array],
    *,
    numeric: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    texts: tuple[str, ...] = (),
) -> keras.Model:
    """Makes a model of preprocessing layers that turns columns into one vector a row.

    Numbers are standardised; a missing one becomes the mean, and a column where numbers are missing
    gets a second one that says so. Categories become one-hot rows, with a place for those that
    training has not seen, and one for missing where that occurs. A text becomes the TF-IDF of its words.

    The network is searched and exported without it, as string lookups cannot run in a `.tflite` file;
    the champion's `end_to_end.keras` joins the two and takes columns as they are.

    Args:
        x: Training rows, each column `(rows,)`: floats with NaN where missing, or text.
        numeric: Columns of numbers.
        categories: Columns of categories.
        texts: Columns of free text.

    Returns:
        A model from `{column: (rows,)}` to `(rows, features)`.
    """
    inputs = {name: keras.Input((), name=_tensor(name)) for name in numeric}
    parts = []
    if numeric:
        parts += _numbers(
            keras.ops.stack(list(inputs.values()), axis=-1), np.stack([x[name] for name in numeric], -1)
        )
    for place, name in enumerate(categories):
        inputs[name] = keras.Input((), dtype="string", name=_tensor(name))
        vocabulary = np.unique(x[name]).tolist()
        lookup = keras.layers.StringLookup(
            vocabulary=vocabulary, mask_token=None, output_mode="one_hot", name=f"encode_category_{place}"
        )
        parts.append(keras.ops.reshape(lookup(inputs[name]), (-1, len(vocabulary) + 1)))
    for place, name in enumerate(texts):
        inputs[name] = keras.Input((), dtype="string", name=_tensor(name))
        words = _tf_idf(x[name], f"encode_text_{place}")
        parts.append(keras.ops.reshape(words(inputs[name]), (-1, words.vocabulary_size())))
    features = parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="encode_row")(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a tensor is not named as its column, where Keras refuses that
        return keras.Model(inputs, features, name="preprocessing")


def _tf_idf(texts: Array, name: str) -> keras.layers.Layer:
    """Learns the words of a column; what is learned is in the layer's configuration, and so in any record."""
    learned = keras.layers.TextVectorization(max_tokens=MAX_TOKENS, output_mode="tf_idf", name=name)
    learned.adapt(texts)
    words = [str(word) for word in learned.get_vocabulary()[1:]]
    if not words:
        return learned
    weights = keras.ops.convert_to_numpy(learned(np.array(words, object))).max(axis=1)  # of each word, alone
    return keras.layers.TextVectorization(
        vocabulary=words, idf_weights=weights.tolist(), output_mode="tf_idf", name=name
    )


def _tensor(column: str) -> str:
    """Returns a name that Keras accepts; the model's input goes by the column's own."""
    return column.replace("/", "_")


def _numbers(values: Any, rows: Array) -> list[Any]:
    """Returns the standardised numbers, and where they are missing."""
    missing = np.isnan(rows)
    known = np.where(missing, 0.0, rows.astype(np.float64))
    counts = np.maximum((~missing).sum(axis=0), 1)
    mean = known.sum(axis=0) / counts
    variance = np.where(missing, 0.0, (known - mean) ** 2).sum(axis=0) / counts
    standardised = keras.layers.Normalization(
        mean=mean.tolist(), variance=variance.tolist(), name="encode_numbers"
    )(values)
    absent = keras.ops.isnan(standardised)
    parts = [keras.ops.where(absent, keras.ops.zeros_like(standardised), standardised)]
    if gaps := np.flatnonzero(missing.any(axis=0)).tolist():
        parts.append(keras.ops.cast(keras.ops.take(absent, gaps, axis=-1), "float32"))
    return parts
