"""One trunk, several heads: each predicts something else of the same sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from hpsearch.models.ending import single_input


class MultiOutput(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Shared trunk of dense layers with several heads, each with its own loss, loss weight and metrics.

    Input: `(batch, *input_shape)` of floats, best scaled to about 0..1; what is not flat is flattened.
    Output: a dict by the heads' names: `(batch, classes)` probabilities, `(batch, 1)` the probability of
    class 1 for two classes, or `(batch, outputs)` numbers.

    The search's objective may be any head's metric, e.g. `val_digit_f1_macro`. It should not be `val_loss`:
    that is the weighted sum of the heads' losses, which the smallest weights make the smallest.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `layers` | 1 to `max_layers`, of the trunk | 1 |
    | `units_1`, `units_2`, ... | 16, 32, 64, 128, 256; one a layer | 64 |
    | `activation` | relu, tanh, gelu | relu |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, after each layer | 0.0 |
    | `loss_weight_<head>` | 0.1 to 10, logarithmic; one a head | 1.0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: "Models with multiple inputs and outputs" in https://keras.io/guides/functional_api

    Args:
        input_shape: Shape of one sample.
        heads: What each predicts, by its name: `{"classes": 10}`, or `{"outputs": 1}` numbers.
        losses: Keras's name of the loss of a head, where it shall not be cross-entropy (classes) or the mean
            squared error (numbers). Default: none.
        max_layers: Most dense layers of the trunk. Default: 3.

    Example:
        >>> heads = {"digit": {"classes": 10}, "odd": {"classes": 2}}
        >>> tuner = keras_tuner.RandomSearch(MultiOutput((64,), heads), objective="val_digit_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        heads: Mapping[str, Mapping[str, int]],
        *,
        losses: Mapping[str, str] | None = None,
        max_layers: int = 3,
    ) -> None:
        super().__init__(name="multi_output")
        self.input_shape = single_input(input_shape, "the trunk")
        for name, head in heads.items():
            if not isinstance(head, Mapping) or set(head) not in ({"classes"}, {"outputs"}):
                raise ValueError(f"head `{name}` must have `classes` or `outputs`; received {head}")
        if unknown := set(losses or {}) - set(heads):
            raise ValueError(f"`losses` names no head: {', '.join(unknown)}; there are {', '.join(heads)}")
        if max_layers < 1:
            raise ValueError(f"`max_layers` must be at least 1; received {max_layers}")
        self.heads = {name: dict(head) for name, head in heads.items()}
        self.losses = dict(losses or {})
        self.max_layers = max_layers

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model that returns a dict.
        """
        layers = hp.Int("layers", 1, self.max_layers, default=1)
        activation = hp.Choice("activation", ["relu", "tanh", "gelu"])
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="features")
        x = inputs
        if len(self.input_shape) != 1:
            x = keras.layers.Flatten(name="flatten")(x)
        for number in range(1, self.max_layers + 1):
            with hp.conditional_scope("layers", list(range(number, self.max_layers + 1))):
                units = hp.Int(f"units_{number}", 16, 256, step=2, sampling="log", default=64)
            if number > layers:
                continue
            x = keras.layers.Dense(units, activation=activation, name=f"dense_{number}")(x)
            if dropout:
                x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        outputs = {name: _head(name, head)(x) for name, head in self.heads.items()}
        model = keras.Model(inputs, outputs, name=self.name)

        # === Training ===
        weights = {
            name: hp.Float(f"loss_weight_{name}", 0.1, 10.0, sampling="log", default=1.0)
            for name in self.heads
        }
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
        model.compile(
            optimizer=optimizer,
            loss={name: _loss(head) for name, head in self.heads.items()} | self.losses,
            loss_weights=weights,
            metrics={name: [_metric(head)] for name, head in self.heads.items()},
        )
        return model


def _head(name: str, head: Mapping[str, int]) -> Any:
    # float32 even under mixed precision: softmax and errors need it
    match head:
        case {"outputs": outputs}:
            return keras.layers.Dense(outputs, dtype="float32", name=name)
        case {"classes": 2}:
            return keras.layers.Dense(1, activation="sigmoid", dtype="float32", name=name)
        case _:
            return keras.layers.Dense(head["classes"], activation="softmax", dtype="float32", name=name)


def _loss(head: Mapping[str, int]) -> str:
    if "outputs" in head:
        return "mean_squared_error"
    return "binary_crossentropy" if head["classes"] == 2 else "sparse_categorical_crossentropy"


def _metric(head: Mapping[str, int]) -> str:
    return "mean_absolute_error" if "outputs" in head else "accuracy"
