"""Layers that do not learn, whatever a model unfreezes as it trains."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hpsearch.errors import ModelError, fault

if TYPE_CHECKING:
    import keras

NAMES_SHOWN = 30
_MARK = "frozen_for_good"
_WHERE = "training.frozen"


def freeze(model: keras.Model, patterns: Sequence[str]) -> None:
    """Freezes the layers whose names match, at any depth, with all that they hold.

    Args:
        model: Not yet trained.
        patterns: As the shell's: `conv_*`.

    Raises:
        ModelError: A pattern matches no layer, or nothing is left to learn.
    """
    layers = [each for each in model._flatten_layers(include_self=False) if not _is_input(each)]
    for pattern in patterns:
        matching = [layer for layer in layers if fnmatchcase(layer.name, pattern)]
        if not matching:
            raise ModelError(
                fault(
                    _WHERE,
                    "no layer has such a name",
                    expected=_listed([layer.name for layer in layers]),
                    received=pattern,
                    advice=None if model.built else "Layers made in `build` or `call` do not exist yet.",
                )
            )
        for layer in matching:
            layer.trainable = False
            for each in layer._flatten_layers():
                setattr(each, _MARK, True)
    if patterns and model.built and not model.trainable_variables:
        raise ModelError(fault(_WHERE, "nothing is left to learn", received=", ".join(patterns)))


def is_frozen(layer: keras.layers.Layer) -> bool:
    """Whether `freeze` froze a layer."""
    return bool(getattr(layer, _MARK, False))


def _is_input(layer: keras.layers.Layer) -> bool:
    return type(layer).__name__ == "InputLayer"


def _listed(names: Sequence[str]) -> str | None:
    different = list(dict.fromkeys(names))
    more = len(different) - NAMES_SHOWN
    return ", ".join(different[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "") or None
