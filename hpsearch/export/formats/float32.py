"""LiteRT with weights and computation in 32-bit floats: the closest to Keras."""

from __future__ import annotations

from collections.abc import Iterator

from hpsearch.export import interpreter, litert
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the routes."""
    yield from litert.attempts(endpoint)


FORMAT = Format(
    suffix=litert.SUFFIX,
    attempts=attempts,
    open=interpreter.open_file,
    measure=interpreter.measure,
    float32=True,
)
