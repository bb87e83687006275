"""Conditions on trials: what a user may ask of a trial by name, and compare with a value."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
    where: str = field(default="condition", compare=False)
    """Where it stands, for messages: an option of the command line."""

    @classmethod
    def parse(cls, text: str, where: str = "condition") -> Condition:
        """Reads what a user typed.

        Args:
            text: A name, an operator, a value.
            where: Where it stands, for messages.

        Raises:
            UsageError: It is no condition.
        """
        found = _CONDITION.match(text)
        if found is None:
            expected = f"NAME, one of {' '.join(_OPERATORS)}, and a value"
            raise UsageError(fault(where, "not a condition", expected=expected, received=text))
        return cls(found["name"], found["operator"], found["value"], where)

    def __str__(self) -> str:
        return f"{self.name}{self.operator}{self.value}"

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
                self.where, f"`{self.name}` is a number", expected="a number", received=self.value
            )
            raise UsageError(message) from None

    def check(self, trials: Iterable[TrialView]) -> None:
        """Makes sure that some trial has what the condition is on.

        Raises:
            UsageError: None has.
        """
        check_name(self.name, trials, self.where)


OWN: Mapping[str, Callable[[TrialView], Any]] = {
    "trial": lambda trial: trial.number,
    "state": lambda trial: str(trial.state).lower(),
    "epochs": lambda trial: trial.epochs,
    "best_epoch": lambda trial: trial.best_epoch,
    "time_s": lambda trial: trial.duration_s,
    "attempts": lambda trial: trial.attempts,
    "feasible": lambda trial: trial.feasible,
    "parameters": lambda trial: trial.facts.get("parameters"),
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


def check_name(name: str, trials: Iterable[TrialView], where: str) -> None:
    """Makes sure that trials can be asked for something; without trials nothing is known.

    Raises:
        UsageError: They cannot.
    """
    trials = tuple(trials)
    known = names_of(trials)
    if name not in known and trials:
        expected = ", ".join(known[:40])
        message = fault(
            where, "no such name", expected=expected, received=name, advice=did_you_mean(name, known)
        )
        raise UsageError(message)
