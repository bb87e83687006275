"""Which trials `hpsearch trials` shows, in which order, with which columns."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import UsageError, did_you_mean, fault

if TYPE_CHECKING:
    from hpsearch.parts import Spread
    from hpsearch.trial_view import TrialView

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*(?P<name>.+?)\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<value>.*?)\s*$")


@dataclass(frozen=True)
class Condition:
    """What a trial must meet: `val_accuracy>=0.9`, `optimizer=adam`, `state!=failed`."""

    name: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Reads what a user typed.

        Raises:
            UsageError: It is no condition.
        """
        found = _CONDITION.match(text)
        if found is None:
            expected = f"NAME, one of {' '.join(_OPERATORS)}, and a value"
            message = fault("--filter", "not a condition", expected=expected, received=text)
            raise UsageError(message)
        return cls(found["name"], found["operator"], found["value"])

    def holds(self, trial: TrialView) -> bool:
        """Returns whether a trial meets it; one that lacks the value does not, except for `!=`."""
        value = value_of(trial, self.name)
        if value is None:
            return self.operator == "!="
        if isinstance(value, bool) or not isinstance(value, int | float):
            return bool(_OPERATORS[self.operator](str(value).lower(), self.value.lower()))
        try:
            return bool(_OPERATORS[self.operator](float(value), float(self.value)))
        except ValueError:
            message = fault(
                "--filter", f"`{self.name}` is a number", expected="a number", received=self.value
            )
            raise UsageError(message) from None


@dataclass(frozen=True)
class Selection:
    """What to show of a study's trials; by default all of them by number."""

    conditions: tuple[Condition, ...] = ()
    sort: str | None = None
    """A name; with `-` before it, the largest first."""
    columns: tuple[str, ...] = ()
    """Default: those that the table has."""

    def of(self, trials: Sequence[TrialView]) -> tuple[TrialView, ...]:
        """Returns the trials to show, in order.

        Raises:
            UsageError: A name is unknown, or a value does not fit.
        """
        sort = (self.sort or "").removeprefix("-")
        known = names_of(trials)
        for option, name in [
            *(("--filter", condition.name) for condition in self.conditions),
            *([("--sort", sort)] if sort else []),
            *(("--columns", column) for column in self.columns),
        ]:
            if name not in known and trials:
                advice = did_you_mean(name, known)
                expected = ", ".join(known[:40])
                raise UsageError(
                    fault(option, "no such name", expected=expected, received=name, advice=advice)
                )
        kept = [t for t in trials if all(condition.holds(t) for condition in self.conditions)]
        if sort:
            there = [trial for trial in kept if _comparable(value_of(trial, sort))]
            lacking = [trial for trial in kept if not _comparable(value_of(trial, sort))]
            descending = (self.sort or "").startswith("-")
            there.sort(key=lambda trial: _key(value_of(trial, sort)), reverse=descending)
            kept = [*there, *lacking]
        return tuple(kept)


OWN: Mapping[str, Callable[[TrialView], Any]] = {
    "trial": lambda trial: trial.number,
    "state": lambda trial: str(trial.state).lower(),
    "epochs": lambda trial: trial.epochs,
    "best_epoch": lambda trial: trial.best_epoch,
    "time_s": lambda trial: trial.duration_s,
    "attempts": lambda trial: trial.attempts,
    "failure": lambda trial: str(trial.failure.kind) if trial.failure else None,
}
"""What every trial has beside hyperparameters and metrics."""


SPREAD: Mapping[str, Callable[[Spread], float]] = {
    "se": lambda spread: spread.error,
    "std": lambda spread: spread.std,
}
"""What a metric of a trial of several parts has beside its mean: `val_accuracy_se`."""


def value_of(trial: TrialView, name: str) -> Any:
    """Returns a hyperparameter, a metric or one of `OWN`; None if the trial has none of that name."""
    if name in trial.params:
        return trial.params[name]
    if name in trial.metrics:
        return trial.metrics[name]
    metric, _, kind = name.rpartition("_")
    if kind in SPREAD and metric in trial.spreads:
        return SPREAD[kind](trial.spreads[metric])
    return OWN[name](trial) if name in OWN else None


def names_of(trials: Iterable[TrialView]) -> list[str]:
    """Returns every name that a trial can be asked for."""
    found = dict.fromkeys(OWN)
    for trial in trials:
        found |= dict.fromkeys([*trial.params, *trial.metrics])
        found |= dict.fromkeys(f"{name}_{kind}" for name in trial.spreads for kind in SPREAD)
    return list(found)


def _comparable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _key(value: Any) -> tuple[str, Any]:
    """Sorts numbers among numbers, text among text."""
    if isinstance(value, int | float):
        return "", value
    return "text", str(value)
