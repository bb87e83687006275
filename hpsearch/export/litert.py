"""LiteRT (TensorFlow Lite): from a Keras model to a `.tflite` file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch.errors import ExportError, ModelError, fault
from hpsearch.export import saved_model
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Attempt
from hpsearch.export.routes import Route, routes
from hpsearch.trial import Export

SUFFIX = ".tflite"
BACKEND = "tensorflow"
"""The Keras backend whose models can be converted."""


def attempts(
    endpoint: Endpoint, _job: Export, *, settings: Callable[[], Mapping[str, Any]] = dict
) -> Iterator[Attempt]:
    """Yields the routes to a file of floats, best first.

    Args:
        endpoint: The model.
        settings: Gives those of `convert`. Default: none.

    Raises:
        ModelError: Keras runs on a backend whose models cannot be converted.
    """
    check_backend(endpoint.file)
    for route in routes(endpoint):
        yield Attempt(partial(convert, endpoint, route, settings=settings()), route.batch, route.notes)


def check_backend(path: str) -> None:
    """Makes sure that Keras runs on the backend whose models can be converted.

    Raises:
        ModelError: It runs on another.
    """
    import keras

    if keras.backend.backend() != BACKEND:
        raise ModelError(
            fault(
                path,
                "models are converted on the TensorFlow backend",
                expected="KERAS_BACKEND=tensorflow",
                received=f"KERAS_BACKEND={keras.backend.backend()}",
                advice="The `.keras` file is the same for every backend: `hpsearch.export.child.export` "
                "converts it in a process of its own.",
            )
        )


def _whole(converter: Any) -> bytes:
    return bytes(converter.convert())


def convert(
    endpoint: Endpoint,
    route: Route,
    target: Path,
    settings: Mapping[str, Any] | None = None,
    finish: Callable[[Any], bytes] = _whole,
) -> None:
    """Converts a model with LiteRT's built-in operations only.

    Operations of TensorFlow itself (`SELECT_TF_OPS`) are never allowed: such a file is written without
    complaint and then runs on no plain interpreter. The converter takes a detour over a SavedModel because it
    loses a Keras 3 model's variables otherwise: from concrete functions alone it makes a file that runs and
    returns NaN.

    Args:
        endpoint: The model, with names for its inputs and outputs.
        route: Batch size, sizes and unrolling to convert with.
        target: The file to write.
        settings: Attributes of `tf.lite.TFLiteConverter` to set, e.g. `{"optimizations": [...]}`.
        finish: Makes the file's content by the converter. Default: the converter alone.

    Raises:
        ExportError: The converter refuses the model.
    """
    import tensorflow as tf

    try:
        with tempfile.TemporaryDirectory(prefix="hpsearch-export-") as folder:
            saved_model.write(endpoint, route, folder)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            converter.experimental_enable_resource_variables = True
            for name, value in (settings or {}).items():
                setattr(converter, name, value)
            content = finish(converter)
    except Exception as failure:
        raise ExportError(_explain(failure)) from failure
    target.write_bytes(content)


def _explain(failure: Exception) -> str:
    """Returns the reason out of the converter's pages of text."""
    text = str(failure)
    missing = sorted(set(re.findall(r"'(tf\.\w+)' op", text)))
    if missing:
        return fault(
            "LiteRT",
            "the model uses operations that are not built in",
            received=", ".join(missing),
            advice="Build it from layers that have built-in operations.",
        )
    first = " ".join(text.split())[:300] or type(failure).__name__
    return fault("LiteRT", "the converter refuses the model", received=first)
