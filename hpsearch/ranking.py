"""Which trials are better: by one objective, or the front of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from hpsearch.trial import TrialState


class Ranked(Protocol):
    """What is compared of a trial: a `TrialView` has it."""

    @property
    def number(self) -> int:
        """Of the trial."""

    @property
    def state(self) -> TrialState:
        """How it stands."""

    @property
    def feasible(self) -> bool:
        """Whether it may be chosen."""

    @property
    def values(self) -> tuple[float, ...]:
        """Of the objectives, in their order."""


Trial = TypeVar("Trial", bound=Ranked)


def rank(trials: tuple[Trial, ...], objectives: Mapping[str, str]) -> tuple[Trial, ...]:
    """Sorts the complete trials, best first, infeasible ones last; ties go to the earlier trial."""
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    front = {t.number for t in pareto_front(tuple(complete), objectives)}
    sign = -1.0 if next(iter(objectives.values())) == "maximize" else 1.0

    def place(trial: Trial) -> tuple[bool, bool, float, int]:
        return not trial.feasible, trial.number not in front, sign * trial.values[0], trial.number

    return tuple(sorted(complete, key=place))


def pareto_front(trials: tuple[Trial, ...], objectives: Mapping[str, str]) -> tuple[Trial, ...]:
    """Returns the feasible trials that no other beats in every objective; of one, the best alone."""
    trials = tuple(trial for trial in trials if trial.feasible)
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in objectives.values()]
    costs = {t.number: tuple(s * v for s, v in zip(signs, t.values, strict=True)) for t in trials}
    if len(signs) == 1:
        return tuple(sorted(trials, key=lambda t: (costs[t.number], t.number))[:1])

    def dominated(trial: Trial) -> bool:
        mine = costs[trial.number]
        return any(
            other != mine and all(o <= m for o, m in zip(other, mine, strict=True))
            for other in costs.values()
        )

    return tuple(t for t in trials if not dominated(t))
