"""Coarser numbers: what the LiteRT converter is told in each mode, and the ways round what fails.

An integer file has fixed ranges for all numbers that flow through it, found on training rows. The converter
dies of a recurrent layer's loop there, so the layer is unrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import DataError, fault
from hpsearch.export import litert
from hpsearch.export import samples as samples_file
from hpsearch.export.endpoint import Endpoint, match
from hpsearch.export.formats import Attempt
from hpsearch.export.interpreter import operators
from hpsearch.export.routes import Route, recurrent_layers, routes
from hpsearch.export.samples import Arrays, rows_of, take
from hpsearch.trial import Export

Settings = dict[str, Any]
"""Attributes of `tf.lite.TFLiteConverter`."""

TROUBLE = (("BATCH_MATMUL", "SOFTMAX"), ("FULLY_CONNECTED",))
"""Operators that are left in floats where all integers give no right file, one group after the other.

Attention loses most, for masked scores of -1e9 leave the others one step of the range. XNNPACK, LiteRT's
default on CPUs, refuses some dense layers within unrolled recurrent ones.
"""


@dataclass(frozen=True)
class IntegerMode:
    """What distinguishes the integer modes.

    Attributes:
        ops: Name in `tf.lite.OpsSet` of its operators.
        io: Type of inputs and outputs, where these are to be integers.
        selective: Whether single kinds of operators can be left in floats.
    """

    ops: str
    io: str
    selective: bool


INT8 = IntegerMode("TFLITE_BUILTINS_INT8", "int8", selective=True)
INT16X8 = IntegerMode(
    "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
    "int16",
    selective=False,
)


def float16() -> Settings:
    """Returns the settings for weights in 16-bit floats."""
    import tensorflow as tf

    spec = tf.lite.TargetSpec(supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS], supported_types=[tf.float16])
    return {"optimizations": [tf.lite.Optimize.DEFAULT], "target_spec": spec}


def dynamic_range() -> Settings:
    """Returns the settings for weights in 8-bit integers."""
    import tensorflow as tf

    return {"optimizations": [tf.lite.Optimize.DEFAULT]}


def attempts(mode: IntegerMode, endpoint: Endpoint, job: Export) -> Iterator[Attempt]:
    """Yields the ways to an integer file: integers only, then with some operators in floats.

    Raises:
        DataError: There are no training rows to find the ranges on.
        ModelError: Keras runs on a backend whose models cannot be converted.
    """
    litert.check_backend(endpoint.file)
    rows = _calibration(endpoint, job)
    loops = any(not layer.unroll for layer in recurrent_layers(endpoint.model))
    for route in routes(endpoint):
        if loops and not route.unroll:
            continue
        settings = _settings(mode, job, partial(_in_batches, rows, route))
        convert = partial(litert.convert, endpoint, route)
        first = _Noted(partial(convert, settings=settings))
        yield Attempt(first, route.batch, route.notes)
        if first.file is None:
            note = "operators without an integer kernel in floats"
            mixed = partial(convert, settings=_with_floats(mode, settings))
            yield Attempt(mixed, route.batch, (*route.notes, note))
        elif mode.selective and not job.integer_io:
            found = set(operators(first.file))
            for floats in TROUBLE:
                if found.issuperset(floats):
                    note = f"{' and '.join(floats)} in floats"
                    partly = partial(convert, settings=settings, finish=partial(_all_but, floats))
                    yield Attempt(partly, route.batch, (*route.notes, note))


class _Noted:
    """Writes a file, and notes that it did: then the file is wrong if another attempt is asked for."""

    def __init__(self, write: Callable[[Path], object]) -> None:
        self._write = write
        self.file: Path | None = None

    def __call__(self, file: Path) -> None:
        self._write(file)
        self.file = file


def _all_but(floats: Sequence[str], converter: Any) -> bytes:
    """Converts to integers, but for some kinds of operators."""
    import tensorflow as tf

    debugging = tf.lite.experimental
    options = debugging.QuantizationDebugOptions(denylisted_ops=list(floats))
    rows = converter.representative_dataset
    debugger = debugging.QuantizationDebugger(converter=converter, debug_dataset=rows, debug_options=options)
    return bytes(debugger.get_nondebug_quantized_model())


def _settings(mode: IntegerMode, job: Export, rows: Callable[[], Iterator[Arrays]]) -> Settings:
    import tensorflow as tf

    settings: Settings = {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": rows,
        "target_spec": tf.lite.TargetSpec(supported_ops=[getattr(tf.lite.OpsSet, mode.ops)]),
    }
    if job.integer_io:
        settings |= dict.fromkeys(
            ("inference_input_type", "inference_output_type"), tf.dtypes.as_dtype(mode.io)
        )
    return settings


def _with_floats(mode: IntegerMode, settings: Mapping[str, Any]) -> Settings:
    import tensorflow as tf

    sets = [getattr(tf.lite.OpsSet, mode.ops), tf.lite.OpsSet.TFLITE_BUILTINS]
    return {**settings, "target_spec": tf.lite.TargetSpec(supported_ops=sets)}


def _calibration(endpoint: Endpoint, job: Export) -> Arrays:
    if job.calibration is None or not Path(job.calibration).is_file():
        raise DataError(
            fault(
                f"export as {job.format}",
                "no training rows to find the ranges of its numbers on",
                expected=job.calibration or "`calibration.npz`, as an evaluation on the test rows writes it",
                advice="A study that ended before hpsearch wrote them: delete its `champion.json` and run it "
                "again, which trains nothing.",
            )
        )
    return match(endpoint.inputs.tensors, samples_file.read(job.calibration), job.calibration)


def _in_batches(rows: Arrays, route: Route) -> Iterator[Arrays]:
    """Yields the training rows in the batches that the converter runs."""
    batch = route.batch or 1
    numbers = np.arange(max(rows_of(rows) // batch, 1) * batch) % rows_of(rows)
    for some in np.split(numbers, len(numbers) // batch):
        yield take(rows, some)
