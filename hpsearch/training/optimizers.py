"""The optimizer of a compiled model: another one, or other arguments of the one it has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from hpsearch.errors import ModelError, did_you_mean, fault
from hpsearch.models.compiled import inner_optimizer
from hpsearch.references import summary

ATTRIBUTES = {
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "clip_norm": "global_clipnorm",
    "clip_value": "clipvalue",
}
"""Settings that are attributes of an optimizer, with Keras's names of them."""

_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
_NO_NAMES = frozenset({"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"})
_CLASSES = {
    name.lower(): found
    for name, found in vars(keras.optimizers).items()
    if inspect.isclass(found) and issubclass(found, keras.optimizers.Optimizer) and name not in _NO_NAMES
}

# `keras.optimizers.get` of Keras 3.15 does not know this one by name, and models call it.
keras.saving.get_custom_objects().setdefault("lamb", keras.optimizers.Lamb)


def optimizer_name(model: keras.Model) -> str:
    """Returns Keras's name of the optimizer that a model was compiled with, e.g. `adam`."""
    return type(inner_optimizer(model.optimizer)).__name__.lower()


def make_optimizer(name: str, arguments: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """Makes an optimizer.

    Args:
        name: Keras's, in any case: `adam`, `SGD`; or what one of the user's is registered by.
        arguments: Of its constructor.

    Raises:
        ModelError: There is no such optimizer, or it refuses the arguments.
    """
    made = _class_of(name)
    if made is None:
        raise ModelError(
            fault(
                "optimizer",
                "Keras has no such optimizer",
                expected=f"one of {', '.join(sorted(_CLASSES))}",
                received=name,
                advice=did_you_mean(name.lower(), _CLASSES),
            )
        )
    try:
        return made(**arguments)
    except Exception as failure:
        known = [each for each in inspect.signature(made).parameters if each not in ("name", "kwargs")]
        unknown = next((each for each in arguments if each not in known), None)
        raise ModelError(
            fault(
                f"optimizer.{unknown}" if unknown else "optimizer",
                f"`{name}` has no such argument" if unknown else f"`{name}` refuses its arguments",
                expected=f"one of {', '.join(known)}" if unknown else None,
                received=arguments[unknown] if unknown else summary(failure),
                advice=did_you_mean(unknown, known) if unknown else None,
            )
        ) from failure


def has_momentum(name: str) -> bool:
    """Whether the optimizer that Keras calls `name` has a momentum; of an unknown name, no."""
    made = _class_of(name)
    return made is not None and "momentum" in inspect.signature(made).parameters


def require_momentum(name: str) -> str:
    """Returns the name of an optimizer.

    Raises:
        ModelError: It has no momentum.
    """
    if not has_momentum(name):
        known = sorted(each for each in _CLASSES if has_momentum(each))
        raise ModelError(
            fault("momentum", "the optimizer has none", expected=f"one of {', '.join(known)}", received=name)
        )
    return name


def is_known(name: str) -> bool:
    """Whether Keras has an optimizer of that name."""
    return _class_of(name) is not None


def require_one(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes sure that an optimizer is a single one.

    Raises:
        ModelError: The model compiled with several.
    """
    if hasattr(optimizer, "optimizers"):
        raise ModelError(
            fault(
                "optimizer",
                "the model compiles with several, for layers of their own",
                expected="one optimizer",
                received=type(optimizer).__name__,
                advice="Name an `optimizer`, or set the others in `build`.",
            )
        )


def compiled_value(model: keras.Model, name: str) -> float | None:
    """Returns what a model compiled with for `learning_rate` or one of `ATTRIBUTES`.

    None if it compiled with none, and for a rate that follows a schedule.
    """
    optimizer = inner_optimizer(model.optimizer)
    if name == "learning_rate":
        return rate_of(optimizer)
    value = getattr(optimizer, ATTRIBUTES[name], None)
    return float(value) if value else None


def rate_of(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Returns an optimizer's learning rate; None if it follows a schedule."""
    rate = optimizer._learning_rate
    return float(rate.numpy()) if hasattr(rate, "numpy") else None


def take_over_rate(fresh: keras.optimizers.Optimizer, old: keras.optimizers.Optimizer) -> None:
    """Gives an optimizer the rate or schedule that another was given on purpose: not its default."""
    if hasattr(old, "optimizers"):  # each of several has a rate of its own
        return
    rate = rate_of(old)
    default = inspect.signature(type(old)).parameters.get("learning_rate")
    if rate is None:
        fresh.learning_rate = old._learning_rate
    elif default is None or rate != float(np.float32(default.default)):
        fresh.learning_rate = rate


def set_rate(optimizer: keras.optimizers.Optimizer, rate: float) -> None:
    """Sets the learning rate, also of an optimizer that followed a schedule.

    Raises:
        ModelError: It followed a schedule and was used.
    """
    if rate_of(optimizer) is not None:
        optimizer.learning_rate = rate
        return
    _require_unused(optimizer, "learning_rate")
    # The setter refuses a number where there was a schedule.
    optimizer._learning_rate = optimizer.add_variable(
        (),
        initializer=keras.initializers.Constant(rate),
        aggregation="only_first_replica",
        name="learning_rate",
    )


def set_attributes(optimizer: keras.optimizers.Optimizer, values: Mapping[str, float]) -> None:
    """Sets momentum, weight decay and clipping of an optimizer.

    They are read when it is first used, so the object itself can be changed; a copy would lose what its
    configuration does not hold, such as `exclude_from_weight_decay`.

    Args:
        optimizer: Changed.
        values: By setting, of `ATTRIBUTES`.

    Raises:
        ModelError: It has no momentum, or two ways of clipping are given.
    """
    if "clip_norm" in values and "clip_value" in values:
        raise ModelError(
            fault(
                "clip_value",
                "Keras clips in one way only",
                expected="`clip_norm` or `clip_value`",
                received=f"clip_norm={values['clip_norm']:g}, clip_value={values['clip_value']:g}",
            )
        )
    for name, value in values.items():
        if name == "momentum":
            if not hasattr(optimizer, "momentum"):
                require_momentum(type(optimizer).__name__.lower())
            _require_unused(optimizer, "momentum")
        if name.startswith("clip"):
            for attribute in _CLIPPING:  # of the three one at most
                setattr(optimizer, attribute, None)
        setattr(optimizer, ATTRIBUTES[name], value)


def _class_of(name: str) -> type[keras.optimizers.Optimizer] | None:
    found = _CLASSES.get(name.lower()) or keras.saving.get_registered_object(name)
    return found if inspect.isclass(found) and issubclass(found, keras.optimizers.Optimizer) else None


def _require_unused(optimizer: keras.optimizers.Optimizer, where: str) -> None:
    if optimizer.built:
        raise ModelError(
            fault(
                where,
                "the model's optimizer was used already",
                expected="one that has no state yet",
                received=f"an optimizer after {int(optimizer.iterations)} steps",
                advice="Compile the model anew in `build`, or name an `optimizer`.",
            )
        )
