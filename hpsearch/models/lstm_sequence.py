"""Recurrent sequence-to-sequence regression: a number, or several, for every step of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import keras_tuner


class LSTMSequence(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Sequence-to-sequence regression: stacked LSTMs that answer at every step.

    Input: `(batch, steps, features)` of floats, standardised or about -1..1. Output:
    `(batch, steps, outputs)` numbers.

    A stateful model begins a batch with the state in which the batch before left it, so that it remembers
    beyond one window. It needs windows in the order of time, each beginning where the one before ends, as
    the data sets `sine` and `etth1` have them. hpsearch sees to the rest: rows are not shuffled but dealt
    out in lanes, each a stretch of time; the last rows, too few for a batch, are left out; and the state is
    put back to zero before each epoch, validation and test. The batch has a fixed size, a hyperparameter.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `layers` | 1 to `max_layers` | 1 |
    | `units_1`, `units_2`, ... | 8, 16, 32, 64, 128; one a layer | 32 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, after each LSTM | 0.0 |
    | `batch_size` | 4, 8, 16, 32; only if stateful | 8 |
    | `optimizer` | adam, rmsprop | adam |
    | `learning_rate` | 1e-4 to 3e-2, logarithmic | 3e-3 |

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory, 1997; Keras's `stateful` in
    https://keras.io/guides/working_with_rnns

    Args:
        input_shape: `(steps, features)`; `steps` may be None unless `stateful`.
        outputs: Numbers to predict a step. Default: 1.
        stateful: Whether state is carried over from batch to batch. Default: False.
        max_layers: Most LSTM layers. Default: 2.

    Example:
        >>> tuner = keras_tuner.RandomSearch(LSTMSequence((25, 1)), objective="val_loss")
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        outputs: int = 1,
        *,
        stateful: bool = False,
        max_layers: int = 2,
    ) -> None:
        super().__init__(name="lstm_sequence")
        if isinstance(input_shape, Mapping) or len(input_shape) != 2:
            raise ValueError(f"the input must be `(steps, features)`; received {input_shape}")
        if max_layers < 1:
            raise ValueError(f"`max_layers` must be at least 1; received {max_layers}")
        self.input_shape = tuple(input_shape)
        self.outputs = outputs
        self.stateful = stateful
        self.max_layers = max_layers

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model; if stateful, for batches of `batch_size` only.
        """
        layers = hp.Int("layers", 1, self.max_layers, default=1)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
        batch_size = hp.Choice("batch_size", [4, 8, 16, 32], default=8) if self.stateful else None

        # === Functional model ===
        inputs = keras.Input(batch_shape=(batch_size, *self.input_shape), name="series")
        x = inputs
        for number in range(1, self.max_layers + 1):
            with hp.conditional_scope("layers", list(range(number, self.max_layers + 1))):
                units = hp.Int(f"units_{number}", 8, 128, step=2, sampling="log", default=32)
            if number > layers:
                continue
            lstm = keras.layers.LSTM(
                units, return_sequences=True, stateful=self.stateful, name=f"lstm_{number}"
            )
            x = lstm(x)
            if dropout:
                x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        # float32 even under mixed precision: errors need it
        dense = keras.layers.Dense(self.outputs, dtype="float32", name="dense")
        head = keras.layers.TimeDistributed(dense, dtype="float32", name="predictions")
        model = keras.Model(inputs, head(x), name=self.name)

        # === Training ===
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 3e-2, sampling="log", default=3e-3)
        model.compile(optimizer=optimizer, loss="mean_squared_error", metrics=["mean_absolute_error"])
        return model
