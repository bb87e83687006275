"""Compiled graphs are kept: a model that differs from an earlier one in values only is trained with them.

Tracing a training step takes longer than many a trial's epochs. Where two models have the same layers,
losses, metrics and optimizer, and differ in weights, seeds or the learning rate, which are all variables,
the graph is the same. So the earlier model is given the variables of the new one, and computes what that
would have.

Only of models that are made of Keras's own parts is it certain that an equal configuration means an equal
graph: code of the user's own may depend on anything.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.models.compiled import inner_optimizer
from hpsearch.models.stateful import fixed_batch
from hpsearch.training.distribution import devices
from hpsearch.training.graphs import Graphs

if TYPE_CHECKING:
    from hpsearch.training.prepare import Prepared

KEPT = 4
"""Models kept in a process, each with its graphs."""


_kept: OrderedDict[str, tuple[keras.Model, Graphs]] = OrderedDict()


def reuse_graphs(prepared: Prepared) -> Prepared:
    """Puts an equal model that has graphs already in the place of a model, with the variables of this.

    Args:
        prepared: Its model is compiled and not yet trained.
    """
    model = prepared.model
    key = fingerprint(model)
    if key is None:
        return prepared
    model.optimizer.build(model.trainable_variables)
    kept, graphs = _kept.setdefault(key, (model, prepared.graphs))
    if kept is not model:
        _copy(model, kept)
    _kept.move_to_end(key)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return replace(prepared, model=kept, graphs=graphs)


def fingerprint(model: keras.Model) -> str | None:
    """Describes a model but for the values of its variables; None if that cannot be done with certainty.

    None on torch, too, which compiles nothing.
    """
    if keras.backend.backend() == "torch":
        return None
    own_way = model.run_eagerly or fixed_batch(model) is not None or devices(model) > 1
    if not model.compiled or model.optimizer is None or own_way:
        return None
    if not all(layer.built for layer in model._flatten_layers()):
        return None  # what it will be depends on the rows
    if getattr(inner_optimizer(model.optimizer), "_exclude_from_weight_decay", None) is not None:
        return None  # its configuration does not say which weights decay
    try:
        config = keras.saving.serialize_keras_object(model)
        if not all(_is_keras(part) for part in _objects(config)):
            return None
        variables = [[v.path, str(v.shape), str(v.dtype), v.trainable] for v in model.variables]
        return json.dumps([_without_rate(config), variables, model.jit_compile], sort_keys=True)
    except (TypeError, ValueError, NotImplementedError):  # something has no configuration
        return None


def _copy(source: keras.Model, target: keras.Model) -> None:
    """Gives `target` the variables of `source`, and those of its optimizer."""
    pairs = zip(
        [*target.variables, *target.optimizer.variables],
        [*source.variables, *source.optimizer.variables],
        strict=True,
    )
    for variable, value in pairs:
        variable.assign(value)
    target.steps_per_execution = source.steps_per_execution
    target.stop_training = False


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yields every serialised object in a configuration."""
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _objects(value)


def _is_keras(part: Mapping[str, Any]) -> bool:
    """Whether an object is of Keras, or a plain value such as a shape (`__tuple__`, `__numpy__`, ...)."""
    name = str(part["class_name"])
    if name.startswith("__"):
        return name != "__lambda__"
    return str(part.get("module") or "keras").split(".")[0] == "keras"


def _without_rate(config: Any) -> Any:
    """Leaves out learning rates: an optimizer keeps its own in a variable."""
    if isinstance(config, Mapping):
        is_optimizer = str(config.get("module", "")).startswith("keras.optimizers")
        return {
            key: _without_rate(
                {name: each for name, each in value.items() if name != "learning_rate" or not _number(each)}
                if is_optimizer and key == "config" and isinstance(value, Mapping)
                else value
            )
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return [_without_rate(value) for value in config]
    return config


def _number(value: Any) -> bool:
    return isinstance(value, int | float)
