"""Which part of an object it is that cannot be sent to another process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from inspect import getclosurevars
from types import FunctionType, MethodType, ModuleType

import cloudpickle

from hpsearch.errors import UsageError, fault

MAX_DEPTH = 20


def unpicklable(objects: Mapping[str, object], error: Exception) -> UsageError:
    """Returns the error that names the smallest part of `objects` which cannot be pickled.

    Args:
        objects: The names that the message starts from, e.g. `perform`.
        error: What pickling all of them raised.
    """
    path, culprit, found = _smallest(objects, error)
    name = f"{type(culprit).__module__}.{type(culprit).__qualname__}".removeprefix("builtins.")
    return UsageError(
        fault(
            path,
            "cannot be sent to the worker processes",
            expected="something that pickles",
            received=f"an object of type `{name}` ({found})",
            advice="Create it inside the function of the model or data, or run `resources.executor: inline`.",
        )
    )


def _smallest(objects: Mapping[str, object], error: Exception) -> tuple[str, object, Exception]:
    path = ""
    culprit: object = objects
    parts: Iterator[tuple[str, object]] = iter(objects.items())
    seen: set[int] = set()
    for _ in range(MAX_DEPTH):
        for step, part in parts:
            if id(part) not in seen and (raised := _failure(part)) is not None:
                seen.add(id(part))
                path, culprit, error = path + step, part, raised
                parts = _parts(part)
                break
        else:
            break
    return path, culprit, error


def _failure(part: object) -> Exception | None:
    try:
        cloudpickle.dumps(part)
    except Exception as error:
        return error
    return None


def _parts(whole: object) -> Iterator[tuple[str, object]]:
    """Yields what an object is made of, each with its step of the path."""
    match whole:
        case partial():
            yield "", whole.func
            yield from ((f"({i})", value) for i, value in enumerate(whole.args))
            yield from ((f".{name}", value) for name, value in whole.keywords.items())
        case MethodType():
            yield "", whole.__self__
        case FunctionType():
            variables = getclosurevars(whole)
            named = {**variables.globals, **variables.nonlocals}
            yield from ((f": {name}", value) for name, value in named.items())
        case Mapping():
            yield from ((f"[{key!r}]", value) for key, value in whole.items())
        case list() | tuple() | set() | frozenset():
            yield from ((f"[{i}]", value) for i, value in enumerate(whole))
        case type() | ModuleType():
            yield from ((f".{name}", value) for name, value in vars(whole).items() if callable(value))
        case _:
            yield from ((f".{name}", value) for name, value in getattr(whole, "__dict__", {}).items())
            yield "", type(whole)
