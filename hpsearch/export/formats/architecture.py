"""The architecture alone, as JSON that `keras.models.model_from_json` reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.keras_model import Runner, attempt, copy_weights, rebuild
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the one way."""
    yield attempt(endpoint, lambda file: file.write_text(endpoint.model.to_json(indent=2), encoding="utf-8"))


def load(file: Path, endpoint: Endpoint) -> Runner:
    """Builds the model anew, and gives it the weights, which the file does not hold."""
    model = rebuild(endpoint, file.read_text(encoding="utf-8"))
    copy_weights(endpoint.model, model)
    return Runner(model, endpoint)


FORMAT = Format(suffix=".json", attempts=attempts, open=load)
