"""Attention over a recurrent encoder: the classifier weighs the words by what the whole text is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict
from hpsearch.models.tokens import check_tokens, embedded


class Attention(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Text classifier: embedding, LSTM or GRU encoder, and attention of its last state to all its states.

    The encoder's last state is the query, its states at all words are keys and values; the weighted
    states, joined with the last one, give the output. Padding is masked: the encoder skips it, its weight
    is 0, it changes no prediction.

    Input: `(batch, length)` of token ids, 0 for padding at the end, 1 for unknown words. Output: `(batch,
    classes)` probabilities, or `(batch, outputs)` numbers.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `attention` | luong (dot product), bahdanau (additive), multi_head | luong |
    | `heads` | 1, 2, 4, 8; with multi_head | 2 |
    | `embedding` | 16, 32, 64, 128: numbers a word | 32 |
    | `cell` | lstm, gru | lstm |
    | `bidirectional` | whether the encoder also reads from the end | yes |
    | `units` | 16, 32, 64, 128 a direction | 32 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, of the embedding and before the output | 0.0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: Luong et al., https://arxiv.org/abs/1508.04025 (`keras.layers.Attention`); Bahdanau et al.,
    https://arxiv.org/abs/1409.0473 (`keras.layers.AdditiveAttention`); Vaswani et al.,
    https://arxiv.org/abs/1706.03762 (`keras.layers.MultiHeadAttention`)

    Args:
        input_shape: `(length,)`, the tokens of one sample.
        vocabulary_size: Number of different tokens, padding and the unknown word included.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.

    Example:
        >>> tuner = keras_tuner.RandomSearch(Attention((64,), 5000, classes=2), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        vocabulary_size: int,
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
    ) -> None:
        super().__init__(name="attention")
        self.length = check_tokens(input_shape, vocabulary_size)
        self.vocabulary_size = vocabulary_size
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model.
        """
        kind = hp.Choice("attention", ["luong", "bahdanau", "multi_head"])
        with hp.conditional_scope("attention", "multi_head"):
            heads = hp.Int("heads", 1, 8, step=2, sampling="log", default=2)
        dimension = hp.Int("embedding", 16, 128, step=2, sampling="log", default=32)
        cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[hp.Choice("cell", ["lstm", "gru"])]
        bidirectional = hp.Boolean("bidirectional", default=True)
        units = hp.Int("units", 16, 128, step=2, sampling="log", default=32)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Functional model ===
        inputs, x = embedded(self.length, self.vocabulary_size, dimension)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout_embedding")(x)
        encoder = cell(units, return_sequences=True, return_state=True, name="encoder")
        if bidirectional:
            states, *last = keras.layers.Bidirectional(encoder, name="bidirectional")(x)
            backward = len(last) // 2  # an LSTM's last state is two tensors, its output first; a GRU's one
            summary = keras.layers.Concatenate(name="last_state")([last[0], last[backward]])
        else:
            states, summary, *_ = encoder(x)
        width = summary.shape[-1]
        query = keras.layers.Reshape((1, width), name="query")(summary)
        context = _attend(kind, heads, query, states)
        x = keras.layers.Concatenate(name="joined")([keras.layers.Flatten(name="context")(context), summary])
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        model = keras.Model(inputs, predict(x, self.classes, self.outputs), name="attention")

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot)
        return model


def _attend(kind: str, heads: int, query: Any, states: Any) -> Any:
    """Returns the states `(batch, length, width)` weighted for the query: `(batch, 1, width)`.

    The mask of the states travels with them, so that padding gets no weight.
    """
    width = states.shape[-1]
    if kind == "luong":
        return keras.layers.Attention(use_scale=True, name="attention")([query, states])
    if kind == "bahdanau":
        asked = keras.layers.Dense(width, use_bias=False, name="query_projection")(query)
        keys = keras.layers.Dense(width, use_bias=False, name="key_projection")(states)
        return keras.layers.AdditiveAttention(name="attention")([asked, states, keys])
    key_dim = max(width // heads, 1)
    return keras.layers.MultiHeadAttention(heads, key_dim, name="attention")(query, states)
