"""The recurrent text classifier: word embeddings, read by LSTM or GRU layers in one or both directions."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict
from hpsearch.models.tokens import check_tokens, embedded


class TextLSTM(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Text classifier: embedding, one or more LSTM or GRU layers (bidirectional or not), dense layer.

    Input: `(batch, length)` of token ids, 0 for padding at the end, 1 for unknown words. Output: `(batch,
    classes)` probabilities, or `(batch, outputs)` numbers. Padding is masked: it changes no prediction.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `embedding` | 16, 32, 64, 128: numbers a word | 32 |
    | `cell` | lstm, gru | lstm |
    | `bidirectional` | whether each layer also reads from the end | yes |
    | `layers` | 1 to `max_layers` | 1 |
    | `units` | 16, 32, 64, 128 a layer and direction | 32 |
    | `dense` | 0 (none), 32, 64: units between the last layer and the output | 0 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, of the embedding and before the output | 0.0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: https://keras.io/examples/nlp/bidirectional_lstm_imdb and
    https://www.tensorflow.org/text/tutorials/text_classification_rnn; Hochreiter and Schmidhuber, Long
    short-term memory, 1997; Cho et al., https://arxiv.org/abs/1406.1078 (GRU)

    Args:
        input_shape: `(length,)`, the tokens of one sample.
        vocabulary_size: Number of different tokens, padding and the unknown word included.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        max_layers: Most recurrent layers. Default: 2.

    Example:
        >>> tuner = keras_tuner.RandomSearch(TextLSTM((64,), 5000, classes=2), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        vocabulary_size: int,
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
        max_layers: int = 2,
    ) -> None:
        super().__init__(name="text_lstm")
        if max_layers < 1:
            raise ValueError(f"`max_layers` must be at least 1; received {max_layers}")
        self.length = check_tokens(input_shape, vocabulary_size)
        self.vocabulary_size = vocabulary_size
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot
        self.max_layers = max_layers

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model.
        """
        dimension = hp.Int("embedding", 16, 128, step=2, sampling="log", default=32)
        cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[hp.Choice("cell", ["lstm", "gru"])]
        bidirectional = hp.Boolean("bidirectional", default=True)
        layers = hp.Int("layers", 1, self.max_layers, default=1)
        units = hp.Int("units", 16, 128, step=2, sampling="log", default=32)
        dense = hp.Choice("dense", [0, 32, 64])
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Functional model ===
        inputs, x = embedded(self.length, self.vocabulary_size, dimension)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout_embedding")(x)
        for number in range(1, layers + 1):
            layer = cell(units, return_sequences=number < layers, name=f"recurrent_{number}")
            if bidirectional:
                layer = keras.layers.Bidirectional(layer, name=f"bidirectional_{number}")
            x = layer(x)
        if dense:
            x = keras.layers.Dense(dense, activation="relu", name="dense")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        model = keras.Model(inputs, predict(x, self.classes, self.outputs), name="text_lstm")

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot)
        return model
