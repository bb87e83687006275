"""The residual perceptron: a subclassed model with layers of its own, searched and saved like any other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner

LEAST_UNITS = 8
"""A tapered network's blocks become no narrower."""


@keras.saving.register_keras_serializable(package="hpsearch")
class Gain(keras.layers.Layer):  # type: ignore[misc]  # untyped library
    """Multiplies each feature by a number that is learned (LayerScale, https://arxiv.org/abs/2103.17239).

    Input and output: `(..., features)`.

    Args:
        initial: What every feature is multiplied by before training. Default: 1.0.
        **kwargs: Of every Keras layer.
    """

    def __init__(self, initial: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weight, one number a feature."""
        self.gain = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(self.initial), name="gain"
        )

    def call(self, x: Any) -> Any:
        """Returns `x` with every feature multiplied by its gain."""
        return x * self.gain

    def get_config(self) -> dict[str, Any]:
        """Returns what `__init__` takes."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable(package="hpsearch")
class ResidualNetwork(keras.Model):  # type: ignore[misc]  # untyped library
    """Dense blocks, each of which adds to what came before: `x + gain * dense(dropout(dense(x)))`.

    Where a block is narrower than the one before, `x` is projected to its width first.

    Args:
        widths: Units of each block, at least one.
        outputs: Numbers a sample, or classes.
        activation: Inside the blocks.
        final_activation: Of the output; None for numbers. Default: None.
        dropout: Share of a block's inner units that is dropped in training. Default: 0.0.
        gain: Of every block before training. Default: 1.0.
        **kwargs: Of every Keras model.
    """

    def __init__(
        self,
        widths: Sequence[int],
        outputs: int,
        activation: str,
        *,
        final_activation: str | None = None,
        dropout: float = 0.0,
        gain: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        widths = list(widths)
        self.settings = {
            "widths": widths,
            "outputs": outputs,
            "activation": activation,
            "final_activation": final_activation,
            "dropout": dropout,
            "gain": gain,
        }
        layers, numbers = keras.layers, range(1, len(widths) + 1)
        self.flatten = layers.Flatten(name="flatten")
        self.stem = layers.Dense(widths[0], activation, name="stem")
        self.inner = [
            layers.Dense(w, activation, name=f"inner_{n}") for n, w in zip(numbers, widths, strict=True)
        ]
        self.dropouts = [layers.Dropout(dropout, name=f"dropout_{n}") for n in numbers]
        self.outer = [layers.Dense(w, name=f"outer_{n}") for n, w in zip(numbers, widths, strict=True)]
        self.gains = [Gain(gain, name=f"gain_{n}") for n in numbers]
        self.shortcuts = {
            str(n): layers.Dense(width, use_bias=False, name=f"shortcut_{n}")
            for n, before, width in zip(numbers, widths[:1] + widths[:-1], widths, strict=True)
            if width != before
        }
        # float32 even under mixed precision: softmax and errors need it
        self.head = layers.Dense(outputs, final_activation, dtype="float32", name="predictions")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the weights of all layers, so that the model can be counted, saved and loaded uncalled."""
        self.flatten.build(input_shape)
        self.stem.build((None, math.prod(size or 1 for size in input_shape[1:])))
        before = self.stem.units
        for number, layers in enumerate(
            zip(self.inner, self.dropouts, self.outer, self.gains, strict=True), start=1
        ):
            inner, dropout, outer, gain = layers
            inner.build((None, before))
            for layer in (dropout, outer, gain):
                layer.build((None, inner.units))
            if before != outer.units:
                self.shortcuts[str(number)].build((None, before))
            before = outer.units
        self.head.build((None, before))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns `(batch, outputs)` of `(batch, ...)`."""
        x = self.stem(self.flatten(inputs))
        for index, outer in enumerate(self.outer):
            update = outer(self.dropouts[index](self.inner[index](x), training=training))
            if x.shape[-1] != outer.units:
                x = self.shortcuts[str(index + 1)](x)
            x = x + self.gains[index](update)
        return self.head(x)

    def get_config(self) -> dict[str, Any]:
        """Returns what `__init__` takes."""
        return {**super().get_config(), **self.settings}


class ResidualMLP(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Residual perceptron: a subclassed Keras model of dense blocks with skip connections.

    Input: `(batch, *input_shape)` of floats, best scaled to about 0..1; anything that is not flat is
    flattened. Output: `(batch, classes)` probabilities, or `(batch, outputs)` numbers.

    Its classes are registered with Keras; who loads a saved model without hpsearch's help imports
    `hpsearch.models.residual_mlp` first.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `blocks` | 1 to `max_blocks` | 2 |
    | `units` | 16, 32, 64, 128, 256 in the first block | 64 |
    | `tapered` | each block half as wide as the one before, but at least 8, or all alike | no |
    | `activation` | relu, tanh, gelu | relu |
    | `gain` | 0.1 or 1.0: what a block's update is multiplied by before training | 1.0 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, inside each block | 0.0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: https://keras.io/guides/making_new_layers_and_models_via_subclassing and "Deep residual
    learning for image recognition", https://arxiv.org/abs/1512.03385

    Args:
        input_shape: Shape of one sample.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        max_blocks: Most blocks. Default: 4.

    Example:
        >>> tuner = keras_tuner.RandomSearch(ResidualMLP((64,), classes=10), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
        max_blocks: int = 4,
    ) -> None:
        super().__init__(name="residual_mlp")
        if isinstance(input_shape, Mapping):
            raise ValueError(f"the residual MLP has one input; received {', '.join(map(str, input_shape))}")
        if max_blocks < 1:
            raise ValueError(f"`max_blocks` must be at least 1; received {max_blocks}")
        self.input_shape = tuple(input_shape)
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot
        self.max_blocks = max_blocks

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled subclassed model whose weights exist.
        """
        blocks = hp.Int("blocks", 1, self.max_blocks, default=min(2, self.max_blocks))
        units = hp.Int("units", 16, 256, step=2, sampling="log", default=64)
        tapered = hp.Boolean("tapered")
        activation = hp.Choice("activation", ["relu", "tanh", "gelu"])
        gain = hp.Choice("gain", [0.1, 1.0], default=1.0)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Subclassed model ===
        model = ResidualNetwork(
            [max(units >> number, LEAST_UNITS) if tapered else units for number in range(blocks)],
            self.outputs if self.classes is None else self.classes,
            activation,
            final_activation=None if self.classes is None else "softmax",
            dropout=dropout,
            gain=gain,
            name="residual_mlp",
        )
        model.build((None, *self.input_shape))

        # === Training ===
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
        model.compile(optimizer=optimizer, **self._objective())
        return model

    def _objective(self) -> dict[str, Any]:
        if self.classes is None:
            return {"loss": "mean_squared_error", "metrics": ["mean_absolute_error"]}
        sparse = "" if self.one_hot else "sparse_"
        return {"loss": f"{sparse}categorical_crossentropy", "metrics": ["accuracy"]}
