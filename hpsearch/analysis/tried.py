"""What was searched of a hyperparameter, and what became of each of its values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from hpsearch.space import Space
from hpsearch.trial import TrialState, Value
from hpsearch.writing import number, score

if TYPE_CHECKING:
    from hpsearch.space import Parameter
    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView

FEWEST_OF_A_MEDIAN = 3
"""Complete trials from which a median says something."""
FEWEST_OF_POOR = 5
"""Complete trials from which a value is poor if none is above the median: one in 32 by chance."""
MOST_VALUES = 6
"""Hyperparameters of more are shown by thirds of their trials."""


def declared_in(study: Study) -> dict[str, Parameter]:
    """Returns the hyperparameters that the model declared, by name."""
    return {p.name: p for p in Space.from_json(study.facts.get("space") or "[]").parameters}


def searched(declared: Parameter | None, values: Sequence[Value]) -> str:
    """Writes the range of a hyperparameter.

    Args:
        declared: As the model declared it. Default: only what was tried is known.
        values: Those tried.
    """
    if declared is not None and declared.low is not None and declared.high is not None:
        return f"{number(declared.low)} to {number(declared.high)}{_how(declared)}"
    if declared is not None and declared.values:
        return ", ".join(map(number, declared.values))
    return ", ".join(number(value) for value in _sorted(values))


def place(value: Value | None, declared: Parameter | None) -> float | None:
    """Returns where in its range a value lies, from 0 to 1; None if it has no range."""
    if declared is None or declared.low is None or declared.high is None or declared.low == declared.high:
        return None
    if not isinstance(value, int | float):
        return None
    scale = math.log if declared.sampling == "log" else float
    low, high = scale(declared.low), scale(declared.high)
    return (scale(value) - low) / (high - low)


def outcomes(name: str, trials: Sequence[TrialView], direction: str) -> tuple[str, ...]:
    """Tells of each value of a hyperparameter the best result, and how many trials were trained to their end.

    Others were pruned, so that a value of which few were has hardly been tried.

    Args:
        name: Of the hyperparameter.
        trials: All of the study; failed ones and those that break a constraint are left out.
        direction: Of the first objective.

    Returns:
        A line a value, or a third of the trials, in their order: the best result, and in brackets how many of
        the trials are complete, `relu: 0.7902, median 0.7705 (7 of 14; 5 pruned at once)`: those after their
        first epoch.
    """
    counted = (TrialState.COMPLETE, TrialState.PRUNED)
    having = [t for t in trials if name in t.params and t.state in counted and t.feasible]
    lines = []
    for label, group in _groups(name, having).items():
        complete = [trial.values[0] for trial in group if trial.state is TrialState.COMPLETE]
        best = (max if direction == "maximize" else min)(complete, default=None)
        result = "-" if best is None else score(best)
        result += f", median {score(median(complete))}" if len(complete) >= FEWEST_OF_A_MEDIAN else ""
        at_once = sum(trial.state is TrialState.PRUNED and trial.epochs <= 1 for trial in group)
        hardly = f"; {at_once} pruned at once" if at_once else ""
        lines.append(f"{label}: {result} ({len(complete)} of {len(group)}{hardly})")
    return tuple(lines)


def poor(name: str, trials: Sequence[TrialView], direction: str) -> tuple[str, ...]:
    """Returns the values, or thirds of the trials, with which no trial came up to the median.

    Those tried a few times only are left out.
    """
    sign = 1 if direction == "maximize" else -1
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.feasible]
    groups = _groups(name, [trial for trial in complete if name in trial.params])
    middle = median(sign * trial.values[0] for trial in complete) if complete else 0.0
    return tuple(
        label
        for label, group in groups.items()
        if len(group) >= FEWEST_OF_POOR and all(sign * trial.values[0] < middle for trial in group)
    )


def _groups(name: str, trials: Sequence[TrialView]) -> Mapping[str, Sequence[TrialView]]:
    values = _sorted([trial.params[name] for trial in trials])
    if len(values) <= MOST_VALUES:
        return {number(v): [t for t in trials if _same(t.params[name], v)] for v in values}
    if not all(isinstance(value, int | float) for value in values):
        return {}
    ordered = sorted(trials, key=lambda trial: float(trial.params[name]))
    ends = [round(part * len(ordered) / 3) for part in range(4)]
    thirds = [ordered[low:high] for low, high in pairwise(ends)]
    return {f"{number(each[0].params[name])} to {number(each[-1].params[name])}": each for each in thirds}


def _sorted(values: Sequence[Value]) -> list[Value]:
    """Returns the different values in their order; `True` is not 1."""
    distinct = {(type(value).__name__, value): value for value in values}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return sorted(distinct.values(), key=float)
    return [distinct[key] for key in sorted(distinct, key=lambda key: (key[0], str(key[1])))]


def _same(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other


def _how(declared: Parameter) -> str:
    """Tells how one goes from the low end to the high one."""
    if declared.sampling == "linear":
        return f", by {number(declared.step)}" if declared.step else ""
    if declared.step:
        return f", times {number(declared.step)}"
    return ", logarithmic" if declared.sampling == "log" else f", {declared.sampling}"
