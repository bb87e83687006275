"""What a study says to a model that needs numbers: where trials were, what they reached, and who still runs.

A trial's features, and what it reached when it was stopped, are worked out once and kept: a search asks after
every trial, and most have not changed since.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpsearch.legs import has_paused
from hpsearch.space import trial_values
from hpsearch.strategies.coordinates import Array, Coordinates
from hpsearch.strategies.penalty import penalised

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Known:
    """What the trials say, the lower the better."""

    features: Array
    """`(n, dimensions + 1)`, the last one how far a trial was trained: 1 is all."""
    values: Array
    """`(n,)`."""
    unfinished: Array
    """`(m, dimensions)`, the features of the trials that run or are paused."""

    def some(self, most: int) -> Known:
        """Returns a part of the values: of many, the best half and the latest half."""
        if len(self.values) <= most:
            return self
        best = np.argsort(self.values, kind="stable")[: most // 2]
        latest = np.setdiff1d(np.arange(len(self.values)), best)[len(best) - most :]
        chosen = np.sort(np.concatenate([best, latest]))
        return Known(self.features[chosen], self.values[chosen], self.unfinished)


@dataclass
class _Kept:
    """Of one trial, and how much of it there was then."""

    parameters: int
    features: NDArray[np.float64]
    epochs: int = -1
    reached: tuple[float, float] | None = None


class Observations:
    """Reads studies.

    Args:
        coordinates: Of the space.
        epochs: The most that a trial can run.
    """

    def __init__(self, coordinates: Coordinates, epochs: int) -> None:
        self._coordinates = coordinates
        self._epochs = epochs
        self._kept: WeakKeyDictionary[BaseStorage, dict[int, _Kept]] = WeakKeyDictionary()

    def known(self, study: Study, trial: FrozenTrial | None = None, *, before: int | None = None) -> Known:
        """Returns what all trials say, but for one that is asked about.

        Infeasible trials count with the worst value so far; pruned and paused ones with the best that they
        reached, at their last epoch.

        Args:
            study: Of the search.
            trial: The one that is asked about. Default: none.
            before: A trial's number: what those with smaller numbers say. Default: all.
        """
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        seen, shares, values, unfinished = [], [], [], []
        trials = study.get_trials(deepcopy=False)[:before]
        for other in penalised(trials, study.directions):
            if (trial is not None and other.number == trial.number) or not other.params:
                continue
            kept = self._keep(study, other)
            if other.state == TrialState.RUNNING:
                unfinished.append(kept.features)
            if (reached := self._reached(kept, other, sign)) is not None:
                seen.append(kept.features)
                values.append(reached[0])
                shares.append(reached[1])
        return Known(
            np.column_stack([self._stacked(seen), shares]), np.array(values), self._stacked(unfinished)
        )

    def _stacked(self, rows: list[Array]) -> Array:
        return np.array(rows).reshape(-1, self._coordinates.dimensions)

    def _keep(self, study: Study, trial: FrozenTrial) -> _Kept:
        of_study = self._kept.setdefault(study._storage, {})
        kept = of_study.get(trial._trial_id)
        if kept is None or kept.parameters != len(trial.params):
            features = self._coordinates.features_of(trial_values(trial))
            kept = of_study[trial._trial_id] = _Kept(len(trial.params), features)
        return kept

    def _reached(self, kept: _Kept, trial: FrozenTrial, sign: float) -> tuple[float, float] | None:
        """Returns a trial's value and how far it was trained, from 0 to 1; None if it says nothing."""
        if trial.state == TrialState.COMPLETE:
            return (sign * trial.values[0], 1.0) if math.isfinite(trial.values[0]) else None
        stopped = trial.state == TrialState.PRUNED or (
            trial.state == TrialState.RUNNING and has_paused(trial)
        )
        if not stopped or not trial.intermediate_values:
            return None
        if kept.epochs != len(trial.intermediate_values):
            kept.epochs, kept.reached = len(trial.intermediate_values), self._best(trial, sign)
        return kept.reached

    def _best(self, trial: FrozenTrial, sign: float) -> tuple[float, float] | None:
        last = max(trial.intermediate_values)
        best = min(sign * value for value in trial.intermediate_values.values())
        share = math.log1p(last) / math.log1p(max(self._epochs, last))
        return (best, share) if math.isfinite(best) else None
