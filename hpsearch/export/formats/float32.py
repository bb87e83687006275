"""LiteRT with weights and computation in 32-bit floats: the closest to Keras."""

from __future__ import annotations

from hpsearch.export import litert
from hpsearch.export.formats import Format

FORMAT = Format(suffix=litert.SUFFIX, attempts=litert.attempts, open=litert.open_file, float32=True)
