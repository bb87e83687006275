"""Running a `.tflite` file: the LiteRT interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import ExportError, fault
from hpsearch.export import latency
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.litert import SUFFIX
from hpsearch.export.samples import Array, Arrays
from hpsearch.export.signature import Tensor
from hpsearch.export.structure import structure_of
from hpsearch.trial import Export, Speed


def tflite(attempts: Callable[[Endpoint, Export], Iterable[Attempt]], *, quantized: bool = True) -> Format:
    """Returns a format whose files the interpreter runs.

    Args:
        attempts: As in `Format`.
        quantized: Whether the file holds coarser numbers than the model.
    """
    return Format(
        suffix=SUFFIX, attempts=attempts, open=open_file, measure=measure, float32=True, quantized=quantized
    )


def open_file(file: Path, endpoint: Endpoint) -> Runner:  # noqa: ARG001
    """Opens a file in the interpreter; see `Runner`."""
    return Runner(file)


def measure(file: Path, inputs: Arrays) -> Speed | None:
    """Measures a file's latency and memory on one batch of real numbers; see `latency.measure`."""
    runner = Runner(file)
    speed = latency.measure(file, runner.encode(inputs))
    return None if speed is None else replace(speed, structure=structure_of(file))


class Runner:
    """Runs a `.tflite` file in the LiteRT interpreter.

    Real numbers go in and come out, also where the file takes and returns integers that stand for them.
    """

    def __init__(self, file: Path) -> None:
        """Opens a file.

        Raises:
            ExportError: The interpreter cannot run it.
        """
        from ai_edge_litert.interpreter import Interpreter

        self.ops = operators(file)
        try:
            self._interpreter = Interpreter(str(file), num_threads=1)
            self._run = self._interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as failure:
            raise ExportError(_refused(failure)) from failure
        self.inputs = _tensors(self._run.get_input_details())
        self.outputs = _tensors(self._run.get_output_details())

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs one batch.

        Raises:
            ExportError: The interpreter fails.
        """
        try:
            outputs: Arrays = self._run(**self.encode(inputs))
        except (RuntimeError, ValueError) as failure:
            raise ExportError(_refused(failure)) from failure
        return {each.name: _real(outputs[each.name], each) for each in self.outputs}

    def encode(self, inputs: Arrays) -> Arrays:
        """Returns what the file takes for real numbers."""
        return {each.name: _quantized(inputs[each.name], each) for each in self.inputs}


def _quantized(array: Array, tensor: Tensor) -> Array:
    if tensor.scale is None or array.dtype.kind != "f":
        return array
    limits = np.iinfo(tensor.dtype)
    integers = np.round(array / tensor.scale + tensor.zero_point)
    return np.clip(integers, limits.min, limits.max).astype(tensor.dtype)


def _real(array: Array, tensor: Tensor) -> Array:
    if tensor.scale is None:
        return array
    return ((array.astype(np.float32) - tensor.zero_point) * tensor.scale).astype(np.float32)


def _tensors(details: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(_tensor(name, each) for name, each in details.items())


def _tensor(name: str, details: Mapping[str, Any]) -> Tensor:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    scale, zero_point = details["quantization"]  # a scale of 0: the numbers are what they are
    return Tensor(
        name,
        shape,
        np.dtype(details["dtype"]).name,
        scale=float(scale) if scale else None,
        zero_point=int(zero_point),
    )


def operators(file: Path) -> tuple[str, ...]:
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
