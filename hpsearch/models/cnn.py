"""The convolutional network: blocks of convolution and pooling, for images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from hpsearch.models.ending import compile_model, predict, single_input

KERNELS = (3, 5)


class CNN(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Convolutional network: blocks of convolution and pooling, then a dense layer, for images.

    Input: `(batch, height, width, channels)` of floats, best scaled to about 0..1; images without
    channels, `(batch, height, width)`, get one. Output: `(batch, classes)` probabilities, or
    `(batch, outputs)` numbers.

    Three well-known networks are points of its space for `(28, 28, 1)`:

    - 32-64-128 with 3x3 kernels, for MNIST on Keras's site, of 1,199,882 weights: `blocks=2`,
      `kernel_size=3`, `padding="valid"`, `pool_after="last"`, `dense_units=128`, `pool_dropout=0.25`,
      `dropout=0.5`.
    - The same widths as three convolutions, in "Deep Learning with Python", of 104,202 weights: `blocks=3`,
      `kernel_size=3`, `padding="valid"`, `pool_after="inner"`, `dense=False`.
    - 32-64-1024 with 5x5 kernels, TensorFlow's "Deep MNIST for experts", of 3,274,634 weights: `blocks=2`,
      `kernel_size=5`, `padding="same"`, `pool_after="every"`, `dense_units=1024`, `dropout=0.5`.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `blocks` | 1 to `max_blocks`, or to as many as can halve the image | 2 |
    | `kernel_size` | 3, 5 | 3 |
    | `padding` | same, valid; only where valid ones leave something of the image, else same | same |
    | `filters_1`, `filters_2`, ... | 16, 32, 64, 128, 256; one a block | 32, 64, 128, 128, ... |
    | `batch_norm` | before each activation or not | no |
    | `pool_after` | every block, the inner ones (all but the last), or the last alone | every |
    | `pool_dropout` | 0.0 to 0.5 in steps of 0.05, after each pooling | 0.0 |
    | `features` | flatten, global_average | flatten |
    | `dense` | whether there is a dense layer before the output | yes |
    | `dense_units` | 32, 64, 128, 256, 512, 1024 | 128 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, before the output | 0.0 |
    | `optimizer` | adam, rmsprop, sgd | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: https://keras.io/examples/vision/mnist_convnet, Chollet, "Deep Learning with Python" (2nd
    edition, chapter 8), and https://www.tensorflow.org/versions/r1.0/get_started/mnist/pros

    Args:
        input_shape: Shape of one image: `(height, width)` or `(height, width, channels)`, at least 2x2.
        classes: Number of classes; None for regression. Default: None.
        outputs: Numbers to predict an image, for regression. Default: 1.
        one_hot: Whether the targets are one-hot rows instead of class numbers. Default: False.
        max_blocks: Most blocks. Default: 3.

    Example:
        >>> tuner = keras_tuner.RandomSearch(CNN((28, 28, 1), classes=10), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        classes: int | None = None,
        outputs: int = 1,
        *,
        one_hot: bool = False,
        max_blocks: int = 3,
    ) -> None:
        super().__init__(name="cnn")
        expected = "images of at least 2x2 pixels, (height, width) or (height, width, channels)"
        self.input_shape = single_input(input_shape, "the CNN", sizes=(2, 3), expected=expected)
        self.side = min(self.input_shape[:2])
        if self.side < 2:
            raise ValueError(f"the CNN reads {expected}; received the shape {self.input_shape}")
        if max_blocks < 1:
            raise ValueError(f"`max_blocks` must be at least 1; received {max_blocks}")
        self.classes = classes
        self.outputs = outputs
        self.one_hot = one_hot
        self.max_blocks = max(blocks for blocks in range(max_blocks + 1) if _left(self.side, blocks, 1))

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model.
        """
        blocks = hp.Int("blocks", 1, self.max_blocks, default=min(2, self.max_blocks))
        kernel_size, padding = self._kernel(hp)
        batch_norm = hp.Boolean("batch_norm")
        pool_after = hp.Choice("pool_after", ["every", "inner", "last"])
        pool_dropout = hp.Float("pool_dropout", 0.0, 0.5, step=0.05)

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="image")
        x = inputs
        if len(self.input_shape) == 2:
            x = keras.layers.Reshape((*self.input_shape, 1), name="channel")(x)
        for number in range(1, self.max_blocks + 1):
            with hp.conditional_scope("blocks", list(range(number, self.max_blocks + 1))):
                default = min(16 * 2**number, 128)
                filters = hp.Int(f"filters_{number}", 16, 256, step=2, sampling="log", default=default)
            if number > blocks:
                continue
            x = keras.layers.Conv2D(filters, kernel_size, padding=padding, name=f"conv_{number}")(x)
            if batch_norm:
                x = keras.layers.BatchNormalization(name=f"batch_norm_{number}")(x)
            x = keras.layers.Activation("relu", name=f"activation_{number}")(x)
            if pool_after == "every" or (pool_after == "last") == (number == blocks):
                x = keras.layers.MaxPooling2D(name=f"pool_{number}")(x)
                if pool_dropout:
                    x = keras.layers.Dropout(pool_dropout, name=f"pool_dropout_{number}")(x)
        model = keras.Model(inputs, self._top(hp, x), name="cnn")

        # === Training ===
        compile_model(model, hp, self.classes, one_hot=self.one_hot)
        return model

    def _kernel(self, hp: keras_tuner.HyperParameters) -> tuple[int, str]:
        """Declares `kernel_size`, and `padding` where the blocks fit the image without any.

        Both are declared once for each set of block counts that leaves the same choice, so that no point of
        the space shrinks an image to nothing.
        """
        fitting: dict[tuple[int, ...], list[int]] = {}
        for blocks in range(1, self.max_blocks + 1):
            sizes = tuple(size for size in KERNELS if _left(self.side, blocks, size))
            fitting.setdefault(sizes, []).append(blocks)
        kernel_size, padding = KERNELS[0], "same"
        for sizes, counts in fitting.items():
            with hp.conditional_scope("blocks", counts):
                # None, unless there are so many blocks
                kernel_size = hp.Choice("kernel_size", list(KERNELS)) or kernel_size
                if sizes:
                    with hp.conditional_scope("kernel_size", list(sizes)):
                        padding = hp.Choice("padding", ["same", "valid"]) or padding
        return kernel_size, padding

    def _top(self, hp: keras_tuner.HyperParameters, x: Any) -> Any:
        if hp.Choice("features", ["flatten", "global_average"]) == "flatten":
            x = keras.layers.Flatten(name="flatten")(x)
        else:
            x = keras.layers.GlobalAveragePooling2D(name="global_average")(x)
        dense = hp.Boolean("dense", default=True)
        with hp.conditional_scope("dense", [True]):
            units = hp.Int("dense_units", 32, 1024, step=2, sampling="log", default=128)
        if dense:
            x = keras.layers.Dense(units, activation="relu", name="dense")(x)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        return predict(x, self.classes, self.outputs)


def _left(side: int, blocks: int, kernel_size: int) -> int:
    """Returns what unpadded blocks leave of an image's side when each is pooled; 0 if they cannot be built.

    A block pooled less often leaves more, so that one rule is enough.
    """
    for _ in range(blocks):
        side = max(side - kernel_size + 1, 0) // 2
    return side
