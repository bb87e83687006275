"""The whole model in Keras's format: architecture, weights, and what it was trained with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.keras_model import Runner, attempt
from hpsearch.models import load_saved
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the one way: the trial's file itself, so that nothing is lost."""
    yield attempt(endpoint, partial(shutil.copyfile, endpoint.file))


def load(file: Path, endpoint: Endpoint) -> Runner:
    """Loads the model."""
    return Runner(load_saved(str(file)), endpoint)


FORMAT = Format(suffix=".keras", attempts=attempts, open=load)
