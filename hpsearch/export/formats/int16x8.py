"""LiteRT with weights in 8-bit and activations in 16-bit integers: more exact than `int8`, slow on CPUs."""

from __future__ import annotations

from functools import partial

from hpsearch.export import interpreter, quantization

FORMAT = interpreter.tflite(partial(quantization.attempts, quantization.INT16X8))
