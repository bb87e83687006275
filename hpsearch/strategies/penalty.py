"""Trials as samplers can learn from them: infeasible ones complete with the worst value, paused ones pruned.

In the study a trial that failed stays FAIL, and Optuna's samplers see nothing of those. `tpe` and `gp`,
which propose the most promising point, then propose it again and again: with half of a space failing,
all of their later trials lay there; shown with the worst value it was a third and a tenth. Optuna's own
constraints gave the same, but do not reach a failed trial, and `gp` demands them of every trial.
Samplers that vary what succeeded (`nsgaii`, `nsgaiii`, `cmaes`) stay away by themselves and gain nothing.

Trials that break a constraint of the experiment are infeasible too. Samplers that know constraints learn
more from how far beyond they are: such trials keep their values, if they were trained. What is not known of
those that were not, or that failed, is as bad as the worst that is. To other samplers all of them are worst.
"""

# ruff: noqa: ARG002  the signatures are Optuna's

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.legs import has_paused, last_reached
from hpsearch.trial_record import read_broken, read_infeasible

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

    from hpsearch.legs import Reached


_CONSTRAINT = "constraints:"
"""Prefix of the system attributes in which Optuna keeps them."""


class PenalisingSampler(BaseSampler):
    """Shows a sampler the study's infeasible trials as complete ones with the worst value so far.

    Args:
        inner: The sampler.
        knows_constraints: Whether it reads `FrozenTrial.constraints`.
    """

    def __init__(self, inner: BaseSampler, *, knows_constraints: bool = True) -> None:
        self.inner = inner
        self._knows_constraints = knows_constraints

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Asks the inner sampler."""
        return self.inner.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Asks the inner sampler."""
        return self.inner.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Asks the inner sampler."""
        return self.inner.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passes on to the inner sampler."""
        self.inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passes on to the inner sampler."""
        if not self._knows_constraints:  # it would warn that it does not
            trial = _unconstrained(trial)
        self.inner.after_trial(study, trial, state, values)

    def __str__(self) -> str:
        return str(self.inner)

    def _shown(self, study: Study) -> Study:
        return cast("Study", _PenalisedStudy(study, knows_constraints=self._knows_constraints))


def penalised(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], *, knows_constraints: bool = False
) -> list[FrozenTrial]:
    """Returns the trials, the infeasible ones as complete with the worst value of each objective.

    One that ended before it had chosen all that the successful ones have in common stays as it is:
    samplers propose together what all complete trials have, and that would become less.

    Args:
        trials: Of a study.
        directions: Of its objectives.
        knows_constraints: Whether trials that were trained, and break a constraint, keep their values; the
            others that are infeasible then have a value for each constraint, too.
    """
    infeasible = [t for t in trials if _is_infeasible(t, knows_constraints)]
    if not infeasible:
        return list(trials)
    apart = {t.number for t in infeasible}
    ended = [
        t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED) and t.number not in apart
    ]
    common = set.intersection(*(set(t.params) for t in ended)) if ended else set()
    worst = _worst([t.values for t in trials if t.state == TrialState.COMPLETE], directions)
    numbers = {t.number for t in infeasible if common <= t.params.keys()}
    limits = _worst_violations(trials) if knows_constraints else {}
    return [_complete(t, worst, limits) if t.number in numbers else t for t in trials]


def _is_infeasible(trial: FrozenTrial, knows_constraints: bool) -> bool:
    """Whether a trial must be shown as another than it is."""
    if trial.state == TrialState.FAIL:
        return read_infeasible(trial)
    untrained = trial.state == TrialState.PRUNED
    return (untrained or (trial.state == TrialState.COMPLETE and not knows_constraints)) and bool(
        read_broken(trial)
    )


def _worst(values: Sequence[Sequence[float]], directions: Sequence[StudyDirection]) -> list[float]:
    """Returns the worst value of each objective; of no trial 0."""
    columns = zip(*(values or [[0.0] * len(directions)]), strict=True)
    return [
        min(column) if direction == StudyDirection.MAXIMIZE else max(column)
        for direction, column in zip(directions, columns, strict=True)
    ]


def _worst_violations(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Returns the largest value of each constraint, at least 0, in the order in which trials have them."""
    worst: dict[str, float] = {}
    for trial in trials:
        for name, value in trial.constraints.items():
            worst[name] = max(worst.get(name, 0.0), value)
    return dict(sorted(worst.items()))


def advanced(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Returns the trials, those that have reached a rung as pruned there: what they reached says enough.

    Of several objectives Optuna's samplers learn nothing from a pruned trial, so there it is complete, with
    the values of its last rung; what is not known of it is as bad as the worst that is. To show those of the
    highest rung that enough have reached, or all in the order of their rungs, found no better fronts.
    """
    if len(directions) == 1:
        return [_pruned(t) if t.state == TrialState.RUNNING and has_paused(t) else t for t in trials]
    stopped = {t.number: reached for t in trials if (reached := _reached(t)) is not None}
    if not stopped:
        return list(trials)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    worst = _worst([t.values for t in complete], directions)
    known = (*(each.constraints for each in stopped.values()), *(t.constraints for t in complete))
    names = sorted(set().union(*known))
    return [_as_reached(t, stopped[t.number], worst, names) if t.number in stopped else t for t in trials]


def _reached(trial: FrozenTrial) -> Reached | None:
    """Returns what a trial has shown on its last rung, if it was not trained to its end."""
    if trial.state == TrialState.COMPLETE or read_infeasible(trial):
        return None
    return last_reached(trial)


def _as_reached(
    trial: FrozenTrial, reached: Reached, worst: Sequence[float], constraints: Sequence[str]
) -> FrozenTrial:
    values = [bad if value is None else value for value, bad in zip(reached.values, worst, strict=False)]
    # A constraint that says nothing yet is met: not more is known of the trial.
    return _complete(trial, values, {name: reached.constraints.get(name, 0.0) for name in constraints})


def _pruned(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state = TrialState.PRUNED
    return shown


def _complete(trial: FrozenTrial, values: list[float], limits: Mapping[str, float]) -> FrozenTrial:
    shown = _unconstrained(trial)
    shown.state = TrialState.COMPLETE
    shown.values = values
    known = trial.constraints
    for name, worst in limits.items():
        shown.set_constraint(name, known.get(name, worst))
    return shown


def _unconstrained(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    attributes = trial.system_attrs.items()
    shown.system_attrs = {key: value for key, value in attributes if not key.startswith(_CONSTRAINT)}
    return shown


class _PenalisedStudy:
    """A study as its sampler sees it; a pruner may have narrowed it to one of its brackets."""

    def __init__(self, study: Study, *, knows_constraints: bool) -> None:
        self._study = study
        self._knows_constraints = knows_constraints

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
        seen = penalised(
            advanced(trials, self._study.directions),
            self._study.directions,
            knows_constraints=self._knows_constraints,
        )
        return seen if states is None else [t for t in seen if t.state in states]
