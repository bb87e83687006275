"""Stateful models: recurrent layers that carry their state from one batch over to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def fixed_batch(model: keras.Model) -> int | None:
    """Returns the batch size that a stateful model was built for; None where no layer is stateful."""
    if not getattr(model, "inputs", None) or not any(
        getattr(layer, "stateful", False) for layer in model._flatten_layers()
    ):
        return None
    size: int | None = model.inputs[0].shape[0]
    return size


def reset_states(model: keras.Model) -> None:
    """Puts every stateful layer back to its initial state."""
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()
