"""LiteRT in 8-bit integers, weights and activations: for hardware that has no floats."""

from __future__ import annotations

from functools import partial

from hpsearch.export import interpreter, litert, quantization
from hpsearch.export.formats import Format

FORMAT = Format(
    suffix=litert.SUFFIX,
    attempts=partial(quantization.attempts, quantization.INT8),
    open=interpreter.open_file,
    measure=interpreter.measure,
    float32=True,
    quantized=True,
)
