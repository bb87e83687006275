"""TensorFlow's SavedModel: a folder with one signature; TensorFlow Serving and LiteRT's converter read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpsearch.errors import ExportError, fault
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.routes import Route, unrolled
from hpsearch.export.samples import Arrays
from hpsearch.export.signature import Tensor
from hpsearch.models.stateful import reset_states
from hpsearch.references import summary

SIGNATURE = "serving_default"


def write(endpoint: Endpoint, route: Route, folder: str) -> None:
    """Writes a SavedModel with one signature.

    Args:
        endpoint: The model, with names for its inputs and outputs.
        route: Batch size, sizes and unrolling.
        folder: Where to.
    """
    import keras

    reset_states(endpoint.model)  # the file keeps the state that the model has now
    with unrolled(endpoint.model, route.unroll):
        archive = keras.export.ExportArchive()
        archive.track(endpoint.model)
        archive.add_endpoint("serve", endpoint, input_signature=specs(endpoint, route))
        archive.write_out(folder, verbose=False)


def specs(endpoint: Endpoint, route: Route) -> list[object]:
    """Returns the inputs as TensorFlow's specifications."""
    import tensorflow as tf

    return [
        tf.TensorSpec(shape, tensor.dtype, name=tensor.name)
        for shape, tensor in zip(route.shapes(endpoint), endpoint.inputs.tensors, strict=True)
    ]


class Runner:
    """Runs a SavedModel in TensorFlow."""

    ops: tuple[str, ...] = ()

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        """Loads it.

        Raises:
            ExportError: TensorFlow cannot.
        """
        import tensorflow as tf

        try:
            self._model = tf.saved_model.load(str(folder))  # its variables live as long as it is held
            self._run = self._model.signatures[SIGNATURE]
        except Exception as failure:
            raise ExportError(_refused(failure)) from failure
        given = self._run.structured_input_signature[1]
        self.inputs = tuple(
            Tensor(each.name, tuple(given[each.name].shape), given[each.name].dtype.name)
            for each in endpoint.inputs.tensors
            if each.name in given
        )
        self.outputs = tuple(
            Tensor(name, tuple(spec.shape), spec.dtype.name)
            for name, spec in self._run.structured_outputs.items()
        )

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Raises:
            ExportError: TensorFlow fails.
        """
        import tensorflow as tf

        try:
            outputs = self._run(**{name: tf.constant(array) for name, array in inputs.items()})
        except Exception as failure:
            raise ExportError(_refused(failure)) from failure
        return {name: np.asarray(output) for name, output in outputs.items()}


def _refused(failure: Exception) -> str:
    return fault("TensorFlow", "it cannot run the SavedModel", received=summary(failure))
