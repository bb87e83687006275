"""Where a search begins: points that a person names, and the best ones of earlier studies.

The named points are tried first, in their order. Those of earlier studies are guests: every second trial has
one, for as long as the best guest keeps up with the strategy's own trials. So a study that misleads costs two
trials, and one that helps is learnt from at once.

The study notes which trial began with which point, so what comes next follows from the study alone, however
often a search is interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.legs import read_leg
from hpsearch.trial_record import read_broken

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

START = "hpsearch:start"
"""System attribute of a trial: the point that it was told to begin with, as JSON."""
TRIED_BEFORE_JUDGED = 2
"""Guests, and trials of the strategy's own, that must have shown something."""

Stored = Mapping[str, Any]
"""A point: values as the study stores them, by label."""


class Beginning:
    """Says which trial begins with which point.

    Args:
        start: Points that are tried whatever they turn out to be.
        guests: Points that alternate with the strategy's own, as long as they are good.
    """

    def __init__(self, start: Iterable[Stored] = (), guests: Iterable[Stored] = ()) -> None:
        self._start = {_key(point): point for point in start}
        self._guests = {key: point for point in guests if (key := _key(point)) not in self._start}

    def point(self, study: Study, trial: FrozenTrial) -> Stored:
        """Returns the point that a trial begins with, and has the study note it; empty: the strategy's own.

        Args:
            study: Of the search.
            trial: It has no values yet, unless it was interrupted.
        """
        if not self._start and not self._guests:
            return {}
        own = trial.system_attrs.get(START)
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        key = own or self._next(trials[: trial.number], study.directions)
        if key is None:
            return {}
        if own is None:
            study._storage.set_trial_system_attr(trial._trial_id, START, key)
        return self._start.get(key) or self._guests.get(key, {})

    def _next(self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> str | None:
        begun = [trial.system_attrs.get(START) for trial in trials]
        tried = set(begun)
        named = next((key for key in self._start if key not in tried), None)
        if named is not None:
            return named
        guest = next((key for key in self._guests if key not in tried), None)
        is_guest = [key is not None and key not in self._start for key in begun]
        if guest is None or (is_guest and is_guest[-1]) or not _is_welcome(trials, is_guest, directions):
            return None
        return guest


def _is_welcome(
    trials: Sequence[FrozenTrial], is_guest: Sequence[bool], directions: Sequence[StudyDirection]
) -> bool:
    """Whether the best guest is no worse than half of the strategy's own; of several objectives: always."""
    sign = -1.0 if directions[0] == StudyDirection.MAXIMIZE else 1.0
    guests: list[float] = []
    own: list[float] = []
    for trial, guest in zip(trials, is_guest, strict=True):
        if (value := _shown(trial, sign)) is not None:
            (guests if guest else own).append(value)
    if len(directions) > 1:
        return True
    if min(len(guests), len(own)) < TRIED_BEFORE_JUDGED:
        return sum(is_guest) < TRIED_BEFORE_JUDGED
    return min(guests) <= median(own)


def _shown(trial: FrozenTrial, sign: float) -> float | None:
    """Returns what a trial has shown, the lower the better: the same epochs of all where trials pause."""
    if trial.state == TrialState.FAIL or read_broken(trial):
        return math.inf
    value: float | None = None
    if (leg := read_leg(trial)) is not None:
        value = leg.reached[min(leg.reached)].values[0] if leg.reached else None
    elif trial.state == TrialState.COMPLETE:
        value = trial.values[0]
    elif trial.state == TrialState.PRUNED and trial.intermediate_values:
        return min(sign * each for each in trial.intermediate_values.values())
    return None if value is None else sign * value


def _key(point: Stored) -> str:
    return json.dumps(point, sort_keys=True)
