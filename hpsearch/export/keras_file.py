"""What a saved model was trained with: its precision and its loss."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


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
