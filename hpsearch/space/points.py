"""Points of a space that a person names: checked before the search, and written as the study stores them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hpsearch.errors import SpaceError, did_you_mean, fault
from hpsearch.space.override import fits, yaml_advice
from hpsearch.space.parameter import Parameter, Space, Value
from hpsearch.space.suggestion import encoded

Point = Mapping[str, Value]
"""Values by name, of some hyperparameters or of all."""


def default_point(space: Space) -> dict[str, Value]:
    """Returns the default of every hyperparameter that is active then."""
    values: dict[str, Value] = {}
    for parameter in space.parameters:
        if parameter.name not in values and parameter.is_active(values):
            values[parameter.name] = parameter.default
    return values


def check_points(
    space: Space, points: Iterable[Point], where: str, *, any_name: bool = False
) -> tuple[Point, ...]:
    """Checks points against the space that is searched.

    Args:
        space: What the model declares, overrides applied.
        points: What the experiment names.
        where: Named in messages, e.g. `experiments/mnist.yaml: search.start`.
        any_name: Whether there may be hyperparameters of which the space does not know.

    Returns:
        The points, their values of the declared types.

    Raises:
        SpaceError: A name is unknown, a value outside its range, or unused beside the others; or a point
            occurs twice.
    """
    found: list[Point] = []
    for position, point in enumerate(points):
        place = f"{where}[{position}]"
        checked = {name: _check(space, point, name, f"{place}.{name}", any_name) for name in point}
        if checked in found:
            raise SpaceError(fault(place, f"is the same point as {where}[{found.index(checked)}]"))
        found.append(checked)
    return tuple(found)


def encoded_point(space: Space, point: Point) -> dict[str, Any]:
    """Returns a point as the study would store it, under every label that its values could have there.

    Values outside the space are left out; of names that it does not know, the name is the label.
    """
    stored: dict[str, Any] = {}
    for name, value in point.items():
        declared = [parameter for parameter in space.parameters if parameter.name == name]
        for parameter in declared:
            if parameter.contains(value):
                stored |= encoded(parameter, value)
        if not declared:
            stored[name] = value
    return stored


def _check(space: Space, point: Point, name: str, where: str, any_name: bool) -> Value:
    declared = [parameter for parameter in space.parameters if parameter.name == name]
    value = point[name]
    if not declared:
        if any_name:
            return value
        names = ", ".join(f"`{each}`" for each in space.names)
        message = fault(
            where,
            f"the model declares no hyperparameter `{name}`",
            expected=f"one of {names}" if names else "none",
            advice=did_you_mean(name, space.names),
        )
        raise SpaceError(message)
    possible = [parameter for parameter in declared if not _unmet(parameter, point)]
    if not possible:
        parents = ", ".join(f"`{parent}` is {point[parent]!r}" for parent in _unmet(declared[0], point))
        raise SpaceError(fault(where, f"a trial does not use it when {parents}", advice="Leave it out."))
    for parameter in possible:
        if _holds(parameter, value):
            return parameter.nearest(value)
    raise SpaceError(
        fault(
            where,
            "is not searched",
            expected=" or ".join(dict.fromkeys(_range(parameter) for parameter in possible)),
            received=repr(value),
            advice=yaml_advice(value) if all(p.low is not None for p in possible) else None,
        )
    )


def _unmet(parameter: Parameter, point: Point) -> list[str]:
    """Returns the parents that the point names, and with whose values the hyperparameter is not used."""
    return [c.name for c in parameter.conditions if c.name in point and point[c.name] not in c.values]


def _holds(parameter: Parameter, value: Value) -> bool:
    if parameter.low is None:
        boolean = isinstance(value, bool)  # True == 1, but they are two values
        return any(value == each and isinstance(each, bool) is boolean for each in parameter.grid or ())
    if not fits(value, parameter.kind) or not parameter.contains(value):
        return False
    return math.isclose(float(parameter.nearest(value)), float(value), rel_tol=1e-9)


def _range(parameter: Parameter) -> str:
    if parameter.low is None:
        return "one of " + ", ".join(repr(value) for value in parameter.grid or ())
    kind = "a whole number" if parameter.kind == "int" else "a number"
    text = f"{kind} from {parameter.low} to {parameter.high}"
    return text if parameter.step in (None, 1) else f"{text}, step {parameter.step}"
