"""The user's own layers, losses and metrics, made known to Keras before a saved model is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import keras

from hpsearch.errors import ModelError
from hpsearch.experiment import ModelSection
from hpsearch.models import names
from hpsearch.references import is_reference, resolve

_KERAS_FUNCTIONS = frozenset(
    name for module in (keras.activations, keras.losses, keras.metrics) for name in vars(module)
)


def register(section: ModelSection) -> None:
    """See `hpsearch.models.register_custom_objects`."""
    target = section.target
    if target is None:
        if not is_reference(section.name):
            if section.name in names():
                import_module(f"hpsearch.models.{section.name}")  # its classes register themselves
            return
        target = resolve(section.name, where="model.name", error=ModelError)
    known = keras.saving.get_custom_objects()
    for found in _reachable(target):
        # A file names its layers by module, but functions by name alone: Keras's own come first.
        taken = inspect.isfunction(found) and found.__name__ in _KERAS_FUNCTIONS
        if not taken and not found.__module__.startswith(("keras", "tensorflow")):
            known.setdefault(found.__name__, found)


def _reachable(target: Any) -> Iterator[Any]:
    """Yields the classes and functions that the code of a model refers to."""
    if inspect.isfunction(target):
        functions: list[Any] = [target]
    else:
        owner = target if inspect.isclass(target) else type(target)
        functions = [method for kind in inspect.getmro(owner) for method in vars(kind).values()]
    for function in functions:
        if inspect.isfunction(function):
            names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
            yield from (
                found for found in names.values() if inspect.isclass(found) or inspect.isfunction(found)
            )
