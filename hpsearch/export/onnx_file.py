"""ONNX: from a Keras model to an `.onnx` file, by tf2onnx, and running such a file in ONNX Runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from hpsearch.errors import ExportError, UsageError, fault
from hpsearch.export import saved_model
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.routes import Route
from hpsearch.export.samples import Arrays
from hpsearch.export.signature import Tensor
from hpsearch.models.stateful import reset_states
from hpsearch.references import summary

OPSET = 18
"""Version of ONNX's operators: the newest that tf2onnx writes."""
_NEEDED = ("tf2onnx", "onnx", "onnxruntime")


def check_installed() -> None:
    """Makes sure that the extra is there.

    Raises:
        UsageError: It is not.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            fault(
                "export as onnx",
                "a package is not installed",
                received=", ".join(missing),
                advice="Install it: `pip install 'hpsearch[onnx]'`.",
            )
        )


def convert(endpoint: Endpoint, route: Route, target: Path) -> None:
    """Converts a model; its recurrent loops stay loops, of any batch size.

    Args:
        endpoint: The model, with names for its inputs and outputs.
        route: Batch size and sizes.
        target: The file to write.

    Raises:
        ExportError: tf2onnx refuses the model.
    """
    import tensorflow as tf
    import tf2onnx

    signature = saved_model.specs(endpoint, route)
    reset_states(endpoint.model)
    try:
        function = tf.function(endpoint, input_signature=signature, autograph=False)
        tf2onnx.convert.from_function(function, signature, opset=OPSET, output_path=str(target))
    except Exception as failure:
        raise ExportError(
            fault("ONNX", "the converter refuses the model", received=summary(failure))
        ) from failure
    if not target.is_file():
        raise ExportError(fault("ONNX", "the converter wrote no file"))


def open_file(file: Path, endpoint: Endpoint) -> Runner:  # noqa: ARG001
    """Opens a file in ONNX Runtime; see `Runner`."""
    return Runner(file)


class Runner:
    """Runs an `.onnx` file."""

    def __init__(self, file: Path) -> None:
        """Opens a file.

        Raises:
            ExportError: ONNX Runtime cannot run it.
        """
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
            self.ops = tuple(sorted({node.op_type for node in onnx.load(str(file)).graph.node}))
        except Exception as failure:
            raise ExportError(_refused(failure)) from failure
        self.inputs = tuple(map(_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_tensor, self._session.get_outputs()))

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Raises:
            ExportError: ONNX Runtime fails.
        """
        try:
            outputs = self._session.run(None, inputs)
        except Exception as failure:
            raise ExportError(_refused(failure)) from failure
        names = (each.name for each in self.outputs)
        return {name: np.asarray(output) for name, output in zip(names, outputs, strict=True)}


_TYPES = {"float": "float32", "double": "float64"}
"""ONNX's names of NumPy's types, where they differ."""


def _tensor(described: object) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in described.shape)  # type: ignore[attr-defined]
    dtype = described.type.removeprefix("tensor(").removesuffix(")")  # type: ignore[attr-defined]
    return Tensor(described.name, shape, _TYPES.get(dtype, dtype))  # type: ignore[attr-defined]


def _refused(failure: Exception) -> str:
    return fault("ONNX Runtime", "it cannot run the file", received=summary(failure))
