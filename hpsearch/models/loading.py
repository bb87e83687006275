"""From a name, a class, an instance or a function to a `keras_tuner.HyperModel`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import keras_tuner

from hpsearch.datasets.data import Array, Data
from hpsearch.datasets.targets import classes_of
from hpsearch.datasets.text import vocabulary_of
from hpsearch.errors import ModelError, did_you_mean, fault
from hpsearch.experiment import ModelSection
from hpsearch.models import built_in, check_name
from hpsearch.references import is_reference, resolve, summary

KINDS = "a `keras_tuner.HyperModel` class or instance, or a `build(hp)` function"


class _FunctionModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """A `build(hp)` function as a `HyperModel`."""

    def __init__(self, function: Callable[[keras_tuner.HyperParameters], Any], name: str) -> None:
        super().__init__(name=name)
        self.function = function

    def build(self, hp: keras_tuner.HyperParameters) -> Any:
        return self.function(hp)


def load(section: ModelSection, data: Data) -> keras_tuner.HyperModel:
    """See `hpsearch.models.load_hypermodel`."""
    found = _find(section)
    if inspect.isclass(found):
        if not issubclass(found, keras_tuner.HyperModel):
            raise ModelError(_not_a_model(section, f"the class `{found.__name__}`"))
        return _construct(found, section, data)
    if isinstance(found, keras_tuner.HyperModel):
        if section.options:
            raise ModelError(
                fault(
                    "model.options",
                    "the model is given ready-made, nothing takes options",
                    received=", ".join(section.options),
                )
            )
        return found
    if not callable(found):
        raise ModelError(_not_a_model(section, _described(found)))
    if _builds(found, section, data):
        keywords = _keywords(found, section, data, reserved=1)
        return _FunctionModel(partial(found, **keywords), getattr(found, "__name__", "model"))
    made = _construct(found, section, data)
    if isinstance(made, keras_tuner.HyperModel):
        return made
    raise ModelError(_not_a_model(section, f"a function without `hp` that returns {_described(made)}"))


def _find(section: ModelSection) -> object:
    if section.target is not None:
        return section.target
    if is_reference(section.name):
        return resolve(section.name, where="model.name", error=ModelError)
    check_name(section)
    return getattr(import_module(f"hpsearch.models.{section.name}"), built_in()[section.name].name)


def _facts(data: Data) -> dict[str, Any]:
    """What a constructor may want to know of the data."""
    y = data.train.y
    facts: dict[str, Any] = {"input_shape": data.input_shape, "classes": data.classes}
    if isinstance(y, Mapping):
        facts["heads"] = {name: _head(array, data.task) for name, array in y.items()}
    else:
        facts["outputs"] = 1 if y.ndim == 1 else y.shape[-1]
        facts["one_hot"] = data.classes is not None and y.ndim == 2
    if vocabulary := vocabulary_of(data.preprocessing):
        facts["vocabulary_size"] = len(vocabulary)
    return facts


def _head(y: Array, task: str) -> dict[str, int]:
    classes = classes_of(y, task)
    return {"classes": classes} if classes else {"outputs": math.prod(y.shape[1:])}


def _parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of some callables written in C
        return {}


def _builds(function: Callable[..., object], section: ModelSection, data: Data) -> bool:
    """Whether a function is a `build(hp)`: its first argument is `hp`, or one that nobody can give."""
    first = next(iter(_parameters(function).values()), None)
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        return False
    given = section.options.keys() | _facts(data).keys()
    return first.name == "hp" or (first.default is first.empty and first.name not in given)


def _keywords(
    function: Callable[..., object], section: ModelSection, data: Data, *, reserved: int = 0
) -> dict[str, Any]:
    """Returns options and facts that fit a signature; the first `reserved` arguments are not options."""
    parameters = _parameters(function)
    named = [
        p for p in list(parameters.values())[reserved:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    known = [parameter.name for parameter in named]
    unknown = [key for key in section.options if key not in known]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if unknown and not takes_any:
        raise ModelError(
            fault(
                "model.options",
                f"`{section.name}` has no option `{unknown[0]}`",
                expected=", ".join(known) or "no options",
                received=", ".join(section.options),
                advice=did_you_mean(unknown[0], known),
            )
        )
    facts = {key: value for key, value in _facts(data).items() if key in known and value is not None}
    keywords = {**facts, **section.options}
    missing = [p.name for p in named if p.default is p.empty and p.name not in keywords]
    if missing:
        raise ModelError(
            fault("model.options", f"`{section.name}` needs `{missing[0]}`", expected=", ".join(known))
        )
    return keywords


def _construct(function: Callable[..., object], section: ModelSection, data: Data) -> object:
    keywords = _keywords(function, section, data)
    try:
        return function(**keywords)
    except Exception as failure:
        given = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
        raise ModelError(
            fault(
                f"model {section.name}",
                f"cannot be constructed with {given or 'no arguments'}",
                received=summary(failure),
            )
        ) from failure


def _not_a_model(section: ModelSection, received: str) -> str:
    return fault(
        "model.name", f"`{section.name}` is not a model to search", expected=KINDS, received=received
    )


def _described(found: object) -> str:
    kind = type(found)
    return (
        f"a {kind.__module__.partition('.')[0]} {kind.__name__}"
        if kind.__module__ != "builtins"
        else kind.__name__
    )
