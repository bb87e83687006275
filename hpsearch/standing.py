"""How a search stands: trials by state, the best so far, failures in a row, the time it took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpsearch.ranking import pareto_front
from hpsearch.study import TrialView
from hpsearch.trial import TrialState
from hpsearch.trial_record import read_record

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Standing:
    """Counts a study's finished trials, each taken in once, and keeps the best of them.

    Args:
        objectives: Direction (`minimize` or `maximize`) by metric; the first leads.
    """

    def __init__(self, objectives: Mapping[str, str]) -> None:
        self._objectives = objectives
        self._counts = dict.fromkeys(TrialState, 0)
        self._front: tuple[TrialView, ...] = ()
        self.failures_in_a_row = 0

    def add(self, trial: TrialView) -> None:
        """Takes in a trial that ended.

        Infeasible trials count as failures in a row only as long as no trial has ended well: later they
        say something of the space, no longer of the search.
        """
        self._counts[trial.state] += 1
        if trial.state is not TrialState.FAILED:
            self.failures_in_a_row = 0
        elif not trial.infeasible or not self._any_success:
            self.failures_in_a_row += 1
        if trial.state is TrialState.COMPLETE:
            front = pareto_front((*self._front, trial), self._objectives)
            self._front = tuple(sorted(front, key=lambda t: t.number)) if len(front) > 1 else front

    @property
    def finished(self) -> int:
        """How many trials have ended."""
        return sum(self._counts.values())

    @property
    def best(self) -> TrialView | None:
        """The best complete trial; with several objectives the first of the Pareto front."""
        return self._front[0] if self._front else None

    @property
    def states(self) -> Mapping[str, int]:
        """Trials by state."""
        return {str(state): count for state, count in self._counts.items()}

    @property
    def _any_success(self) -> bool:
        return self._counts[TrialState.COMPLETE] + self._counts[TrialState.PRUNED] > 0


class Clock:
    """Measures the wall time during which trials ran, over all runs of a search.

    Trials that ran side by side count once.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []
        """Disjoint, in order."""
        self._covered_s = 0.0

    def add(self, trial: FrozenTrial) -> None:
        """Takes in a trial that ended, after those that ended before it."""
        if trial.datetime_complete is None:
            return
        end_s = trial.datetime_complete.timestamp()
        start_s = end_s - read_record(trial).get("wall_s", 0.0)
        while self._spans and self._spans[-1][1] >= start_s:
            before = self._spans.pop()
            self._covered_s -= before[1] - before[0]
            start_s, end_s = min(start_s, before[0]), max(end_s, before[1])
        self._spans.append((start_s, end_s))
        self._covered_s += end_s - start_s

    def searched_s(self, running_since_s: float | None = None) -> float:
        """Returns the seconds so far.

        Args:
            running_since_s: When the trials that run now began, the first of them. Default: none runs.
        """
        if running_since_s is None:
            return self._covered_s
        total_s = self._covered_s + max(0.0, time.time() - running_since_s)
        for start_s, end_s in reversed(self._spans):
            if end_s <= running_since_s:
                break
            total_s -= end_s - max(start_s, running_since_s)
        return total_s
