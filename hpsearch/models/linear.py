"""The linear model: what every other has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict, single_input


class Linear(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Linear model: one dense layer, for regression on one or many features, or for classes.

    Input: `(batch, features)` of floats, best standardised, as the data sets of tables do it; `(batch,)` is
    one feature, and anything else that is not flat is flattened. Output: `(batch, outputs)` numbers (linear
    regression), or `(batch, classes)` probabilities (logistic regression).

    Without `l2` its best weights are those of least squares, with it those of ridge regression.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `l2` | 0, 1e-5, 1e-4, 1e-3, 1e-2 on the kernel | 0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-3 to 0.3, logarithmic | 1e-2 |

    Source: https://www.tensorflow.org/tutorials/keras/regression

    Args:
        input_shape: Shape of one sample.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict a sample, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.

    Example:
        >>> tuner = keras_tuner.RandomSearch(Linear((9,)), objective="val_loss")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
    ) -> None:
        super().__init__(name="linear")
        self.input_shape = single_input(input_shape, "the linear model")
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the model.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model.
        """
        l2 = hp.Choice("l2", [0.0, 1e-5, 1e-4, 1e-3, 1e-2])

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="features")
        x = inputs
        if len(self.input_shape) != 1:
            x = keras.layers.Flatten(name="flatten")(x)
        model = keras.Model(inputs, predict(x, self.classes, self.outputs, l2=l2), name="linear")

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot, rates=(1e-3, 0.3, 1e-2))
        return model
