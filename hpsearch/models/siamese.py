"""Two sequences read by one and the same LSTM, and a decision about the pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner


@keras.saving.register_keras_serializable("hpsearch")
class OnDevices(keras.layers.Wrapper):  # type: ignore[misc]  # untyped library
    """Applies one layer to two inputs, each on a device of its own; the weights are shared.

    Where a device does not exist, TensorFlow computes on one that does.

    Args:
        layer: The layer.
        devices: Names of two devices as `keras.device` takes them, e.g. `gpu:0`.
        **kwargs: Of every layer.
    """

    def __init__(self, layer: keras.Layer, devices: Sequence[str], **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.devices = tuple(devices)

    def build(self, input_shape: Any) -> None:
        """Builds the layer."""
        super().build(input_shape[0])

    def call(self, inputs: Sequence[Any]) -> list[Any]:
        """Returns the layer's output for each of the inputs."""
        outputs = []
        for tensor, device in zip(inputs, self.devices, strict=True):
            with keras.device(device):
                outputs.append(self.layer(tensor))
        return outputs

    def get_config(self) -> dict[str, Any]:
        """Returns what makes an equal layer."""
        return {**super().get_config(), "devices": list(self.devices)}


class Siamese(keras_tuner.HyperModel):  # type: ignore[misc]  # untyped library
    """Siamese network: one LSTM reads two sequences, a dense layer decides yes or no about the pair.

    Input: two of floats by name, both `(batch, steps, features)`. Output: `(batch, 1)`, the probability of
    class 1.

    Hyperparameters:

    | name | range | default |
    | --- | --- | --- |
    | `units` | 16, 32, 64, 128; of the LSTM | 32 |
    | `hidden` | 0, 16, 32, 64; units between the joint and the decision, 0 for none | 32 |
    | `dropout` | 0.0 to 0.5 in steps of 0.1, after the joint | 0.0 |
    | `optimizer` | adam, rmsprop | adam |
    | `learning_rate` | 1e-4 to 1e-2, logarithmic | 3e-3 |

    Source: "Shared layers" in https://keras.io/guides/functional_api; Bromley et al., Signature Verification
    using a "Siamese" Time Delay Neural Network, 1993.

    Args:
        input_shape: `(steps, features)` of each input, the same for both, by the two inputs' names.
        classes: 2, or None. Default: None.
        devices: Two devices, e.g. `["gpu:0", "gpu:1"]`: on which each branch is computed. Default: where
            Keras sees fit.

    Example:
        >>> tuner = keras_tuner.RandomSearch(Siamese({"a": (8, 8), "b": (8, 8)}), objective="val_accuracy")
    """

    def __init__(
        self,
        input_shape: Mapping[str, Sequence[int]],
        classes: int | None = None,
        *,
        devices: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name="siamese")
        shapes = list(input_shape.values()) if isinstance(input_shape, Mapping) else []
        if len(shapes) != 2 or tuple(shapes[0]) != tuple(shapes[1]) or len(shapes[0]) != 2:
            raise ValueError(
                f"there must be two inputs `(steps, features)` of one shape, by name; received {input_shape}"
            )
        if classes not in (None, 2):
            raise ValueError(f"the decision is between 2 classes; received {classes}")
        if devices is not None and (isinstance(devices, str) or len(devices) != 2):
            raise ValueError(f"`devices` must be two names, one for each branch; received {devices!r}")
        self.input_shape = {name: tuple(shape) for name, shape in input_shape.items()}
        self.devices = devices

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Builds and compiles the network.

        Args:
            hp: Hyperparameters, of Keras Tuner or of hpsearch.

        Returns:
            A compiled functional model that takes a dict of the two inputs.
        """
        units = hp.Int("units", 16, 128, step=2, sampling="log", default=32)
        hidden = hp.Choice("hidden", [0, 16, 32, 64], default=32)
        dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)

        # === Functional model ===
        inputs = {name: keras.Input(shape, name=name) for name, shape in self.input_shape.items()}
        lstm = keras.layers.LSTM(units, name="lstm")
        if self.devices is None:
            branches = [lstm(tensor) for tensor in inputs.values()]
        else:
            branches = OnDevices(lstm, self.devices, name="on_devices")(list(inputs.values()))
        x = keras.layers.Concatenate(name="concatenate")(branches)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        if hidden:
            x = keras.layers.Dense(hidden, activation="relu", name="hidden")(x)
        # float32 even under mixed precision: the logarithm in the loss needs it
        x = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="predictions")(x)
        model = keras.Model(inputs, x, name=self.name)

        # === Training ===
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=3e-3)
        model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
        return model
