"""LiteRT with weights in 8-bit integers: a quarter of the size. Activations are quantized as they come."""

from __future__ import annotations

from functools import partial

from hpsearch.export import interpreter, litert, quantization

FORMAT = interpreter.tflite(partial(litert.attempts, settings=quantization.dynamic_range))
