"""Hyperparameters as values, in the form in which Keras Tuner declares them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from hpsearch.errors import SpaceError, fault

Value = bool | int | float | str
"""What a hyperparameter can be."""

KINDS = {"Int": "int", "Float": "float", "Choice": "choice", "Boolean": "boolean", "Fixed": "fixed"}
"""Our name of each Keras Tuner class."""


@dataclass(frozen=True)
class Condition:
    """Active only while another hyperparameter has one of some values."""

    name: str
    values: tuple[Value, ...]

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Returns whether the condition is met by a trial's `values`."""
        return self.name in values and values[self.name] in self.values


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter as Keras Tuner declares it."""

    name: str
    kind: str
    """`int`, `float`, `choice`, `boolean` or `fixed`."""
    default: Value
    low: int | float | None = None
    high: int | float | None = None
    """Included."""
    step: int | float | None = None
    """Added from value to value; multiplied if the sampling is `log` or `reverse_log`."""
    sampling: str = "linear"
    """`linear`, `log` or `reverse_log`."""
    values: tuple[Value, ...] = ()
    """Of a choice."""
    conditions: tuple[Condition, ...] = ()
    """All must hold; empty: always active."""
    ordered: bool | None = None
    """Of a choice: whether its values have an order. Default: numbers have."""

    @classmethod
    def from_config(cls, class_name: str, config: Mapping[str, Any]) -> Parameter:
        """Makes a parameter of what Keras Tuner's `HyperParameter.get_config()` returns.

        Args:
            class_name: `Int`, `Float`, `Choice`, `Boolean` or `Fixed`.
            config: The hyperparameter's configuration.

        Raises:
            SpaceError: The class is unknown, or a value is not a bool, int, float or str.
        """
        name = str(config["name"])
        if class_name not in KINDS:
            known = ", ".join(f"`{each}`" for each in KINDS)
            message = fault(f"hyperparameter `{name}`", "unknown kind", expected=known, received=class_name)
            raise SpaceError(message)
        kind = KINDS[class_name]
        conditions = tuple(_condition(each) for each in config.get("conditions") or ())
        if kind == "fixed":
            return cls(name, kind, _plain(config["value"], name), conditions=conditions)
        if kind == "boolean":
            return cls(name, kind, bool(config.get("default")), conditions=conditions)
        default = config.get("default")
        if kind == "choice":
            # A choice that lists a value twice means it once; 1 and True are two values.
            values = tuple({(type(v), v): v for v in (_plain(v, name) for v in config["values"])}.values())
            first = values[0] if default is None else _plain(default, name)
            return cls(name, kind, first, values=values, conditions=conditions, ordered=config.get("ordered"))
        number = int if kind == "int" else float
        low, high, step = (config.get(key) for key in ("min_value", "max_value", "step"))
        return cls(
            name,
            kind,
            number(low if default is None else default),  # type: ignore[arg-type]
            low=number(low),  # type: ignore[arg-type]
            high=number(high),  # type: ignore[arg-type]
            step=None if step is None else number(step),
            sampling=(config.get("sampling") or "linear").lower(),
            conditions=conditions,
        )

    def to_config(self) -> dict[str, Any]:
        """Returns `{"class_name":, "config":}`, an item of `HyperParameters.get_config()["space"]`."""
        config: dict[str, Any] = {
            "name": self.name,
            "conditions": [
                {"class_name": "Parent", "config": {"name": c.name, "values": list(c.values)}}
                for c in self.conditions
            ],
        }
        if self.kind == "fixed":
            config["value"] = self.default
        else:
            config["default"] = self.default
        if self.kind == "choice":
            config |= {"values": list(self.values), "ordered": self.ordered}
        if self.kind in ("int", "float"):
            config |= {"min_value": self.low, "max_value": self.high}
            config |= {"step": self.step, "sampling": self.sampling}
        class_name = next(theirs for theirs, ours in KINDS.items() if ours == self.kind)
        return {"class_name": class_name, "config": config}

    def is_active(self, values: Mapping[str, Value]) -> bool:
        """Returns whether a trial with `values` uses this hyperparameter."""
        return all(condition.holds(values) for condition in self.conditions)

    @cached_property
    def grid(self) -> tuple[Value, ...] | None:
        """The values one by one, where they are not evenly spaced or not numbers; None for plain ranges."""
        if self.kind == "fixed":
            return (self.default,)
        if self.kind == "boolean":
            return (False, True)
        if self.kind == "choice":
            return self.values
        low, high = self._ends
        if self.sampling == "linear" or self.step is None:
            return None
        count = int(math.log(high / low, self.step) + 1e-8) + 1
        points = [low * self.step**i for i in range(count)]
        if self.sampling == "reverse_log":
            points = [high + low - point for point in reversed(points)]
        return tuple(self._number(min(max(_clean(point), low), high)) for point in points)

    @property
    def size(self) -> int | None:
        """How many values there are; None for a continuous range."""
        if self.grid is not None:
            return len(self.grid)
        low, high = self._ends
        step = self._linear_step
        if step is None:
            return 1 if low == high else None
        return int((_decimal(high) - _decimal(low)) // _decimal(step)) + 1

    def at(self, index: int) -> Value:
        """Returns the value at `index`, from the smallest (of a choice: in the order declared).

        Raises:
            SpaceError: The range is continuous.
        """
        if self.grid is not None:
            return self.grid[index]
        low, high = self._ends
        step = self._linear_step
        if step is None:
            if low == high:
                return self._number(low)
            raise SpaceError(f"The values of `{self.name}` cannot be counted: its range is continuous.")
        return self._number(
            float(_decimal(low) + index * _decimal(step)) if self.kind == "float" else low + index * step
        )

    def index(self, value: Value) -> int:
        """Returns the index of the value closest to `value`; of unknown texts, the first."""
        if self.grid is None:
            low, high = self._ends
            steps = (min(max(float(value), low), high) - low) / (self._linear_step or 1)
            return min(round(steps), (self.size or 1) - 1)
        for i, each in enumerate(self.grid):
            if type(value) is type(each) and value == each:
                return i
        if any(isinstance(each, str) for each in (value, *self.grid)):
            return 0
        return min(range(len(self.grid)), key=lambda i: abs(float(self.at(i)) - float(value)))

    def nearest(self, value: Value) -> Value:
        """Returns the value of this hyperparameter closest to `value`; of unknown texts, the first."""
        if self.size is not None:
            return self.at(self.index(value))
        low, high = self._ends
        return self._number(min(max(float(value), low), high))

    def contains(self, value: Value) -> bool:
        """Returns whether `value` is in the range, or one of the values."""
        if self.grid is not None and self.low is None:
            return value in self.grid
        low, high = self._ends
        return isinstance(value, int | float) and low <= value <= high

    @property
    def _ends(self) -> tuple[int | float, int | float]:
        if self.low is None or self.high is None:
            raise SpaceError(f"`{self.name}` is no range of numbers.")
        return self.low, self.high

    @property
    def _linear_step(self) -> int | float | None:
        return 1 if self.kind == "int" and self.step is None else self.step

    def _number(self, value: int | float) -> Value:
        return int(value) if self.kind == "int" else float(value)


@dataclass(frozen=True)
class Space:
    """Hyperparameters in the order in which the model declares them."""

    parameters: tuple[Parameter, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name once, in the order of declaration."""
        return tuple(dict.fromkeys(parameter.name for parameter in self.parameters))

    def size(self) -> int | None:
        """Counts the combinations; None if a hyperparameter is continuous.

        Conditions are honoured exactly. What appears on a branch of plain Python is not known to be
        conditional, so there the count is an upper bound.
        """
        if any(parameter.size is None for parameter in self.parameters):
            return None
        parents: dict[str, set[Value]] = {}
        for parameter in self.parameters:
            for condition in parameter.conditions:
                parents.setdefault(condition.name, set()).update(condition.values)
        memo: dict[tuple[int, frozenset[tuple[str, Value]]], int] = {}

        def count(index: int, chosen: dict[str, Value]) -> int:
            if index == len(self.parameters):
                return 1
            key = (index, frozenset(chosen.items()))
            if key not in memo:
                memo[key] = expand(index, chosen)
            return memo[key]

        def expand(index: int, chosen: dict[str, Value]) -> int:
            parameter = self.parameters[index]
            size = parameter.size or 0
            if parameter.name in chosen or not parameter.is_active(chosen):
                return count(index + 1, chosen)
            if parameter.name not in parents:
                return size * count(index + 1, chosen)
            # Only values a condition names can make a difference; all others count alike.
            named = [value for value in parents[parameter.name] if parameter.nearest(value) == value]
            others = (size - len(named)) * count(index + 1, chosen) if size > len(named) else 0
            return others + sum(count(index + 1, {**chosen, parameter.name: value}) for value in named)

        return count(0, {})

    def to_json(self) -> str:
        """Writes the space as JSON: the list `HyperParameters.get_config()["space"]` holds."""
        return json.dumps([parameter.to_config() for parameter in self.parameters])

    @classmethod
    def from_json(cls, text: str) -> Space:
        """Reads what `to_json` wrote."""
        return cls(tuple(Parameter.from_config(**each) for each in json.loads(text)))


def _condition(config: Any) -> Condition:
    inner = config.get("config", config)
    return Condition(str(inner["name"]), tuple(_plain(v, inner["name"]) for v in inner["values"]))


def _plain(value: Any, name: str) -> Value:
    """Turns NumPy's numbers into Python's."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return value
    raise SpaceError(
        fault(
            f"hyperparameter `{name}`",
            "a value cannot be stored",
            expected="a bool, int, float or str",
            received=value,
            advice="Give each value a name and look it up in the model.",
        )
    )


def _decimal(number: int | float) -> Decimal:
    return Decimal(repr(number))


def _clean(number: int | float) -> int | float:
    """Takes the noise off a computed float: 0.0010000000000000002 is 0.001."""
    return number if isinstance(number, int) else float(f"{number:.12g}")
