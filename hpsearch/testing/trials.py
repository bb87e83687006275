"""What a trial needs around it in a test: the driver's end of its channel, a tiny model, tiny data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Value


class FakeDriver:
    """A channel that chooses defaults, notes what it hears, and prunes after `keep` epochs."""

    def __init__(self, keep: int | None = None) -> None:
        self.keep = keep
        self.heard: list[tuple[str, Any]] = []
        self.awaited: list[bool] = []

    @property
    def epochs(self) -> list[Epoch]:
        return [what for kind, what in self.heard if kind == "epoch"]

    def suggest(self, parameter: Parameter) -> Value:
        self.heard.append(("suggest", parameter.name))
        return parameter.default

    def built(self, params: Mapping[str, Value]) -> None:
        self.heard.append(("built", dict(params)))

    def report(self, epoch: Epoch, *, await_answer: bool) -> bool:
        self.heard.append(("epoch", epoch))
        self.awaited.append(await_answer)
        return not await_answer or self.keep is None or epoch.number < self.keep


def overlapping(rows: int = 120, classes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Classes that overlap a little, so that metrics differ from one and from each other."""
    generator = np.random.default_rng(0)
    y = np.arange(rows) % classes
    x = generator.normal(size=(classes, 4))[y] + 0.8 * generator.normal(size=(rows, 4))
    return x.astype(np.float32), y


def small(hp: Any) -> Any:
    """A model of one hyperparameter and a searched learning rate."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(hp.Int("units", 4, 16, default=8), activation="relu"),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=0.03)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
