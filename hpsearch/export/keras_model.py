"""Keras's own formats: writing a model's parts, and running a model that was loaded from them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import ExportError, fault
from hpsearch.export.endpoint import Endpoint, predict
from hpsearch.export.formats import Attempt
from hpsearch.export.samples import CHUNK, Arrays, rows_of, take
from hpsearch.export.signature import Tensor, inputs_of
from hpsearch.models.stateful import reset_states
from hpsearch.references import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

WEIGHTS_SUFFIX = ".weights.h5"
"""Keras insists on it."""


def attempt(endpoint: Endpoint, write: Callable[[Path], object], *notes: str) -> Attempt:
    """Makes the attempt to write a file, which is then run on the batches that Keras has predicted."""
    return Attempt(write, batch=endpoint.batch or min(CHUNK, rows_of(endpoint.samples)), notes=notes)


def rebuild(endpoint: Endpoint, architecture: str) -> keras.Model:
    """Makes a model of its architecture; its weights are new.

    Args:
        endpoint: Of the model that the architecture is of.
        architecture: JSON, as `model.to_json` writes it.

    Raises:
        ExportError: Keras cannot read it.
    """
    import keras

    try:
        model = keras.models.model_from_json(architecture)
        if not model.built:
            first = take(endpoint.samples, np.arange(1))
            model(endpoint.inputs.pack([first[tensor.name] for tensor in endpoint.inputs.tensors]))
    except Exception as failure:
        raise ExportError(refused("the architecture", failure)) from failure
    return model


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives a model the weights of another one of the same architecture."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-export-") as folder:
        file = Path(folder, f"model{WEIGHTS_SUFFIX}")
        source.save_weights(file)
        load_weights(target, file)


def load_weights(model: keras.Model, file: Path) -> None:
    """Loads weights.

    Raises:
        ExportError: They are not those of the model.
    """
    try:
        model.load_weights(file)
    except Exception as failure:
        raise ExportError(refused("the weights", failure)) from failure


def refused(what: str, failure: Exception) -> str:
    """Returns the message for what Keras cannot load again."""
    return fault("Keras", f"cannot load {what} again", received=summary(failure))


class Runner:
    """Runs a model that was loaded."""

    ops: tuple[str, ...] = ()

    def __init__(self, model: keras.Model, endpoint: Endpoint) -> None:
        self._model = model
        self._inputs = inputs_of(model, endpoint.samples)
        self.inputs = self._inputs.tensors
        self.outputs = tuple(_tensors(endpoint.reference))
        reset_states(model)

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Raises:
            ExportError: Keras fails.
        """
        return predict(self._model, self._inputs, inputs)


def _tensors(outputs: Arrays) -> Iterator[Tensor]:
    for name, array in outputs.items():
        yield Tensor(name, (None, *array.shape[1:]), str(array.dtype))
