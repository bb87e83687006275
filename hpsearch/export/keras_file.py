"""Reading a `.keras` file: the model, and the loss it was trained with."""

from __future__ import annotations

import json
import os
import re
import zipfile
from typing import TYPE_CHECKING

from hpsearch.errors import ModelError, fault

if TYPE_CHECKING:
    import keras

BACKEND = "tensorflow"
"""The Keras backend whose models can be converted."""


def load(path: str) -> keras.Model:
    """Loads a model for inference, never running code that the file itself holds (`safe_mode`).

    Args:
        path: A `.keras` file.

    Raises:
        ModelError: There is no such file, it is damaged, or it needs a class that nobody registered.
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
    _check_archive(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as failure:
        problem, advice = _explain(failure)
        raise ModelError(fault(path, problem, advice=advice)) from failure
    if not isinstance(model, keras.Model):
        raise ModelError(
            fault(path, "not a model", expected="a `keras.Model`", received=type(model).__name__)
        )
    return model


def compute_in_float32(model: keras.Model) -> str | None:
    """Has a mixed precision model compute in the type of its weights, as exported files do.

    Returns:
        The policy it was trained with, e.g. `mixed_float16`; None when there was nothing to change.
    """
    import keras

    trained_with = None
    for layer in model._flatten_layers():
        policy = layer.dtype_policy
        if policy.compute_dtype != policy.variable_dtype == "float32":
            trained_with = str(policy.name)
            layer.dtype_policy = keras.DTypePolicy("float32")
    return trained_with


def loss(path: str) -> str:
    """Returns how the file describes the model's loss, in lower case; empty when it was not compiled."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    described = (config.get("compile_config") or {}).get("loss")
    return json.dumps(described).lower() if described else ""


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
