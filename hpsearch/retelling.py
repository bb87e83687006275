"""What a study holds of its finished trials, told again: to a tracker, and to a driver that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hpsearch.standing import Clock, Standing
from hpsearch.tracking import Tracker
from hpsearch.trial import Failure, Result, TrialSpec
from hpsearch.trial_record import read_outcome
from hpsearch.trial_view import TrialView, view_trial

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def retell(
    trials: Sequence[FrozenTrial],
    objectives: Mapping[str, str],
    spec_of: Callable[[TrialView], TrialSpec],
    tracker: Tracker,
    told: Callable[[Result | Failure], Result | Failure] = lambda outcome: outcome,
    now_s: Callable[[], float] = time.time,
) -> tuple[Standing, Clock, tuple[int, ...]]:
    """Tells a tracker of every finished trial, and who was best after each, in the order of their ends.

    Args:
        trials: Of the study.
        objectives: Direction by metric.
        spec_of: Returns the job that a trial was.
        tracker: Its study is open. It leaves out what it holds already.
        told: Returns an outcome as it is told. Default: as it is.
        now_s: Returns the time.

    Returns:
        How the search stands, the time it took so far, and the numbers of the trials of which something
        was missing.
    """
    standing, clock, missing = Standing(objectives), Clock(now_s), []
    metrics = tuple(objectives)
    finished = [trial for trial in trials if trial.datetime_complete is not None]
    for frozen in sorted(finished, key=lambda t: (t.datetime_complete, t.number)):
        outcome = read_outcome(frozen)
        if outcome is None:
            continue
        trial = view_trial(frozen, metrics)
        if tracker.finish_trial(spec_of(trial), trial.state, told(outcome)):
            missing.append(trial.number)
        standing.add(trial)
        clock.add(frozen)
        log_best(standing, metrics, tracker)
    standing.failures_in_a_row = 0  # whoever runs the search again may have mended the cause
    return standing, clock, tuple(missing)


def log_best(standing: Standing, metrics: Sequence[str], tracker: Tracker) -> None:
    """Tells a tracker who is best now, if anyone is."""
    best = standing.best
    if best is not None:
        tracker.log_best(best.number, dict(zip(metrics, best.values, strict=True)), standing.states)
