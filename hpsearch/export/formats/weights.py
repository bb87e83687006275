"""The weights alone, for a model of the same architecture: `model.load_weights(file)`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.keras_model import WEIGHTS_SUFFIX, Runner, attempt, load_weights, rebuild
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the one way."""
    yield attempt(endpoint, endpoint.model.save_weights)


def load(file: Path, endpoint: Endpoint) -> Runner:
    """Builds the model anew, and loads the weights into it."""
    model = rebuild(endpoint, endpoint.model.to_json())
    load_weights(model, file)
    return Runner(model, endpoint)


FORMAT = Format(suffix=WEIGHTS_SUFFIX, attempts=attempts, open=load)
