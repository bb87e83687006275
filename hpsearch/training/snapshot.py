"""A model's weights and its optimizer's state at one moment, kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a model was when the snapshot was taken.

    Memory is cheaper than a file: 5 ms against 50 ms for a small model, after every better epoch.

    Attributes:
        model: The model; training goes on with it.
        values: Each of its variables and its optimizer's, with its value then.
    """

    model: keras.Model
    values: tuple[tuple[Any, NDArray[Any]], ...]

    @classmethod
    def take(cls, model: keras.Model) -> Snapshot:
        """Copies the model's variables: weights, moving averages, seeds, and the optimizer's."""
        to_numpy = keras.ops.convert_to_numpy
        return cls(model, tuple((variable, to_numpy(variable).copy()) for variable in variables_of(model)))

    def restore(self) -> keras.Model:
        """Makes the model what it was, and returns it."""
        for variable, value in self.values:
            variable.assign(value)
        return self.model


def variables_of(model: keras.Model) -> list[Any]:
    """Returns a model's variables, seeds included, and its optimizer's."""
    optimizer = getattr(model, "optimizer", None)
    return [*model.variables, *(optimizer.variables if optimizer is not None else ())]
