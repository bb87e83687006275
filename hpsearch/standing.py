"""How a search stands: trials by state, the best so far, failures in a row, the time it took."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hpsearch.objective import Objective
from hpsearch.study import TrialView, pareto_front
from hpsearch.trial import TrialState
from hpsearch.trial_record import read_record

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Standing:
    """Counts a study's finished trials, each taken in once, and keeps the best of them.

    Args:
        objectives: Of the search; the first leads.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._directions = {objective.metric: objective.direction for objective in objectives}
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
            front = pareto_front((*self._front, trial), self._directions)
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
    """Measures the time during which a search's trials ran, over all runs of the search.

    Args:
        trials: Those that earlier runs finished.
    """

    def __init__(self, trials: Iterable[FrozenTrial] = ()) -> None:
        self._before_s = _covered_s(trials)
        self._began_s = time.monotonic()

    @property
    def searched_s(self) -> float:
        """Seconds so far."""
        return self._before_s + time.monotonic() - self._began_s


def _covered_s(trials: Iterable[FrozenTrial]) -> float:
    """Returns the length of the union of the trials' spans."""
    spans = []
    for trial in trials:
        if trial.datetime_complete is not None:
            end_s = trial.datetime_complete.timestamp()
            spans.append((end_s - read_record(trial).get("wall_s", 0.0), end_s))
    total_s, until_s = 0.0, -math.inf
    for start_s, end_s in sorted(spans):
        total_s += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return total_s
