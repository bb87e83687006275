"""What an experiment says of a hyperparameter the model declares: narrow it, fix it, or replace its range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.errors import SpaceError, did_you_mean, fault
from hpsearch.space.parameter import Parameter, Space, Value

_KIND_OF_VALUE = {bool: "boolean", int: "int", float: "float", str: "choice"}
_IN_WORDS = {"boolean": "true or false", "int": "whole numbers", "float": "numbers", "choice": "texts"}


@dataclass(frozen=True)
class Override:
    """What the experiment says of one hyperparameter: a list of values, or some of a range's parts."""

    values: tuple[Value, ...] | None = None
    """The only values to try; one fixes the hyperparameter."""
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    """Added from value to value, or multiplied if the range is logarithmic."""
    log: bool | None = None

    def apply(self, parameter: Parameter, where: str) -> Parameter:
        """Narrows, fixes or replaces a hyperparameter.

        Args:
            parameter: What the model declares.
            where: Named in messages, e.g. `experiments/mnist.yaml: search.space.lr`.

        Returns:
            The hyperparameter to sample; its default lies inside.

        Raises:
            SpaceError: The override does not fit what the model declares.
        """
        self._check_form(where)
        if self.values is not None:
            return self._with_values(parameter, self.values, where)
        if self == Override():
            return parameter
        return self._with_range(parameter, where)

    def _check_form(self, where: str) -> None:
        parts = {name: getattr(self, name) for name in ("low", "high", "step")}
        if self.values is not None:
            if not isinstance(self.values, tuple) or not self.values:
                raise SpaceError(fault(where, "no values", expected="at least one", received=self.values))
            for value in self.values:
                if not isinstance(value, bool | int | float | str):
                    raise SpaceError(
                        fault(where, "wrong value", expected="true, false, numbers or texts", received=value)
                    )
            if self.log is not None or any(part is not None for part in parts.values()):
                raise SpaceError(
                    fault(where, "give either a list of values or `low`, `high`, `step`, `log`, not both")
                )
        for name, part in parts.items():
            if part is None:
                continue
            if isinstance(part, bool) or not isinstance(part, int | float) or not math.isfinite(part):
                raise SpaceError(
                    fault(where, f"`{name}` must be a number", received=repr(part), advice=yaml_advice(part))
                )
        if self.log is not None and not isinstance(self.log, bool):
            raise SpaceError(fault(where, "`log` must be true or false", received=repr(self.log)))

    def _with_values(self, parameter: Parameter, values: tuple[Value, ...], where: str) -> Parameter:
        kind = kind_of(parameter)
        for value in values:
            if not fits(value, kind):
                raise SpaceError(
                    fault(
                        where,
                        f"wrong value for {_described(parameter)}",
                        expected=_IN_WORDS[kind],
                        received=repr(value),
                        advice=yaml_advice(value),
                    )
                )
        if kind == "float":
            values = tuple(float(value) for value in values)
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise SpaceError(fault(where, "a value is listed twice", received=repr(twice)))
        if len(values) == 1:
            return Parameter(parameter.name, "fixed", values[0], conditions=parameter.conditions)
        if kind == "boolean":
            return parameter
        choice = Parameter(
            parameter.name,
            "choice",
            values[0],
            values=values,
            conditions=parameter.conditions,
            ordered=kind in ("int", "float") and parameter.ordered is not False,
        )
        return replace(choice, default=choice.nearest(parameter.default))

    def _parts(self) -> dict[str, Value]:
        parts = {name: getattr(self, name) for name in ("low", "high", "step", "log")}
        return {name: part for name, part in parts.items() if part is not None}

    def _with_range(self, parameter: Parameter, where: str) -> Parameter:
        kind = kind_of(parameter)
        is_range = parameter.kind in ("int", "float")
        if kind not in ("int", "float") or not (is_range or None not in (self.low, self.high)):
            expected = "a list of values" + (
                " (or both `low` and `high`)" if kind in ("int", "float") else ""
            )
            received = ", ".join(f"{name}={part!r}" for name, part in self._parts().items())
            raise SpaceError(
                fault(
                    where,
                    f"a range does not fit {_described(parameter)}",
                    expected=expected,
                    received=received,
                )
            )
        for name in ("low", "high", "step"):
            if kind == "int" and isinstance(getattr(self, name), float):
                raise SpaceError(
                    fault(
                        where,
                        f"`{name}` must be a whole number for {_described(parameter)}",
                        received=getattr(self, name),
                    )
                )
        sampling = parameter.sampling if self.log is None else "log" if self.log else "linear"
        # A step means another thing on another scale, so a declared one goes with its scale.
        kept_step = parameter.step if is_range and sampling == parameter.sampling else None
        low = parameter.low if self.low is None else self.low
        high = parameter.high if self.high is None else self.high
        step = kept_step if self.step is None else self.step
        if low is None or high is None:
            raise SpaceError(fault(where, "a range needs both `low` and `high`"))
        _check_range(low, high, self.step, sampling, where)
        if kind == "float":
            low, high, step = float(low), float(high), None if step is None else float(step)
        narrowed = Parameter(
            parameter.name,
            kind,
            parameter.default,
            low=low,
            high=high,
            step=step,
            sampling=sampling,
            conditions=parameter.conditions,
        )
        return replace(narrowed, default=narrowed.nearest(parameter.default))


