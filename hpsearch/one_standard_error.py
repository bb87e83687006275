"""The rule of one standard error (Breiman et al., 1984): the simplest of those that are as good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpsearch.trial_view import TrialView


def simplest_within_one_error(ranking: Sequence[TrialView], metric: str) -> TrialView:
    """Returns the trial with the fewest parameters, of those within one standard error of the best mean.

    Among equals it is the better one; the best one itself where it has no standard error.

    Args:
        ranking: Complete trials, best first.
        metric: The objective.
    """
    best = ranking[0]
    spread = best.spreads.get(metric)
    if spread is None:
        return best
    near = [trial for trial in ranking if abs(trial.values[0] - best.values[0]) <= spread.error]
    return min(near, key=lambda trial: (_size(trial), near.index(trial)))


def _size(trial: TrialView) -> float:
    return float("inf") if trial.parameters is None else trial.parameters
