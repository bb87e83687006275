"""A space as a box of coordinates from 0 to 1, one a hyperparameter, for models that need numbers.

Numbers lie on their own scale (logarithmic ones on a logarithmic one) and snap to the values that there are;
the values of a choice without an order share the interval. What conditions switch off is set aside: a number
to the middle, a category to none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hpsearch.space import Parameter, Space, Value

_MOST_LISTED = 10_000
"""Values of a range that are listed; a longer one is as good as continuous."""
NONE = -1.0
"""Category of a hyperparameter that is not active."""
MIDDLE = 0.5

Array = NDArray[np.float64]


class Coordinates:
    """The way between values and coordinates.

    Args:
        space: What is searched.
    """

    def __init__(self, space: Space) -> None:
        self._axes = [_Axis(parameter) for parameter in space.parameters]
        self.categorical = np.array([axis.categorical for axis in self._axes], dtype=bool)
        """Which columns of `features` hold categories."""

    @property
    def dimensions(self) -> int:
        """How many coordinates a point has."""
        return len(self._axes)

    def features(self, points: Array) -> Array:
        """Turns points of the box into what a model compares: snapped, the inactive ones set aside.

        Args:
            points: `(n, dimensions)`.

        Returns:
            `(n, dimensions)`.
        """
        found = np.empty_like(points)
        active: list[NDArray[np.bool_]] = []
        for column, axis in enumerate(self._axes):
            found[:, column] = axis.snap(points[:, column])
            on = np.ones(len(points), dtype=bool)
            for condition in axis.parameter.conditions:
                on &= self._holds(condition.name, condition.values, found, active)
            found[~on, column] = axis.aside
            active.append(on)
        return found

    def _holds(
        self, name: str, values: tuple[Value, ...], found: Array, active: list[NDArray[np.bool_]]
    ) -> NDArray[np.bool_]:
        """Whether the parent `name`, declared before, has one of some values."""
        holds = np.zeros(len(found), dtype=bool)
        for column, on in enumerate(active):
            axis = self._axes[column]
            if axis.parameter.name == name:
                wanted = [axis.feature(value) for value in values if axis.parameter.contains(value)]
                holds |= on & np.isin(found[:, column], wanted)
        return holds

    def features_of(self, values: Mapping[str, Value]) -> Array:
        """Returns the features of a trial's values, `(dimensions,)`; what it lacks is inactive."""
        row = np.array([axis.aside for axis in self._axes])
        for column, axis in enumerate(self._axes):
            p = axis.parameter
            if p.name in values and p.is_active(values) and p.contains(values[p.name]):
                row[column] = axis.feature(values[p.name])
        return row

    def points_of(self, features: Array) -> Array:
        """Returns points of the box that have these features, `(n, dimensions)`."""
        points = features.copy()
        for column, axis in enumerate(self._axes):
            if axis.categorical:
                known = np.maximum(features[:, column], 0.0)
                points[:, column] = (known + 0.5) / len(axis.values)
        return points

    def values(self, point: Array) -> dict[Parameter, Value]:
        """Returns the value of each hyperparameter that is active at a point, `(dimensions,)`."""
        chosen: dict[str, Value] = {}
        found: dict[Parameter, Value] = {}
        for axis, coordinate in zip(self._axes, point, strict=True):
            p = axis.parameter
            if p.name not in chosen and p.is_active(chosen):
                chosen[p.name] = found[p] = axis.value(float(coordinate))
        return found


class _Axis:
    """One hyperparameter's coordinate."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        size = parameter.size
        ordered = parameter.ordered
        if ordered is None:
            ordered = all(isinstance(v, int | float) and not isinstance(v, bool) for v in parameter.values)
        self.numeric = parameter.low is not None
        self.categorical = not self.numeric and not (parameter.kind == "choice" and ordered)
        self.values: tuple[Value, ...] = ()
        if size is not None and size <= _MOST_LISTED:
            self.values = tuple(parameter.at(index) for index in range(size))
        if self.numeric and self.values:
            self.places = np.array([self._scaled(float(value)) for value in self.values])
        elif self.values and not self.categorical:
            order = (
                np.argsort(np.array([float(v) for v in self.values])) if _all_numbers(self.values) else None
            )
            self.values = tuple(self.values[i] for i in order) if order is not None else self.values
            self.places = np.linspace(0.0, 1.0, len(self.values)) if len(self.values) > 1 else np.array([0.5])
        self.aside = NONE if self.categorical else MIDDLE

    def snap(self, coordinates: Array) -> Array:
        """Returns the features of coordinates, each that of the nearest value."""
        if self.categorical:
            return np.minimum(np.floor(coordinates * len(self.values)), len(self.values) - 1.0)
        return self.places[self._nearest(coordinates)] if self.values else np.clip(coordinates, 0.0, 1.0)

    def feature(self, value: Value) -> float:
        """Returns the feature of a value."""
        if self.numeric:
            return float(self.snap(np.array([self._scaled(float(value))]))[0])
        index = next(i for i, each in enumerate(self.values) if each == value)
        return float(index) if self.categorical else float(self.places[index])

    def value(self, coordinate: float) -> Value:
        """Returns the value at a coordinate; never outside what was declared."""
        if self.values:
            at = np.array([coordinate])
            return self.values[int(self.snap(at)[0]) if self.categorical else int(self._nearest(at)[0])]
        p, share = self.parameter, min(max(coordinate, 0.0), 1.0)
        low, high = float(p.low or 0), float(p.high or 0)
        if p.sampling == "linear":
            return self._rounded(low + (high - low) * share)
        if p.sampling == "log":
            return self._rounded(low * (high / low) ** share)
        return self._rounded(low + high - low * (high / low) ** (1.0 - share))

    def _rounded(self, number: float) -> Value:
        return self.parameter.nearest(round(number) if self.parameter.kind == "int" else number)

    def _nearest(self, coordinates: Array) -> NDArray[np.intp]:
        between = (self.places[1:] + self.places[:-1]) / 2
        return np.searchsorted(between, coordinates)

    def _scaled(self, number: float) -> float:
        p = self.parameter
        low, high = float(p.low or 0), float(p.high or 0)
        if low == high:
            return MIDDLE
        number = min(max(number, low), high)
        if p.sampling == "linear":
            return (number - low) / (high - low)
        if p.sampling == "log":
            return float(np.log(number / low) / np.log(high / low))
        return float(1.0 - np.log((low + high - number) / low) / np.log(high / low))


def _all_numbers(values: tuple[Value, ...]) -> bool:
    return all(isinstance(value, int | float) for value in values)
