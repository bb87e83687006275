"""LiteRT (TensorFlow Lite): from a Keras model to a `.tflite` file, and running such a file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import ExportError, ModelError, fault
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt
from hpsearch.export.routes import Route, routes, unrolled
from hpsearch.export.samples import Arrays
from hpsearch.export.signature import Tensor
from hpsearch.models.stateful import reset_states

SUFFIX = ".tflite"
BACKEND = "tensorflow"
"""The Keras backend whose models can be converted."""


def attempts(endpoint: Endpoint, settings: Mapping[str, Any] | None = None) -> Iterator[Attempt]:
    """Yields the routes to a file, best first.

    Args:
        endpoint: The model.
        settings: As in `convert`.

    Raises:
        ModelError: Keras runs on a backend whose models cannot be converted.
    """
    _check_backend(endpoint.file)
    for route in routes(endpoint):
        yield Attempt(partial(convert, endpoint, route, settings=settings), route.batch, route.notes)


def open_file(file: Path, endpoint: Endpoint) -> Runner:  # noqa: ARG001
    """Opens a file in the interpreter; see `Runner`."""
    return Runner(file)


def _check_backend(path: str) -> None:
    import keras

    if keras.backend.backend() != BACKEND:
        raise ModelError(
            fault(
                path,
                "models are converted on the TensorFlow backend",
                expected="KERAS_BACKEND=tensorflow",
                received=f"KERAS_BACKEND={keras.backend.backend()}",
                advice="The `.keras` file is the same for every backend: `hpsearch.export.child.export` "
                "converts it in a process of its own.",
            )
        )


def convert(
    endpoint: Endpoint, route: Route, target: Path, settings: Mapping[str, Any] | None = None
) -> None:
    """Converts a model with LiteRT's built-in operations only.

    Operations of TensorFlow itself (`SELECT_TF_OPS`) are never allowed: such a file is written without
    complaint and then runs on no plain interpreter.

    Args:
        endpoint: The model, with names for its inputs and outputs.
        route: Batch size, sizes and unrolling to convert with.
        target: The file to write.
        settings: Attributes of `tf.lite.TFLiteConverter` to set, e.g. `{"optimizations": [...]}`.

    Raises:
        ExportError: The converter refuses the model.
    """
    import tensorflow as tf

    try:
        with tempfile.TemporaryDirectory(prefix="hpsearch-export-") as folder:
            _save(endpoint, route, folder)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            converter.experimental_enable_resource_variables = True
            for name, value in (settings or {}).items():
                setattr(converter, name, value)
            content = converter.convert()
    except Exception as failure:
        raise ExportError(_explain(failure)) from failure
    target.write_bytes(content)


def _save(endpoint: Endpoint, route: Route, folder: str) -> None:
    """Writes a SavedModel with one signature.

    The converter takes a detour over a SavedModel because it loses a Keras 3 model's variables otherwise:
    from concrete functions alone it makes a file that runs and returns NaN.
    """
    import keras
    import tensorflow as tf

    signature = [
        tf.TensorSpec(shape, tensor.dtype, name=tensor.name)
        for shape, tensor in zip(route.shapes(endpoint), endpoint.inputs.tensors, strict=True)
    ]
    reset_states(endpoint.model)  # the file keeps the state that the model has now
    with unrolled(endpoint.model, route.unroll):
        archive = keras.export.ExportArchive()
        archive.track(endpoint.model)
        archive.add_endpoint("serve", endpoint, input_signature=signature)
        archive.write_out(folder, verbose=False)


def _explain(failure: Exception) -> str:
    """Returns the reason out of the converter's pages of text."""
    text = str(failure)
    missing = sorted(set(re.findall(r"'(tf\.\w+)' op", text)))
    if missing:
        return fault(
            "LiteRT",
            "the model uses operations that are not built in",
            received=", ".join(missing),
            advice="Build it from layers that have built-in operations.",
        )
    first = " ".join(text.split())[:300] or type(failure).__name__
    return fault("LiteRT", "the converter refuses the model", received=first)


class Runner:
    """Runs a `.tflite` file in the LiteRT interpreter."""

    def __init__(self, file: Path) -> None:
        """Opens a file.

        Raises:
            ExportError: The interpreter cannot run it.
        """
        from ai_edge_litert.interpreter import Interpreter

        self.ops = _ops(file)
        try:
            self._interpreter = Interpreter(str(file), num_threads=1)
            self._run = self._interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as failure:
            raise ExportError(_refused(failure)) from failure

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The signature's inputs."""
        return _tensors(self._run.get_input_details())

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The signature's outputs."""
        return _tensors(self._run.get_output_details())

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Raises:
            ExportError: The interpreter fails.
        """
        try:
            outputs: Arrays = self._run(**inputs)
        except (RuntimeError, ValueError) as failure:
            raise ExportError(_refused(failure)) from failure
        return outputs


def _tensors(details: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            name,
            tuple(None if size < 0 else int(size) for size in each["shape_signature"]),
            np.dtype(each["dtype"]).name,
        )
        for name, each in details.items()
    )


def _ops(file: Path) -> tuple[str, ...]:
    """Lists the operators of a file, those inside loops included.

    Raises:
        ExportError: Some are not built in.
    """
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAs(file.read_bytes(), 0)
    operators = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    if custom := [each.CustomCode().decode() for each in operators if each.CustomCode()]:
        raise ExportError(
            fault("LiteRT", "the file needs operators that are not built in", received=", ".join(custom))
        )
    # Codes above 127 do not fit the old one-byte field, which then holds 127.
    codes = {max(each.BuiltinCode(), each.DeprecatedBuiltinCode()) for each in operators}
    return tuple(sorted(names.get(code, str(code)) for code in codes))


def _refused(failure: Exception) -> str:
    return fault(
        "LiteRT", "the interpreter cannot run the file", received=" ".join(str(failure).split())[:300]
    )
