"""LiteRT with weights in 8-bit and activations in 16-bit integers: more exact than `int8`, slow on CPUs."""

from __future__ import annotations

from functools import partial

from hpsearch.export import interpreter, litert, quantization
from hpsearch.export.formats import Format

FORMAT = Format(
    suffix=litert.SUFFIX,
    attempts=partial(quantization.attempts, quantization.INT16X8),
    open=interpreter.open_file,
    measure=interpreter.measure,
    float32=True,
    quantized=True,
)
