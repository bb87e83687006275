"""Where models of text begin: token ids, `(batch, length)`, padded with 0 at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np


def check_tokens(input_shape: Sequence[int], vocabulary_size: int) -> int:
    """Returns the tokens of one sample.

    Raises:
        ValueError: The samples are not rows of token ids, or the vocabulary has no word.
    """
    if isinstance(input_shape, Mapping) or len(input_shape) != 1:
        raise ValueError(
            "the model reads token ids, `(rows, length)`; a loader gets them from its text by returning "
            f"`preprocess` of `hpsearch.datasets.text`; received samples of shape {input_shape}"
        )
    if vocabulary_size < 2:
        raise ValueError(f"`vocabulary_size` must be at least 2; received {vocabulary_size}")
    return int(input_shape[0])


def embedded(length: int, vocabulary_size: int, dimension: int) -> tuple[Any, Any]:
    """Returns the input, `(batch, length)` of int32, and its embedding, which masks the padding.

    A sample of nothing but padding counts as one unknown word (id 1): recurrent layers on a GPU refuse
    rows that are masked altogether.
    """
    inputs = keras.Input((length,), dtype="int32", name="tokens")
    unknown_first = np.eye(1, length, dtype=np.int32)  # 1 in the first place, 0 in all others
    tokens = keras.ops.maximum(inputs, unknown_first)
    layer = keras.layers.Embedding(vocabulary_size, dimension, mask_zero=True, name="embedding")
    return inputs, layer(tokens)
