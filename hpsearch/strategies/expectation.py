"""What a further trial is expected to gain, whatever strategy found the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.legs import has_paused
from hpsearch.space import Space
from hpsearch.strategies.coordinates import Coordinates
from hpsearch.strategies.observations import Observations
from hpsearch.strategies.promising import most_promising

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

FEWEST_TRIALS = 5
SETTLED_TRIALS, SETTLED_A_HYPERPARAMETER = 20, 2
"""Fewer trials settle nothing: the process is too sure of what it has hardly seen."""
IN_A_ROW = 8
"""After so many trials running little must have been expected: now and then a process is too sure."""


class Expectation:
    """Asks the Gaussian process of `bayesian` about a study.

    Args:
        space: What is searched.
        epochs: The most that a trial can run.
    """

    def __init__(self, space: Space, epochs: int) -> None:
        searched = sum(parameter.size != 1 for parameter in space.parameters)
        self._fewest = max(SETTLED_TRIALS, SETTLED_A_HYPERPARAMETER * searched)
        self._coordinates = Coordinates(space)
        self._observations = Observations(self._coordinates, epochs)

    def improvement(self, study: Study, *, before: int | None = None) -> float | None:
        """Returns by how much the most promising point of the whole space is expected to be better.

        Args:
            study: What still runs in it does not count, so that a search that goes on expects the same.
            before: A trial's number: what was expected before that one. Default: what is expected now.

        Returns:
            At least 0, in the objective's unit; None of several objectives, or if too few trials have ended.
        """
        if len(study.directions) > 1 or not self._coordinates.dimensions:
            return None
        known = self._observations.known(study, before=before)
        if len(known.values) < FEWEST_TRIALS:
            return None
        known = replace(known, unfinished=known.unfinished[:0])
        return most_promising(known, self._coordinates, np.random.default_rng(0)).improvement

    def is_settled(self, study: Study, min_improvement: float) -> bool:
        """Returns whether less than that is expected, and was before each of the last trials."""
        shown = [trial.number for trial in study.get_trials(deepcopy=False) if _has_shown(trial)]
        if len(shown) < self._fewest:
            return False
        for before in (None, *reversed(shown[1 - IN_A_ROW :])):
            expected = self.improvement(study, before=before)
            if expected is None or expected >= min_improvement:
                return False
        return True


def _has_shown(trial: FrozenTrial) -> bool:
    """Whether a trial has a value; one that runs may have paused before."""
    from optuna.trial import TrialState

    stopped = trial.state == TrialState.PRUNED or has_paused(trial)
    return trial.state == TrialState.COMPLETE or (stopped and bool(trial.intermediate_values))
