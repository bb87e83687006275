"""TensorFlow's SavedModel, a folder: for TensorFlow Serving, and TensorFlow in other languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpsearch.errors import ExportError, fault
from hpsearch.export import litert, saved_model
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.routes import Route
from hpsearch.references import summary
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the one way: any batch size, unless the model fixes it."""
    litert.check_backend(endpoint.file)
    route = Route(endpoint.batch)

    def write(folder: Path) -> None:
        try:
            saved_model.write(endpoint, route, str(folder))
        except Exception as failure:
            what = "it cannot save the model"
            raise ExportError(fault("TensorFlow", what, received=summary(failure))) from failure

    yield Attempt(write, route.batch, route.notes)


FORMAT = Format(suffix="", attempts=attempts, open=saved_model.Runner, float32=True, folder=True)
