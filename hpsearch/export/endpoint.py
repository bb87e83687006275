"""A Keras model seen from outside: a function of named arrays, and what it says to real samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.errors import DataError, ExportError, fault
from hpsearch.export.samples import CHUNK, Arrays, rows_of, take
from hpsearch.export.signature import Inputs, Tensor, inputs_of, name_outputs
from hpsearch.models.stateful import fixed_batch, reset_states

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A model, the names of its inputs, and the samples it is judged on.

    Attributes:
        model: The Keras model.
        file: It was loaded from.
        inputs: In the order of the call's arguments.
        samples: One array an input, by its name and in its type.
        batch: The batch size when the model fixes it, as stateful layers do; else None.
        reference: Keras's predictions on the samples, by output name.
    """

    model: keras.Model
    file: str
    inputs: Inputs
    samples: Arrays
    batch: int | None
    reference: Arrays

    def __call__(self, *tensors: Any) -> dict[str, Any]:
        """Runs the model on one tensor an input; returns the outputs by name."""
        return name_outputs(self.model, self.model(self.inputs.pack(tensors), training=False))


def open_endpoint(model: keras.Model, arrays: Arrays, *, file: str, where: str) -> Endpoint:
    """Names a model's inputs and outputs, and has Keras predict the samples.

    Args:
        model: A built model of any kind: sequential, functional, subclassed.
        file: It was loaded from.
        arrays: One array an input, by its name; a single array may have any name.
        where: Where the samples come from, for messages.

    Raises:
        DataError: The samples do not fit the inputs.
        ExportError: Keras cannot predict the samples, or predicts NaN.
    """
    inputs = inputs_of(model, arrays)
    samples = match(inputs.tensors, arrays, where)
    batch = fixed_batch(model)
    if batch is not None:  # whole batches only, so that state runs on alike in Keras and in the file
        rows = rows_of(samples)
        samples = take(samples, np.arange(max(rows // batch, 1) * batch) % rows)
    return Endpoint(model, file, inputs, samples, batch, _reference(model, inputs, samples, batch or CHUNK))


def match(tensors: tuple[Tensor, ...], arrays: Arrays, where: str) -> Arrays:
    """Finds each input's array, checks its shape and gives it the input's type.

    Args:
        tensors: The inputs.
        arrays: One array an input, by its name; a single array may have any name.
        where: Where they come from, for messages.

    Raises:
        DataError: They do not fit.
    """
    matched: Arrays = {}
    for tensor in tensors:
        known = [name for name in (tensor.name, *tensor.aliases) if name in arrays]
        if not known and len(arrays) == len(tensors) == 1:
            known = list(arrays)
        if not known:
            raise DataError(
                fault(
                    where,
                    f"no samples for the model's input `{tensor.name}`",
                    expected="arrays named " + ", ".join(f"`{each.name}`" for each in tensors),
                    received=", ".join(f"`{name}`" for name in arrays),
                )
            )
        array = arrays[known[0]]
        if array.ndim != len(tensor.shape) or any(
            size not in (None, actual) for size, actual in zip(tensor.shape, array.shape, strict=True)
        ):
            sizes = ", ".join("any" if size is None else str(size) for size in tensor.shape[1:])
            raise DataError(
                fault(
                    f"{where}: {known[0]}",
                    f"samples of another shape than the model's input `{tensor.name}`",
                    expected=f"(rows, {sizes})",
                    received=str(array.shape),
                )
            )
        matched[tensor.name] = np.ascontiguousarray(array, dtype=tensor.dtype)
    return matched


def predict(model: keras.Model, inputs: Inputs, batch: Arrays) -> Arrays:
    """Has Keras predict one batch, in full precision; returns the outputs by name.

    Raises:
        ExportError: It cannot.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        model.jit_compile = False  # for so few batches XLA costs more than it saves
    try:
        with _full_precision():
            predicted = model.predict_on_batch(inputs.pack([batch[each.name] for each in inputs.tensors]))
    except Exception as failure:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
        problem = f"{type(failure).__name__}: {' '.join(plain.split())[:300]}"
        raise ExportError(
            fault("the Keras model", "it cannot predict the samples", received=problem)
        ) from failure
    return {
        name: keras.ops.convert_to_numpy(output) for name, output in name_outputs(model, predicted).items()
    }


def _reference(model: keras.Model, inputs: Inputs, samples: Arrays, size: int) -> Arrays:
    reset_states(model)
    chunks = np.split(np.arange(rows_of(samples)), range(size, rows_of(samples), size))
    parts = [predict(model, inputs, take(samples, rows)) for rows in chunks]
    reset_states(model)
    reference = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name, array in reference.items():
        if wrong := np.count_nonzero(~np.isfinite(array)):
            raise ExportError(
                fault(
                    f"output `{name}` of the Keras model",
                    "its own predictions hold NaN or infinity, so no file can be compared with them",
                    received=f"{wrong} of {array.size} values",
                    advice="Look at the samples, and at the trial's learning curves.",
                )
            )
    return reference


@contextmanager
def _full_precision() -> Iterator[None]:
    """Has a GPU multiply in float32; TensorFloat-32, its default, is off by more than a file is."""
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
