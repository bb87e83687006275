"""The autoencoder: inputs through a narrow code and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner

from hpsearch.datasets.targets import class_numbers
from hpsearch.files import whole
from hpsearch.models.autoencoder_pictures import draw_codes, draw_reconstructions

if TYPE_CHECKING:
    from hpsearch.datasets import Data

WIDTHS = ([64, 128, 256, 512], [32, 64, 128, 256], [10, 16, 32, 64])
DEFAULT_WIDTHS = (128, 64, 10)
ROWS_DRAWN = 5_000
NEIGHBOURS = 5


class Autoencoder(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Autoencoder: squeezes each input through a code of a few numbers, and rebuilds it from them.

    Input and output: `(batch, *input_shape)` of floats in 0..1; inside the network they are centred,
    -0.5..0.5, and the output is a tanh. The targets are the inputs: `data.options.reconstruct: true`.

    The documented 784-128-64-10-2-10-64-128-784 network is its default point for `input_shape=(784,)`.
    The encoder, `(batch, *input_shape)` to `(batch, code)`, is the layer `encoder` of the model; each
    trial also leaves it as a model of its own, `encoder.keras`, with `codes.png`, the validation rows'
    codes (the first two numbers of each), and `reconstructions.png`, inputs above what became of them.
    Of labelled data the best model's test metrics have `test_code_knn_accuracy`: how often a classifier of
    5 nearest neighbours among the codes of the training rows is right.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `variant` | dense; convolutional, for images | dense |
    | `code` | 2, 4, 8, 16, 32 numbers | 2 |
    | `activation` | tanh, relu, gelu | tanh |
    | `layers` | 1 to 3 before the code, mirrored after it; dense only | 3 |
    | `units_1` | 64, 128, 256, 512; dense only | 128 |
    | `units_2` | 32, 64, 128, 256; dense only | 64 |
    | `units_3` | 10, 16, 32, 64; dense only | 10 |
    | `filters` | 8, 16, 32 in the first of two layers, twice as many in the second; convolutional only | 16 |
    | `kernel` | 3 or 5; convolutional only | 3 |
    | `optimizer` | adam, rmsprop | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 1e-3 |

    Source: "Reducing the dimensionality of data with neural networks" (Hinton and Salakhutdinov, 2006)
    and https://blog.keras.io/building-autoencoders-in-keras.html

    Args:
        input_shape: Shape of one sample, flat or an image `(height, width, channels)`.
        classes: Given when the target is classes, which is refused. Default: None.

    Example:
        >>> tuner = keras_tuner.RandomSearch(Autoencoder((784,)), objective="val_loss")
        >>> tuner.search(x_train, x_train, validation_data=(x_test, x_test))
    """

    def __init__(self, input_shape: Sequence[int], classes: int | None = None) -> None:
        super().__init__(name="autoencoder")
        if isinstance(input_shape, Mapping):
            raise ValueError(f"an autoencoder has one input; received {', '.join(map(str, input_shape))}")
        if classes is not None:
            raise ValueError(
                f"an autoencoder's targets are its inputs, not {classes} classes; "
                "set `data.options.reconstruct: true`"
            )
        self.input_shape = tuple(input_shape)
        self.variants = ["dense", "convolutional"] if len(self.input_shape) == 3 else ["dense"]

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles encoder and decoder as one network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model of the two models `encoder` and `decoder`.
        """
        variant = hp.Choice("variant", self.variants)
        code = hp.Choice("code", [2, 4, 8, 16, 32], default=2)
        activation = hp.Choice("activation", ["tanh", "relu", "gelu"])
        with hp.conditional_scope("variant", ["dense"]):
            layers = hp.Int("layers", 1, 3, default=3)
            widths = []
            for number, (choices, default) in enumerate(zip(WIDTHS, DEFAULT_WIDTHS, strict=True), start=1):
                with hp.conditional_scope("layers", list(range(number, 4))):
                    widths.append(hp.Choice(f"units_{number}", choices, default=default))
        if "convolutional" in self.variants:
            with hp.conditional_scope("variant", ["convolutional"]):
                filters = hp.Choice("filters", [8, 16, 32], default=16)
                kernel = hp.Choice("kernel", [3, 5], default=3)

        # === Functional model ===
        inputs = keras.Input(self.input_shape, name="features")
        x = keras.layers.Rescaling(1.0, offset=-0.5, name="centre")(inputs)
        codes = keras.Input((code,), name="code")
        if variant == "dense":
            x = self._dense_encoder(x, widths[:layers], activation)
            y = self._dense_decoder(codes, widths[:layers], activation)
        else:
            x = self._convolutional_encoder(x, filters, kernel, activation)
            y = self._convolutional_decoder(codes, filters, kernel, activation)
        encoder = keras.Model(inputs, keras.layers.Dense(code, name="code")(x), name="encoder")
        # float32 even under mixed precision: errors need it
        y = keras.layers.Activation("tanh", dtype="float32", name="tanh")(y)
        y = keras.layers.Rescaling(1.0, offset=0.5, dtype="float32", name="uncentre")(y)
        decoder = keras.Model(codes, y, name="decoder")
        model = keras.Model(inputs, decoder(encoder(inputs)), name="autoencoder")

        # === Training ===
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
        model.compile(optimizer=optimizer, loss="mean_squared_error", metrics=["mean_absolute_error"])
        return model

    def after_fit(self, model: keras.Model, data: Data, folder: Path) -> Iterable[str]:
        """Saves the encoder and draws what the trained model does to validation rows.

        Args:
            model: With its best weights.
            data: Its validation rows are shown; the colours of the codes are their labels, if known.
            folder: Where to write.

        Returns:
            The files' names.
        """
        encoder = model.get_layer("encoder")
        with whole(folder / "encoder.keras") as path:
            encoder.save(path)
        rows: Any = data.validation.take(slice(0, ROWS_DRAWN)).x
        labelled = data.labelled
        labels: Any = None if labelled is None else labelled.validation.take(slice(0, ROWS_DRAWN)).y
        with whole(folder / "codes.png") as path:
            names = () if labelled is None else labelled.class_names
            draw_codes(path, encoder.predict(rows, batch_size=256, verbose=0), labels, names)
        with whole(folder / "reconstructions.png") as path:
            draw_reconstructions(path, rows[:10], model.predict(rows[:10], verbose=0))
        return ["encoder.keras", "codes.png", "reconstructions.png"]

    def test_metrics(self, model: keras.Model, data: Data) -> dict[str, float]:
        """Measures how well the code separates the classes.

        Args:
            model: With its best weights.
            data: The classes are its labels, if it has any.

        Returns:
            `code_knn_accuracy`: the share of test rows whose class most of the 5 nearest training codes
            have; nothing without classes.
        """
        labelled: Any = data.labelled
        if labelled is None or not labelled.class_names:
            return {}
        from sklearn.neighbors import KNeighborsClassifier

        encoder = model.get_layer("encoder")
        seen, unseen = (
            (encoder.predict(split.x, batch_size=256, verbose=0), class_numbers(split.y))
            for split in (labelled.train, labelled.test)
        )
        return {"code_knn_accuracy": KNeighborsClassifier(NEIGHBOURS).fit(*seen).score(*unseen)}

    def _dense_encoder(self, x: Any, widths: Sequence[int], activation: str) -> Any:
        if len(self.input_shape) != 1:
            x = keras.layers.Flatten(name="flatten")(x)
        for number, units in enumerate(widths, start=1):
            x = keras.layers.Dense(units, activation, name=f"dense_{number}")(x)
        return x

    def _dense_decoder(self, x: Any, widths: Sequence[int], activation: str) -> Any:
        for number, units in reversed(list(enumerate(widths, start=1))):
            x = keras.layers.Dense(units, activation, name=f"undense_{number}")(x)
        x = keras.layers.Dense(math.prod(self.input_shape), name="values")(x)
        if len(self.input_shape) != 1:
            x = keras.layers.Reshape(self.input_shape, name="image")(x)
        return x

    def _convolutional_encoder(self, x: Any, filters: int, kernel: int, activation: str) -> Any:
        """Two convolutions, each of which halves height and width, rounded up."""
        for number, depth in ((1, filters), (2, 2 * filters)):
            x = keras.layers.Conv2D(
                depth, kernel, strides=2, padding="same", activation=activation, name=f"conv_{number}"
            )(x)
        return keras.layers.Flatten(name="flatten")(x)

    def _convolutional_decoder(self, x: Any, filters: int, kernel: int, activation: str) -> Any:
        height, width, channels = self.input_shape
        rows, columns = -(-height // 4), -(-width // 4)
        x = keras.layers.Dense(rows * columns * 2 * filters, activation, name="undense")(x)
        x = keras.layers.Reshape((rows, columns, 2 * filters), name="unflatten")(x)
        x = keras.layers.UpSampling2D(name="upsample_1")(x)
        x = keras.layers.Conv2D(filters, kernel, padding="same", activation=activation, name="unconv_1")(x)
        x = keras.layers.UpSampling2D(name="upsample_2")(x)
        x = keras.layers.Conv2D(channels, kernel, padding="same", name="unconv_2")(x)
        if (4 * rows, 4 * columns) != (height, width):
            cut = ((0, 4 * rows - height), (0, 4 * columns - width))
            x = keras.layers.Cropping2D(cut, name="crop")(x)
        return x
