"""LiteRT with weights and computation in 32-bit floats: the closest to Keras."""

from __future__ import annotations

from hpsearch.export import interpreter, litert

FORMAT = interpreter.tflite(litert.attempts, quantized=False)