def check_overrides(space: Space, overrides: Mapping[str, Override], where: str) -> Space:
    """Checks the overrides of an experiment against what its model declares.

    Args:
        space: What the model declares.
        overrides: By hyperparameter.
        where: Named in messages, e.g. `experiments/mnist.yaml: search.space`.

    Returns:
        The space with the overrides applied.

    Raises:
        SpaceError: A name is unknown, or an override does not fit.
    """
    for name in overrides:
        if name not in space.names:
            raise SpaceError(
                fault(
                    where,
                    f"the model declares no hyperparameter `{name}`",
                    expected="one of " + ", ".join(f"`{each}`" for each in space.names)
                    if space.names
                    else "no overrides, as the model declares no hyperparameter",
                    advice=did_you_mean(name, space.names),
                )
            )
    return Space(
        tuple(
            overrides[parameter.name].apply(parameter, f"{where}.{parameter.name}")
            if parameter.name in overrides
            else parameter
            for parameter in space.parameters
        )
    )


def _check_range(
    low: int | float, high: int | float, step: int | float | None, sampling: str, where: str
) -> None:
    if low >= high:
        advice = "To fix the hyperparameter, give a list of one value." if low == high else None
        raise SpaceError(
            fault(where, "`low` must be below `high`", received=f"low={low}, high={high}", advice=advice)
        )
    if sampling != "linear" and low <= 0:
        raise SpaceError(
            fault(where, "`low` must be above 0 on a logarithmic scale", received=f"low={low}, high={high}")
        )
    if step is None:
        return
    if step <= 0:
        raise SpaceError(fault(where, "`step` must be above 0", received=f"step={step}"))
    if sampling != "linear" and step <= 1:
        raise SpaceError(
            fault(
                where,
                "`step` must be above 1 on a logarithmic scale, where it multiplies",
                received=f"step={step}",
            )
        )
    if (step > high / low) if sampling != "linear" else (step > high - low):
        raise SpaceError(
            fault(
                where,
                "`step` must not be larger than the range",
                received=f"low={low}, high={high}, step={step}",
            )
        )


def kind_of(parameter: Parameter) -> str:
    """Returns the kind of the values: of a choice or a fixed value, that of what it holds."""
    if parameter.kind in ("choice", "fixed"):
        kinds = {_KIND_OF_VALUE[type(value)] for value in parameter.values or (parameter.default,)}
        return "float" if kinds == {"int", "float"} else kinds.pop() if len(kinds) == 1 else "choice"
    return parameter.kind


def fits(value: Any, kind: str) -> bool:
    """Returns whether a value is of a kind that `kind_of` returned."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "float":
        return isinstance(value, int | float) and math.isfinite(value)
    return _KIND_OF_VALUE[type(value)] == kind


def _described(parameter: Parameter) -> str:
    if parameter.low is not None:
        ends = f"from {parameter.low} to {parameter.high}"
        return f"`{parameter.name}`, which the model declares as {parameter.kind} {ends}"
    if parameter.values:
        listed = ", ".join(repr(value) for value in parameter.values)
        return f"`{parameter.name}`, which the model declares as one of {listed}"
    return f"`{parameter.name}`, which the model declares as {parameter.kind}"


def yaml_advice(value: object) -> str | None:
    """YAML 1.1 reads 1e-3 as a text: say so."""
    if not isinstance(value, str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return (
        f"YAML reads this as a text; write {number!r}."
        if "e" not in repr(number)
        else (f"YAML reads this as a text; write {number:.1e}.")
    )
