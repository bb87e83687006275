"""How a search stands: trials by state, the best so far, failures in a row, the time it took."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from hpsearch.legs import Span, read_leg
from hpsearch.ranking import pareto_front
from hpsearch.trial import TrialState
from hpsearch.trial_record import read_attempt_spans, read_record
from hpsearch.trial_view import TrialView

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial


class Standing:
    """Counts a study's finished trials, each taken in once, and keeps the best of them.

    Args:
        objectives: Direction (`minimize` or `maximize`) by metric; the first leads.
    """

    def __init__(self, objectives: Mapping[str, str]) -> None:
        self._objectives = objectives
        self._counts = dict.fromkeys(TrialState, 0)
        self._front: tuple[TrialView, ...] = ()
        self._any_success = False
        self.failures_in_a_row = 0
        self.refused_in_a_row = 0
        """Trials that were not trained, as they break a constraint, since one was."""
        self.epochs = 0
        """Of the trials that have ended."""

    def add(self, trial: TrialView) -> None:
        """Takes in a trial that ended.

        Infeasible trials count as failures in a row only as long as no trial has ended well: later they
        say something of the space, no longer of the search. Those that break a constraint, and were not
        trained, are neither a failure nor a success.
        """
        self._counts[trial.state] += 1
        self.epochs += trial.epochs
        if trial.broken and not trial.epochs:
            self.refused_in_a_row += 1
        elif trial.state is not TrialState.FAILED:
            self.succeed()
        elif not trial.infeasible or not self._any_success:
            self.failures_in_a_row += 1
        if trial.state is TrialState.COMPLETE:
            front = pareto_front((*self._front, trial), self._objectives)
            self._front = tuple(sorted(front, key=lambda t: t.number)) if len(front) > 1 else front

    def succeed(self) -> None:
        """Takes in that a trial went well: it ended, or paused."""
        self.failures_in_a_row = self.refused_in_a_row = 0
        self._any_success = True

    @property
    def finished(self) -> int:
        """How many trials have ended."""
        return sum(self._counts.values())

    @property
    def any_complete(self) -> bool:
        """Whether a trial is complete, be it infeasible."""
        return self._counts[TrialState.COMPLETE] > 0

    @property
    def best(self) -> TrialView | None:
        """The best complete and feasible trial; with several objectives the first of the Pareto front."""
        return self._front[0] if self._front else None

    @property
    def states(self) -> Mapping[str, int]:
        """Trials by state."""
        return {str(state): count for state, count in self._counts.items()}


class Clock:
    """Measures the time for which trials ran, over all runs of a search.

    Args:
        now_s: Returns the time, Unix time in seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._spans: list[tuple[float, float]] = []
        """Disjoint, in order."""
        self._covered_s = 0.0
        self._of_trial_s: dict[int, float] = {}
        self._computed_s = 0.0

    def add(self, trial: FrozenTrial | Trial) -> None:
        """Takes in what a trial ran so far: its attempts, its legs. Telling it again adds what is new."""
        spans = spans_of(trial)
        ran_s = sum(end_s - start_s for start_s, end_s in spans)
        self._computed_s += ran_s - self._of_trial_s.get(trial.number, 0.0)
        self._of_trial_s[trial.number] = ran_s
        for start_s, end_s in spans:
            self._cover(start_s, end_s)

    def _cover(self, start_s: float, end_s: float) -> None:
        first = bisect_left(self._spans, start_s, key=lambda span: span[1])
        last = bisect_right(self._spans, end_s, key=lambda span: span[0])
        for before_s, after_s in self._spans[first:last]:
            self._covered_s -= after_s - before_s
            start_s, end_s = min(start_s, before_s), max(end_s, after_s)
        self._spans[first:last] = [(start_s, end_s)]
        self._covered_s += end_s - start_s

    def searched_s(self, running_since_s: Iterable[float] = ()) -> float:
        """Returns the seconds during which trials ran; those that ran side by side count once.

        Args:
            running_since_s: When each of the trials that run now began. Default: none runs.
        """
        since_s = min(running_since_s, default=None)
        if since_s is None:
            return self._covered_s
        total_s = self._covered_s + max(0.0, self._now_s() - since_s)
        for start_s, end_s in reversed(self._spans):
            if end_s <= since_s:
                break
            total_s -= end_s - max(start_s, since_s)
        return total_s

    def computed_s(self, running_since_s: Iterable[float] = ()) -> float:
        """Returns the seconds of all trials together: of two that ran side by side for a second, two.

        Args:
            running_since_s: When each of the trials that run now began. Default: none runs.
        """
        running_s = sum(max(0.0, self._now_s() - since_s) for since_s in running_since_s)
        return self._computed_s + running_s


def spans_of(trial: FrozenTrial | Trial) -> tuple[Span, ...]:
    """Returns from when to when a trial ran, attempts that failed included; Unix time, seconds."""
    leg = read_leg(trial)
    ran = read_record(trial).get("spans", leg.spans if leg else ())
    return (*read_attempt_spans(trial), *(tuple(span) for span in ran))
