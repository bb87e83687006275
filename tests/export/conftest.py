"""Small networks of every kind that must be exportable, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from hpsearch.trial import Export

RNG = np.random.default_rng(0)
ROWS = 9


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=(ROWS, *shape)).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Squared(layers.Layer):
    def call(self, x):
        return x * x


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(4)
        self.squared = Squared()
        self.out = layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.out(self.squared(self.hidden(x)))


@keras.saving.register_keras_serializable("tests")
class Digamma(layers.Layer):
    """An operation LiteRT does not have."""

    def call(self, x):
        import tensorflow as tf

        return tf.math.digamma(x)


def mlp() -> tuple[keras.Model, dict[str, Any]]:
    model = keras.Sequential(
        [layers.Input((8,)), layers.Dense(16, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, {"x": floats(8)}


def regression() -> tuple[keras.Model, dict[str, Any]]:
    model = keras.Sequential([layers.Input((8,), name="house"), layers.Dense(2, name="price")])
    model.compile("adam", "mean_squared_error")
    return model, {"house": floats(8).astype("float64")}


def binary() -> tuple[keras.Model, dict[str, Any]]:
    model = keras.Sequential([layers.Input((8,)), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model, {"x": floats(8)}


def cnn() -> tuple[keras.Model, dict[str, Any]]:
    """Images of any size, in bytes."""
    model = keras.Sequential(
        [
            layers.Input((None, None, 1), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    return model, {"x": RNG.integers(0, 256, (ROWS, 8, 8, 1)).astype("uint8")}


def several() -> tuple[keras.Model, dict[str, Any]]:
    """Two inputs and two outputs, in dicts; one key is not its tensor's name."""
    left, right = layers.Input((4,), name="left_tensor"), layers.Input((2,), name="right")
    both = layers.concatenate([left, right])
    outputs = {
        "price": layers.Dense(1)(both),
        "kind": layers.Dense(3, activation="softmax")(left),
    }
    return keras.Model({"right": right, "left": left}, outputs), {
        "left_tensor": floats(4),
        "right": floats(2),
    }


def unnamed() -> tuple[keras.Model, dict[str, Any]]:
    """Two inputs and two outputs, in lists, one of the four with a name of the user's."""
    first, second = layers.Input((4,)), layers.Input((2,))
    both = layers.concatenate([first, second])
    model = keras.Model([first, second], [layers.Dense(1)(both), layers.Dense(2, name="pair")(second)])
    return model, {"input_0": floats(4), "input_1": floats(2)}


def recurrent(layer: str, steps: int | None = 6) -> tuple[keras.Model, dict[str, Any]]:
    model = keras.Sequential(
        [
            layers.Input((steps, 3)),
            getattr(layers, layer)(4),
            layers.Dense(3, activation="softmax"),
        ]
    )
    return model, {"x": floats(6, 3)}


def text() -> tuple[keras.Model, dict[str, Any]]:
    model = keras.Sequential(
        [
            layers.Input((6,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True),
            layers.Bidirectional(layers.LSTM(3)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model, {"x": RNG.integers(0, 9, (ROWS, 6))}


def stateful() -> tuple[keras.Model, dict[str, Any]]:
    """State runs on from batch to batch; it is not zero when the model is saved."""
    model = keras.Sequential(
        [layers.Input((6, 3), batch_size=2), layers.LSTM(4, stateful=True), layers.Dense(3)]
    )
    model.predict_on_batch(floats(6, 3)[:2])
    return model, {"x": floats(6, 3)}


def subclassed() -> tuple[keras.Model, dict[str, Any]]:
    model = Subclassed()
    model(np.zeros((1, 5), "float32"))
    return model, {"x": floats(5)}


def half() -> tuple[keras.Model, dict[str, Any]]:
    """Mixed precision."""
    model = keras.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(16, activation="relu", dtype="mixed_float16"),
            layers.Dense(3, activation="softmax", dtype="float32"),
        ]
    )
    return model, {"x": floats(8)}


def unsupported() -> tuple[keras.Model, dict[str, Any]]:
    model = keras.Sequential([layers.Input((8,)), layers.Dense(4, activation="sigmoid"), Digamma()])
    return model, {"x": floats(8)}


NETWORKS: dict[str, Callable[[], tuple[keras.Model, dict[str, Any]]]] = {
    "mlp": mlp,
    "regression": regression,
    "binary": binary,
    "cnn": cnn,
    "several": several,
    "unnamed": unnamed,
    "lstm": lambda: recurrent("LSTM"),
    "gru_any_length": lambda: recurrent("GRU", None),
    "simple_rnn": lambda: recurrent("SimpleRNN"),
    "text": text,
    "stateful": stateful,
    "subclassed": subclassed,
    "half": half,
    "unsupported": unsupported,
}


@pytest.fixture
def network(tmp_path) -> Callable[..., Export]:
    """Saves one of `NETWORKS` and its samples; returns the job that exports it."""

    def save(name: str, **changes: Any) -> Export:
        keras.utils.set_random_seed(0)
        model, samples = NETWORKS[name]()
        model.save(tmp_path / "model.keras")
        np.savez(tmp_path / "samples.npz", **samples)
        np.savez(tmp_path / "calibration.npz", **samples)
        job = Export(
            model=str(tmp_path / "model.keras"),
            samples=str(tmp_path / "samples.npz"),
            target=str(tmp_path / "out" / "best.tflite"),
            calibration=str(tmp_path / "calibration.npz"),
        )
        return dataclasses.replace(job, **changes)

    return save
