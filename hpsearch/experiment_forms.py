"""The forms in which an experiment's parts may be written: shorthands, objects from Python, overrides.

Functions named `as_...` are pydantic validators: each brings one way of writing into the section's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from hpsearch.errors import did_you_mean
from hpsearch.experiment_errors import Expected, reject
from hpsearch.space import Override

Scalar = bool | int | float | str
Count = Annotated[int, Field(ge=1)]
_OVERRIDES = "a value, a list of values, or `low`, `high`, `step`, `log`"


class Section(BaseModel):
    """A part of an experiment; unknown keys are refused, values are never coerced silently."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
    )


def as_model(value: Any) -> Any:
    """A name, or a `build(hp)` function, a `HyperModel` or a class of one."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping):
        return value if value.get("target") is None else {**as_model(value["target"]), **value}
    if isinstance(value, BaseModel):
        return value
    if callable(value) or callable(getattr(value, "build", None)):
        return {"name": python_name(value), "target": value}
    raise reject("wrong type")


def as_data(value: Any) -> Any:
    """A name, or arrays, a `Data` or a function that returns one of them."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and value.get("target") is not None:
        target = value["target"]
        return {**({"name": "arrays"} if isinstance(target, Mapping) else as_data(target)), **value}
    if isinstance(value, Mapping) and not _holds_arrays(value):
        return value
    if isinstance(value, BaseModel):
        return value
    if value is None or isinstance(value, list | bool | int | float):
        raise reject("wrong type")
    return {"name": data_name(value), "target": value}


def as_objectives(value: Any) -> Any:
    """A metric, a mapping, or a list of these."""
    if isinstance(value, list | tuple):
        if not value:
            raise reject("must not be empty")
        return tuple({"metric": each} if isinstance(each, str) else each for each in value)
    if isinstance(value, str):
        return ({"metric": value},)
    if isinstance(value, Mapping | BaseModel):
        return (value,)
    raise reject("wrong type")


