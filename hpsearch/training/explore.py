"""Hyperparameters that a model declares only on some branches of plain Python, found by looking there.

    if hp.Boolean("dropout"):
        rate = hp.Float("rate", 0.1, 0.5)     # unseen while `dropout` has its default

Each choice, boolean and end of a short range is tried once, one at a time, on top of what led to it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from hpsearch.space import Parameter
from hpsearch.trial import Value

LONGEST_RANGE = 32
"""Integers in a range that may be a number of layers; a longer one is a width, and its end costs memory."""


def explore(
    declare: Callable[[dict[str, Value]], Iterable[Parameter]],
    known: Iterable[Parameter],
    *,
    timeout_s: float = 10.0,
    builds: int = 50,
) -> tuple[Parameter, ...]:
    """Looks for further hyperparameters.

    Args:
        declare: Builds the model with some values set and all others at their defaults; returns what
            it declared. What it raises is ignored: such a point fails as a trial, too, if it is tried.
        known: What the model declares at its defaults.
        timeout_s: No build is begun that would end later, were it as long as the longest so far.
        builds: Most builds.

    Returns:
        `known`, then what was found, in the order found.
    """
    end_s, longest_s = time.monotonic() + timeout_s, 0.0
    found = {(parameter.name, parameter.conditions): parameter for parameter in known}
    ways: dict[str, dict[str, Value]] = {parameter.name: {} for parameter in found.values()}
    unexplored = deque(found.values())
    while unexplored:
        parameter = unexplored.popleft()
        for value in _others(parameter):
            began_s = time.monotonic()
            if builds == 0 or began_s + longest_s > end_s:
                return tuple(found.values())
            builds -= 1
            way = {**ways[parameter.name], **_conditions_met(parameter, ways[parameter.name])}
            way[parameter.name] = value
            try:
                declared = tuple(declare(way))
            except Exception:  # a branch that does not build shows nothing
                continue
            finally:
                longest_s = max(longest_s, time.monotonic() - began_s)
            for new in declared:
                if (new.name, new.conditions) not in found:
                    found[new.name, new.conditions] = new
                    ways.setdefault(new.name, way)
                    unexplored.append(new)
    return tuple(found.values())


def _others(parameter: Parameter) -> tuple[Value, ...]:
    """Returns the values worth a look, the default left out: it was looked at."""
    values: tuple[Value, ...] = ()
    if parameter.kind == "boolean":
        values = (False, True)
    elif parameter.kind == "choice":
        values = parameter.values
    elif parameter.kind == "int" and parameter.low is not None and parameter.high is not None:
        values = (parameter.low, parameter.high) if parameter.high - parameter.low < LONGEST_RANGE else ()
    return tuple(value for value in dict.fromkeys(values) if value != parameter.default)


def _conditions_met(parameter: Parameter, way: dict[str, Value]) -> dict[str, Value]:
    return {
        condition.name: condition.values[0]
        for condition in parameter.conditions
        if way.get(condition.name) not in condition.values
    }
