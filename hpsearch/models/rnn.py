"""The recurrent network that reads an image row by row, or any sequence step by step."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict, single_input

CELLS = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


class RNN(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Recurrent network: reads an image row by row, or a sequence step by step, and predicts at the end.

    Input: `(batch, steps, features)` of floats, best scaled to about 0..1; an image
    `(batch, height, width, channels)` is read as `height` steps of `width * channels` numbers, MNIST as 28
    steps of 28. Output: `(batch, classes)` probabilities, or `(batch, outputs)` numbers.

    Keras's guide reads MNIST with a network of its space for `(28, 28)`: `cell="lstm"`, `layers=1`,
    `units_1=64`, `batch_norm=True`, `optimizer="sgd"`, of 24,714 weights.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `cell` | simple_rnn, lstm, gru | simple_rnn |
    | `layers` | 1 to `max_layers` | 1 |
    | `units_1`, `units_2`, ... | 16, 32, 64, 128, 256; one a layer | 64 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, after each layer | 0.0 |
    | `batch_norm` | before the output or not | no |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: https://keras.io/guides/working_with_rnns

    Args:
        input_shape: Shape of one sample: `(steps, features)` or `(height, width, channels)`.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        max_layers: Most recurrent layers. Default: 2.
        unroll: Whether the steps are written out instead of looped over: a step of training is faster, but
            the graph, and a `.tflite` file, grow with their number, and tracing takes longer. Default: False.

    Example:
        >>> tuner = keras_tuner.RandomSearch(RNN((28, 28), classes=10), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
        max_layers: int = 2,
        unroll: bool = False,
    ) -> None:
        super().__init__(name="rnn")
        expected = "(steps, features) or (height, width, channels)"
        self.input_shape = single_input(input_shape, "the RNN", sizes=(2, 3), expected=expected)
        if max_layers < 1:
            raise ValueError(f"`max_layers` must be at least 1; received {max_layers}")
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot
        self.max_layers = max_layers
        self.unroll = unroll

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model.
        """
        cell = hp.Choice("cell", list(CELLS))
        layers = hp.Int("layers", 1, self.max_layers, default=1)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="sequence")
        x = inputs
        if len(self.input_shape) == 3:
            x = keras.layers.Reshape((self.input_shape[0], -1), name="rows")(x)
        for number in range(1, self.max_layers + 1):
            with hp.conditional_scope("layers", list(range(number, self.max_layers + 1))):
                units = hp.Int(f"units_{number}", 16, 256, step=2, sampling="log", default=64)
            if number > layers:
                continue
            x = CELLS[cell](
                units, return_sequences=number < layers, unroll=self.unroll, name=f"{cell}_{number}"
            )(x)
            if dropout:
                x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        if hp.Boolean("batch_norm"):
            x = keras.layers.BatchNormalization(name="batch_norm")(x)
        model = keras.Model(inputs, predict(x, self.classes, self.outputs), name="rnn")

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot)
        return model