def different_metrics(sections: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuses a metric named twice."""
    metrics = [section.metric for section in sections]
    if len(set(metrics)) < len(metrics):
        raise reject("a metric occurs twice", expected="different metrics", received=", ".join(metrics))
    return sections


def as_named(value: Any) -> Any:
    """A name, or a mapping."""
    return {"name": value} if isinstance(value, str) else value


def as_points(value: Any) -> Any:
    """A list of points; one alone is a mistake that is easily made."""
    if isinstance(value, Mapping):
        raise reject("wrong type", advice="Write `- ` before the point, even if it is the only one.")
    return tuple(value) if isinstance(value, list) else value


def _scalar(value: Any) -> Any:
    if not isinstance(value, Scalar):
        raise reject("wrong type")
    return value


PointForm = Annotated[
    dict[
        str,
        Annotated[
            Any,
            BeforeValidator(_scalar, json_schema_input_type=Scalar),
            Expected("a number, text, or a boolean"),
        ],
    ],
    Field(min_length=1),
]
"""A point of the space: values by hyperparameter."""


def as_tuple(value: Any) -> Any:
    """One of something, or a list of them."""
    return (value,) if isinstance(value, str) else value


def name_or_mapping(value: Any) -> Any:
    """A name, or a mapping with `name` and arguments."""
    name = value.get("name") if isinstance(value, Mapping) else value
    if isinstance(value, Mapping) and name is None:
        raise reject("`name` is missing")
    if value is not None and (not isinstance(name, str) or not name):
        raise reject("wrong type")
    return value


def as_loss(value: Any) -> Any:
    """A name, a mapping with `name` and arguments, or a mapping of these by output."""
    if isinstance(value, Mapping) and "name" not in value:
        if not value:
            raise reject("must not be empty")
        return {str(output): name_or_mapping(each) for output, each in value.items()}
    return name_or_mapping(value)


def as_class_weight(value: Any) -> Any:
    """`balanced`, or numbers by class, whose names YAML may have read as numbers."""
    if value is None or value == "balanced":
        return value
    if not isinstance(value, Mapping) or not value:
        raise reject("wrong type")
    for each in value.values():
        if _number(each) < 0:
            raise reject("a weight is below 0", expected="numbers of at least 0", received=str(each))
    return {str(name): float(each) for name, each in value.items()}


def as_steps(value: Any) -> Any:
    """A number of steps, or `epoch`."""
    if value not in (None, "epoch") and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise reject("wrong value")
    return value


def as_plug_in(names: Any) -> BeforeValidator:
    """Returns a validator of a name among `names` (a `Literal`), alone or with arguments."""
    known = get_args(names)

    def check(value: Any) -> Any:
        if value is None:
            return value
        name = value.get("name") if isinstance(value, Mapping) else value
        if not isinstance(value, str | Mapping) or name is None:
            raise reject("`name` is missing" if isinstance(value, Mapping) else "wrong type")
        if name not in known:
            raise reject(
                "unknown value",
                expected=f"one of {', '.join(known)}",
                received=repr(name),
                advice=did_you_mean(str(name), known),
            )
        return value

    return BeforeValidator(check, json_schema_input_type=names | dict[str, Any] | None)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise reject("wrong type", expected="a number")
    return value


def _scalars(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise reject("wrong type", expected="a list of values")
    if not value:
        raise reject("must not be empty", expected="at least one value")
    for position, each in enumerate(value):
        if not isinstance(each, Scalar):
            raise reject(
                f"value {position + 1} is of the wrong type", expected="a number, text, or a boolean"
            )
        if any(each == other and type(each) is type(other) for other in value[:position]):
            raise reject(f"{each!r} occurs twice", expected="different values")
    return tuple(value)


_Number = Annotated[int | float, BeforeValidator(_number), Expected("a number")]


class OverrideSection(Section):
    """A hyperparameter, narrowed or replaced: `values`, or parts of a range."""

    values: Annotated[
        tuple[Scalar, ...] | None, BeforeValidator(_scalars, json_schema_input_type=list[Scalar])
    ] = None
    """The only ones to try."""
    low: _Number | None = None
    """Smallest value. Default: the model's."""
    high: _Number | None = None
    """Largest value, included. Default: the model's."""
    step: Annotated[_Number | None, Field(gt=0), Expected("a number above 0")] = None
    """Distance between values."""
    log: bool | None = None
    """Whether to sample logarithmically."""

    @model_validator(mode="before")
    @classmethod
    def _hint(cls, value: Any) -> Any:
        synonyms = {"min": "low", "max": "high", "lower": "low", "upper": "high", "choices": "values"}
        synonyms |= {"min_value": "low", "max_value": "high", "sampling": "log", "options": "values"}
        for key in value if isinstance(value, Mapping) else ():
            if key in synonyms:
                raise reject(
                    f"unknown key `{key}`",
                    expected="keys among values, low, high, step, log",
                    advice=f"Write `{synonyms[key]}`.",
                )
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> OverrideSection:
        given = {key: value for key, value in self.model_dump().items() if value is not None}
        received = ", ".join(f"{key}={value}" for key, value in given.items())
        if not given:
            raise reject("must not be empty", expected=_OVERRIDES)
        if self.values is not None and len(given) > 1:
            raise reject("both values and a range", expected="one of the two", received=received)
        if self.low is not None and self.high is not None and self.low >= self.high:
            advice = "To fix the hyperparameter, write the value alone." if self.low == self.high else None
            raise reject(
                "the range is empty", expected="`low` below `high`", received=received, advice=advice
            )
        if self.log and self.low is not None and self.low <= 0:
            raise reject("has no logarithm", expected="`low` above 0 when `log` is true", received=received)
        return self


class OverrideForm:
    """Annotation of an `Override`: a value, a list of values, or a mapping, checked by `OverrideSection`."""

    form: ClassVar[type[BaseModel]] = OverrideSection

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Expands, checks, and makes an `Override` of it."""
        written = handler.generate_schema(Scalar | list[Scalar] | OverrideSection)
        section = core_schema.no_info_before_validator_function(
            self._expand, handler.generate_schema(OverrideSection), json_schema_input_schema=written
        )
        return core_schema.no_info_after_validator_function(self._finish, section)

    @staticmethod
    def _expand(value: Any) -> Any:
        if isinstance(value, Override):
            return {f.name: each for f in fields(Override) if (each := getattr(value, f.name)) is not None}
        if isinstance(value, Scalar):
            return {"values": (value,)}
        if isinstance(value, list | tuple):
            return {"values": _scalars(value)}
        if not isinstance(value, Mapping):
            raise reject("wrong type", expected=_OVERRIDES)
        return value

    @staticmethod
    def _finish(section: OverrideSection) -> Override:
        return Override(section.values, section.low, section.high, section.step, section.log)


def python_name(value: Any) -> str:
    """Names a Python object: `module:qualname`, of its class if it has no name of its own."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"


def data_name(value: Any) -> str:
    """Names data given from Python: its own name, that of the function, or `arrays`."""
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return name
    return python_name(value) if callable(value) else "arrays"


def plain(section: BaseModel) -> dict[str, Any]:
    """Returns a section as plain values, without what is None or empty."""
    kept = {name: getattr(section, name) for name, f in type(section).model_fields.items() if not f.exclude}
    return {key: each for key, value in kept.items() if (each := _plain(value)) not in (None, {})}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """Returns nested plain values by dotted key; a list becomes text."""
    flat: dict[str, Scalar] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, Scalar) else json.dumps(value)
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, Override):
        given = {f.name: getattr(value, f.name) for f in fields(Override)}
        return list(value.values) if value.values else {k: v for k, v in given.items() if v is not None}
    if isinstance(value, BaseModel):
        return plain(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, Scalar) or value is None else repr(value)


def _holds_arrays(value: Mapping[str, Any]) -> bool:
    """Whether these are arrays by name, `x` and `y` perhaps in turn by input and output."""
    parts = [each.values() if isinstance(each, Mapping) else (each,) for each in value.values()]
    return any(hasattr(leaf, "shape") for leaves in parts for leaf in leaves)
