"""Pydantic's complaints in the house's words: where, what, expected, received, what to do."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from hpsearch.errors import did_you_mean, fault
from hpsearch.experiment_file import dotted

LONGEST_RECEIVED = 120
"""Characters of a received value that a message shows."""

_TYPES = {int: "an integer", float: "a number", str: "text", bool: "`true` or `false`"}


@dataclass(frozen=True)
class Expected:
    """Annotation of a field: what it takes, in words."""

    words: str


class Form(Protocol):
    """Annotation of a field: the model that checks what is written there, before it becomes a value."""

    form: type[BaseModel]


def reject(
    problem: str, *, expected: str | None = None, received: str | None = None, advice: str | None = None
) -> PydanticCustomError:
    """Makes the error that a validator raises; what it leaves out is filled in from the field."""
    facts = {"problem": problem, "expected": expected, "received": received, "advice": advice}
    return PydanticCustomError("hpsearch", "{problem}", facts)


@dataclass(frozen=True)
class Origin:
    """Where values come from, for messages; it makes no difference between two experiments."""

    where: str = field(compare=False)
    """The file, or `Experiment`."""
    overridden: tuple[str, ...] = field(default=(), compare=False)
    """Key paths that `--set` gave."""

    def place(self, loc: Sequence[str | int]) -> str:
        """Names a place: `x.yaml: search.trials`, or `--set: search.trials`."""
        key = dotted(loc)
        by_option = any(key == path or key.startswith((f"{path}.", f"{path}[")) for path in self.overridden)
        where = "--set" if by_option else self.where
        return f"{where}: {key}" if key else where


def explain(
    error: ValidationError, model: type[BaseModel], origin: Origin, *, given: Mapping[str, Any]
) -> str:
    """Writes all errors, one a line.

    Args:
        error: What pydantic raised.
        model: What it validated.
        origin: Where the values come from.
        given: What was validated, to tell `objective: x` from a list of objectives.
    """
    single = not isinstance(given.get("objective"), list | tuple)
    lines = []
    for each in error.errors(include_url=False):
        loc = each["loc"]
        if single and loc[:2] == ("objective", 0):
            loc = ("objective", *loc[2:])
        lines.append(_line(each, model, origin.place(loc)))
    return "\n".join(lines)


def _line(each: ErrorDetails, model: type[BaseModel], where: str) -> str:
    kind, loc, context = each["type"], each["loc"], each.get("ctx", {})
    annotation, metadata = _field(model, loc)
    expected: str | None = in_words(annotation, metadata)
    received: object = _shown(each["input"])
    advice = None
    match kind:
        case "hpsearch":
            problem = context["problem"]
            expected = context["expected"] or expected
            received = context["received"] or received
            advice = context["advice"]
        case "extra_forbidden":
            owner, _ = _field(model, loc[:-1])
            known = _keys(owner)
            problem, expected = "unknown key", f"one of {', '.join(known)}"
            advice = did_you_mean(str(loc[-1]), known)
        case "missing":
            problem, received = "is missing", ...
        case "literal_error":
            problem = "unknown value"
            advice = did_you_mean(str(each["input"]), [str(v) for v in _choices(annotation)])
        case "greater_than" | "greater_than_equal":
            bound = context.get("gt", context.get("ge"))
            problem = (
                "must be positive"
                if (kind == "greater_than", bound) in ((True, 0), (False, 1))
                else "too small"
            )
        case "less_than" | "less_than_equal":
            problem = "too large"
        case "finite_number":
            problem = "must be finite"
        case "string_too_short" | "too_short":
            problem = "must not be empty"
        case "string_pattern_mismatch":
            problem = "not allowed"
        case _ if kind.endswith(("_type", "_from_float", "_parsing")):
            problem = "wrong type"
        case _:
            problem = each["msg"][0].lower() + each["msg"][1:]
    return fault(where, problem, expected=expected, received=received, advice=advice)


def in_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Says what a field takes, from its type and bounds: `an integer of at least 1`."""
    for each in metadata:
        if isinstance(each, Expected):
            return each.words
    annotation, metadata = _bare(annotation, metadata)
    origin = get_origin(annotation)
    if origin is Literal:
        return f"one of {', '.join(str(value) for value in get_args(annotation))}"
    if origin is tuple:
        return f"a list, each {in_words(get_args(annotation)[0])}"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        keys = _keys(annotation)
        return f"a mapping with keys among {', '.join(keys)}" if keys else "a mapping"
    words = _TYPES.get(annotation, "another value")
    bounds = []
    for each in metadata:
        for bound, text in (("ge", "of at least"), ("gt", "above"), ("le", "of at most"), ("lt", "below")):
            if (value := getattr(each, bound, None)) is not None:
                bounds.append(f"{text} {value}")
    return f"{words} {' and '.join(bounds)}" if bounds else words


def _field(model: Any, loc: Sequence[str | int]) -> tuple[Any, Sequence[Any]]:
    """Returns type and annotations of what stands at `loc`."""
    annotation: Any = model
    metadata: Sequence[Any] = ()
    for part in loc:
        annotation, metadata = _bare(annotation, ())
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found = annotation.model_fields.get(str(part))
            if found is None:
                return None, ()
            annotation, metadata = found.annotation, found.metadata
        elif get_origin(annotation) is tuple:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            return None, ()
    return _bare(annotation, metadata)


def _bare(annotation: Any, metadata: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """Takes `Annotated` and `| None` away."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for each in more:  # a `Field(...)` inside `... | None` keeps its bounds in a list of its own
                metadata = (*metadata, *getattr(each, "metadata", (each,)))
            annotation = next((each.form for each in more if hasattr(each, "form")), annotation)
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation, *rest = [each for each in get_args(annotation) if each is not type(None)]
            if rest:
                return None, metadata
        else:
            return annotation, metadata


def _keys(model: Any) -> list[str]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [name for name, each in model.model_fields.items() if not each.exclude]
    return []


def _choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    plain = (str, int, float, list, tuple, dict)
    text = repr(value) if isinstance(value, plain) else f"a {type(value).__qualname__}"
    return text if len(text) <= LONGEST_RECEIVED else f"{text[:LONGEST_RECEIVED]} ..."
