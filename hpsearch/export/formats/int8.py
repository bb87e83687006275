"""LiteRT in 8-bit integers, weights and activations: for hardware that has no floats."""

from __future__ import annotations

from functools import partial

from hpsearch.export import interpreter, quantization

FORMAT = interpreter.tflite(partial(quantization.attempts, quantization.INT8))
