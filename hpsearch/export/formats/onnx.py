"""ONNX, for ONNX Runtime and what reads it; needs `pip install 'hpsearch[onnx]'`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hpsearch.errors import ExportError, fault
from hpsearch.export import litert, onnx_file
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.routes import Route
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the one way: any batch size.

    Raises:
        ExportError: The model is stateful.
        UsageError: The extra `onnx` is not installed.
        ModelError: Keras runs on a backend whose models cannot be converted.
    """
    onnx_file.check_installed()
    litert.check_backend(endpoint.file)
    if endpoint.batch is not None:
        what = "a stateful model cannot be exported: an ONNX file keeps no state from call to call"
        raise ExportError(fault("ONNX", what, advice="Train it with `stateful: false`, or use `float32`."))
    yield Attempt(partial(onnx_file.convert, endpoint, Route()))


FORMAT = Format(suffix=".onnx", attempts=attempts, open=onnx_file.open_file, float32=True)
