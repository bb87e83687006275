"""Trials that have not ended, as the driver keeps them: those that run, and those that wait to run again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.trial import Failure, TrialSpec

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Waiting:
    """A trial that runs again, or goes on, as soon as it may."""

    trial: optuna.Trial
    reported: int
    """The last epoch in the study."""
    alone: bool
    """Whether no other trial may run beside it."""


@dataclass
class Running:
    """A trial that an executor runs."""

    trial: optuna.Trial
    spec: TrialSpec
    started_at_s: float
    reported: int
    """The last epoch in the study; a trial that is run again reports the same epochs again."""
    alone: bool = False
    """Whether no other trial may run beside it."""
    built: bool = False
    heard_s: float = math.inf
    """What `Search._listened_s` was when it last said something; silence begins with its worker."""
    verdict: Failure | None = None
    """Why the driver cancelled it, if it did."""


def attach(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """Takes up a trial that an earlier driver left RUNNING."""
    import optuna

    return optuna.trial.Trial(study, frozen._trial_id)
