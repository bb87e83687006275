"""How long a search has found nothing better: `search.patience`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.legs import has_paused, last_reached
from hpsearch.ranking import pareto_front
from hpsearch.trial import TrialState
from hpsearch.trial_record import read_broken

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class _Shown:
    """What a trial has shown: a `Ranked`."""

    number: int
    values: tuple[float, ...]
    feasible: bool = True
    state: TrialState = TrialState.COMPLETE


def trials_since_best(trials: Sequence[FrozenTrial], directions: Mapping[str, str]) -> int:
    """Counts the trials after the best one that have ended well, or paused; those that failed do not count.

    Of several objectives the best one is the latest on the Pareto front, to which trials that paused belong
    with what they have shown, unless an objective is known only of a whole trial. Infeasible trials are never
    better.
    It follows from the study alone, so a search that was interrupted knows it too.

    Args:
        trials: Of the study.
        directions: `minimize` or `maximize`, by objective.
    """
    shown = tuple(each for trial in trials if (each := _shown(trial, directions)) is not None)
    best = max((each.number for each in pareto_front(shown, directions)), default=-1)
    return sum(each.number > best for each in shown)


def _shown(trial: FrozenTrial, directions: Mapping[str, str]) -> _Shown | None:
    from optuna.trial import TrialState as OptunaState

    if trial.state == OptunaState.COMPLETE:
        return _Shown(trial.number, tuple(trial.values), feasible=not read_broken(trial))
    stopped = trial.state == OptunaState.PRUNED or (trial.state == OptunaState.RUNNING and has_paused(trial))
    if not stopped:
        return None
    if len(directions) > 1:
        reached = last_reached(trial)
        if reached is None:
            return None
        values = tuple(value for value in reached.values[: len(directions)] if value is not None)
        known = len(values) == len(directions)
        return _Shown(trial.number, values, feasible=known and not reached.violation)
    if not trial.intermediate_values:
        return None
    best = max if next(iter(directions.values())) == "maximize" else min
    return _Shown(trial.number, (best(trial.intermediate_values.values()),))
