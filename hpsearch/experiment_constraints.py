"""What a trial must meet to be chosen: `search.constraints`, each like `parameters <= 100000`."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from hpsearch.experiment_errors import Expected, reject

IN_WORDS = "a metric, `<=`, `>=`, `<` or `>`, and a number, e.g. `parameters <= 100000`"
_FORM = re.compile(r"\s*(?P<metric>[^<>=!]*[^<>=!\s])\s*(?P<operator>[<>]=?)\s*(?P<bound>[^<>=!\s]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric.

    Example:
        >>> limit = Constraint("parameters", "<=", 1000.0)
        >>> str(limit), limit.violation(1500.0), limit.violation(800.0)
        ('parameters <= 1000', 0.5, -0.2)
    """

    metric: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Reads what a user wrote.

        Raises:
            ValueError: It is no constraint.
        """
        found = _FORM.fullmatch(text)
        bound = float(found["bound"]) if found else math.nan
        if found is None or not math.isfinite(bound):
            raise ValueError(f"not a constraint: {text}")
        return cls(found["metric"], found["operator"], bound)

    def violation(self, value: float) -> float:
        """Returns how far a value is beyond the bound, relative to it; at most 0 if the constraint is met."""
        beyond = value - self.bound if self.is_upper else self.bound - value
        if beyond == 0 and self.operator in "<>":
            return sys.float_info.epsilon
        return beyond / (abs(self.bound) or 1.0)

    @property
    def is_upper(self) -> bool:
        """Whether the metric must not be larger."""
        return self.operator.startswith("<")

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.bound:.15g}"


def _checked(text: str) -> str:
    """Returns a constraint as it is written everywhere."""
    try:
        return str(Constraint.parse(text))
    except ValueError:
        raise reject("not a constraint") from None


ConstraintForm = Annotated[str, AfterValidator(_checked), Expected(IN_WORDS)]


def can_be_met(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Refuses constraints that no trial could meet together."""
    known: dict[tuple[str, bool], Constraint] = {}
    for each in map(Constraint.parse, texts or ()):
        place = (each.metric, each.is_upper)
        if place in known:
            received = f"{known[place]}, {each}"
            raise reject("two bounds on the same side", expected="one a metric and side", received=received)
        known[place] = each
    for (metric, is_upper), upper in known.items():
        lower = known.get((metric, False)) if is_upper else None
        if lower is not None and (lower.violation(upper.bound) > 0 or upper.violation(lower.bound) > 0):
            received = f"{lower}, {upper}"
            raise reject("no trial can meet both", expected="bounds that leave room", received=received)
    return texts
