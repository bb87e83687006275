"""LiteRT with weights in 8-bit integers: a quarter of the size. Activations are quantized as they come."""

from __future__ import annotations

from collections.abc import Iterator

from hpsearch.export import interpreter, litert, quantization
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the routes."""
    yield from litert.attempts(endpoint, quantization.dynamic_range())


FORMAT = Format(
    suffix=litert.SUFFIX,
    attempts=attempts,
    open=interpreter.open_file,
    measure=interpreter.measure,
    float32=True,
    quantized=True,
)
