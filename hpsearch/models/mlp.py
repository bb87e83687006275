"""The multi-layer perceptron: the model to try first, and the one to beat."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict, single_input

INITIALIZERS = ["glorot_uniform", "he_normal", "random_uniform", "random_normal"]


class MLP(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Multi-layer perceptron: a stack of dense layers, for classes or numbers.

    Input: `(batch, *input_shape)` of floats, best scaled to about 0..1; anything that is not flat is
    flattened. Output: `(batch, classes)` probabilities, or `(batch, outputs)` numbers.

    Two well-known networks are points of its space: 784-32-10 trained by RMSprop (`layers=1`,
    `units_1=32`, `optimizer="rmsprop"`), and 784-128-Dropout-10 trained by Adam (`layers=1`,
    `units_1=128`, `dropout=0.2`).

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `layers` | 1 to `max_layers` | 1 |
    | `units_1`, `units_2`, ... | 16, 32, 64, 128, 256, 512; one a layer | 64 |
    | `activation` | relu, tanh, gelu | relu |
    | `initializer` | glorot_uniform, he_normal, random_uniform, random_normal | glorot_uniform |
    | `batch_norm` | before each activation or not | no |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, after each activation | 0.0 |
    | `l2` | 0, 1e-5, 1e-4, 1e-3 on each kernel | 0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: https://keras.io/guides/training_with_built_in_methods and
    https://www.tensorflow.org/tutorials/quickstart/beginner

    Args:
        input_shape: Shape of one sample.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        max_layers: Most dense layers before the output. Default: 3.
        normalize: Whether to standardise each input feature by running statistics. Default: False.

    Example:
        >>> tuner = keras_tuner.RandomSearch(MLP((784,), classes=10), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
        max_layers: int = 3,
        normalize: bool = False,
    ) -> None:
        super().__init__(name="mlp")
        if max_layers < 1:
            raise ValueError(f"`max_layers` must be at least 1; received {max_layers}")
        self.input_shape = single_input(input_shape, "the MLP")
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot
        self.max_layers = max_layers
        self.normalize = normalize

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model.
        """
        layers = hp.Int("layers", 1, self.max_layers, default=1)
        activation = hp.Choice("activation", ["relu", "tanh", "gelu"])
        initializer = hp.Choice("initializer", INITIALIZERS)
        batch_norm = hp.Boolean("batch_norm")
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
        l2 = hp.Choice("l2", [0.0, 1e-5, 1e-4, 1e-3])

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="features")
        x = inputs
        if len(self.input_shape) != 1:
            x = keras.layers.Flatten(name="flatten")(x)
        if self.normalize:
            x = keras.layers.BatchNormalization(center=False, scale=False, name="normalize")(x)
        for number in range(1, self.max_layers + 1):
            deeper = list(range(number, self.max_layers + 1))
            with hp.conditional_scope("layers", deeper):
                units = hp.Int(f"units_{number}", 16, 512, step=2, sampling="log", default=64)
            if number > layers:
                continue
            x = keras.layers.Dense(
                units,
                kernel_initializer=initializer,
                kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
                name=f"dense_{number}",
            )(x)
            if batch_norm:
                x = keras.layers.BatchNormalization(name=f"batch_norm_{number}")(x)
            x = keras.layers.Activation(activation, name=f"activation_{number}")(x)
            if dropout:
                x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        model = keras.Model(inputs, predict(x, self.classes, self.outputs), name="mlp")

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot)
        return model
