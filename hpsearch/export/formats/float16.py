"""LiteRT with weights in 16-bit floats: half the size. CPUs compute in 32-bit floats, GPUs in either."""

from __future__ import annotations

from functools import partial

from hpsearch.export import interpreter, litert, quantization

FORMAT = interpreter.tflite(partial(litert.attempts, settings=quantization.float16))
