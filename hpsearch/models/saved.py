"""Loading a model that was saved: a `.keras` file, and never code that it holds."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import keras

from hpsearch.errors import ModelError, fault


def load(path: str, *, compile: bool = False, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """See `hpsearch.models.load_saved`."""
    _check_archive(path)
    try:
        model = keras.saving.load_model(
            path, custom_objects=dict(custom_objects or {}), compile=compile, safe_mode=True
        )
    except Exception as failure:
        problem, advice = _explain(failure)
        raise ModelError(fault(path, problem, advice=advice)) from failure
    if not isinstance(model, keras.Model):
        raise ModelError(
            fault(path, "not a model", expected="a `keras.Model`", received=type(model).__name__)
        )
    return model


def _check_archive(path: str) -> None:
    if not os.path.isfile(path):
        raise ModelError(fault(path, "the model file does not exist", expected="a `.keras` file"))
    if not zipfile.is_zipfile(path):
        raise ModelError(
            fault(
                path,
                "the model file is damaged or of another kind",
                expected="a `.keras` file as `model.save` writes it",
                received=f"{os.path.getsize(path):,} bytes that are no such archive",
            )
        )


def _explain(failure: Exception) -> tuple[str, str]:
    """Returns what went wrong and what to do, out of Keras's long messages."""
    text = " ".join(str(failure).split())
    if missing := re.search(r"Could not locate (?:class|function|object) '([^']+)'", text):
        return (
            f"the model needs `{missing[1]}`, which is not registered",
            "Decorate it with `@keras.saving.register_keras_serializable()` and import its module first.",
        )
    if "Lambda" in text and "deserialization" in text:
        return (
            "the model holds a `Lambda` layer around a Python lambda, and code inside a file is not run",
            "Write it as a layer class, with `@keras.saving.register_keras_serializable()`.",
        )
    if isinstance(failure, zipfile.BadZipFile | KeyError):
        return f"the model file is damaged: {text}", "Copy it again from where it was made."
    return (
        f"Keras cannot load the model: {text[-300:]}",
        "Load it with `keras.saving.load_model` to see more.",
    )
