"""Trials as samplers can learn from them: infeasible ones complete with the worst value, paused ones pruned.

In the study a trial that failed stays FAIL, and Optuna's samplers see nothing of those. `tpe` and `gp`,
which propose the most promising point, then propose it again and again: with half of a space failing,
all of their later trials lay there; shown with the worst value it was a third and a tenth. Optuna's own
constraints gave the same, but do not reach a failed trial, and `gp` demands them of every trial.
Samplers that vary what succeeded (`nsgaii`, `nsgaiii`, `cmaes`) stay away by themselves and gain nothing.
"""

# ruff: noqa: ARG002  the signatures are Optuna's

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any, cast

from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.legs import has_paused
from hpsearch.trial_record import read_infeasible

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study


class PenalisingSampler(BaseSampler):
    """Shows a sampler the study's infeasible trials as complete ones with the worst value so far.

    Args:
        inner: The sampler.
    """

    def __init__(self, inner: BaseSampler) -> None:
        self.inner = inner

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Asks the inner sampler."""
        return self.inner.infer_relative_search_space(_shown(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Asks the inner sampler."""
        return self.inner.sample_relative(_shown(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Asks the inner sampler."""
        return self.inner.sample_independent(_shown(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passes on to the inner sampler."""
        self.inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passes on to the inner sampler."""
        self.inner.after_trial(study, trial, state, values)

    def __str__(self) -> str:
        return str(self.inner)


def penalised(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Returns the trials, the infeasible ones as complete with the worst value of each objective.

    One that failed before it had chosen all that the successful ones have in common stays as it is:
    samplers propose together what all complete trials have, and that would become less.
    """
    infeasible = [t for t in trials if t.state == TrialState.FAIL and read_infeasible(t)]
    if not infeasible:
        return list(trials)
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    common = set.intersection(*(set(t.params) for t in ended)) if ended else set()
    values = [t.values for t in ended if t.state == TrialState.COMPLETE] or [[0.0] * len(directions)]
    worst = [
        min(column) if direction == StudyDirection.MAXIMIZE else max(column)
        for direction, column in zip(directions, zip(*values, strict=True), strict=True)
    ]
    numbers = {t.number for t in infeasible if common <= t.params.keys()}
    return [_complete(t, worst) if t.number in numbers else t for t in trials]


def advanced(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the trials, those that have reached a rung as pruned there: what they reached says enough."""
    return [_pruned(t) if t.state == TrialState.RUNNING and has_paused(t) else t for t in trials]


def _pruned(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state = TrialState.PRUNED
    return shown


def _complete(trial: FrozenTrial, values: list[float]) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state = TrialState.COMPLETE
    shown.values = values
    return shown


def _shown(study: Study) -> Study:
    return cast("Study", _PenalisedStudy(study))


class _PenalisedStudy:
    """A study as its sampler sees it; a pruner may have narrowed it to one of its brackets."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the trials; they are not to be changed, whatever `deepcopy` says."""
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """Where Optuna's samplers read the trials."""
        trials = self._study._get_trials(deepcopy=False, use_cache=use_cache)
        seen = penalised(advanced(trials), self._study.directions)
        return seen if states is None else [t for t in seen if t.state in states]
