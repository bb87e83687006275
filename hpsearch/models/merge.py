"""Two inputs, a branch for each, joined into one: by which layer is a hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict

MERGES = ("concatenate", "add", "subtract", "multiply", "average", "maximum", "dot")


class Merge(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Two inputs, each through dense layers of its own, joined by one of Keras's merging layers.

    Input: two of floats by name, `(batch, *input_shape[name])`, best scaled to about 0..1; what is not flat
    is flattened. Output: `(batch, classes)` probabilities, or `(batch, outputs)` numbers.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `merge` | concatenate, add, subtract, multiply, average, maximum, dot | concatenate |
    | `units` | 16, 32, 64, 128, 256; of each branch, so that they can be joined | 64 |
    | `shared` | one branch for both inputs, if they have the same shape | no |
    | `hidden` | 16, 32, 64, 128; units after the joint | 64 |
    | `activation` | relu, tanh, gelu | relu |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, after the joint | 0.0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Subtraction takes the second input from the first; `dot` leaves one number a sample, the scalar product of
    the branches.

    Source: https://keras.io/api/layers/merging_layers

    Args:
        input_shape: Shape of one sample of each input, by the two inputs' names.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.

    Example:
        >>> tuner = keras_tuner.GridSearch(Merge({"left": (8,), "right": (4,)}), objective="val_loss")
    """

    def __init__(
        self,
        input_shape: Mapping[str, Sequence[int]],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
    ) -> None:
        super().__init__(name="merge")
        if not isinstance(input_shape, Mapping) or len(input_shape) != 2:
            raise ValueError(f"there must be two inputs, by name; received {input_shape}")
        self.input_shape = {name: tuple(shape) for name, shape in input_shape.items()}
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model that takes a dict of the two inputs.
        """
        merge = hp.Choice("merge", list(MERGES))
        units = hp.Int("units", 16, 256, step=2, sampling="log", default=64)
        alike = len(set(self.input_shape.values())) == 1
        shared = alike and hp.Boolean("shared")
        hidden = hp.Int("hidden", 16, 128, step=2, sampling="log", default=64)
        activation = hp.Choice("activation", ["relu", "tanh", "gelu"])
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Functional model ===
        inputs = {name: keras.Input(shape, name=name) for name, shape in self.input_shape.items()}
        both = keras.layers.Dense(units, activation=activation, name="branch") if shared else None
        branches = []
        for name, tensor in inputs.items():
            flat = keras.layers.Flatten(name=f"flatten_{name}")(tensor)
            branch = both or keras.layers.Dense(units, activation=activation, name=f"branch_{name}")
            branches.append(branch(flat))
        x = _merging_layer(merge)(branches)
        x = keras.layers.Dense(hidden, activation=activation, name="hidden")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        model = keras.Model(inputs, predict(x, self.classes, self.outputs), name=self.name)

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot)
        return model


def _merging_layer(name: str) -> Any:
    match name:
        case "concatenate":
            return keras.layers.Concatenate(name="merge")
        case "add":
            return keras.layers.Add(name="merge")
        case "subtract":
            return keras.layers.Subtract(name="merge")
        case "multiply":
            return keras.layers.Multiply(name="merge")
        case "average":
            return keras.layers.Average(name="merge")
        case "maximum":
            return keras.layers.Maximum(name="merge")
        case _:
            return keras.layers.Dot(axes=1, name="merge")
