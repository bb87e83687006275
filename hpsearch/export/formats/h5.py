"""Architecture and weights of a sequential or functional model in HDF5, the format before Keras 3."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hpsearch.errors import ExportError
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt, Format
from hpsearch.export.keras_model import Runner, attempt, refused
from hpsearch.models.hdf5 import check_fits
from hpsearch.trial import Export


def attempts(endpoint: Endpoint, _job: Export) -> Iterator[Attempt]:
    """Yields the one way: without optimizer and loss, for Keras 3.15 cannot train with what it loads of them.

    Raises:
        ExportError: HDF5 cannot hold such a model.
    """
    check_fits(endpoint.model, ExportError)
    write = partial(endpoint.model.save, include_optimizer=False)
    yield attempt(endpoint, write, "not compiled: compile it before training")


def load(file: Path, endpoint: Endpoint) -> Runner:
    """Loads the model."""
    import keras

    try:
        model = keras.saving.load_model(file, safe_mode=True)
    except Exception as failure:
        raise ExportError(refused("the model", failure)) from failure
    return Runner(model, endpoint)


FORMAT = Format(suffix=".h5", attempts=attempts, open=load)
