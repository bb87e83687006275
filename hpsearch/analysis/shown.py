"""A study as Optuna's charts are to show it: the user's names and values, not those of the storage."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hpsearch.space import Parameter, Space
from hpsearch.trial import TrialState, Value

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView


def shown(study: Study) -> optuna.Study:
    """Copies a study into memory, with each trial's hyperparameters as its model saw them.

    Hyperparameters that have one value in all trials are left out: there is nothing to see.

    Args:
        study: Any, with or without finished trials.

    Returns:
        An Optuna study for `optuna.visualization` and `optuna.importance`.
    """
    import optuna
    from optuna.study import StudyDirection

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        directions = [StudyDirection[direction.upper()] for direction in study.objectives.values()]
        copy = optuna.create_study(directions=directions, study_name=study.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is experimental
            copy.set_metric_names(list(study.objectives))
        distributions = _distributions(study)
        stored = {trial.number: trial for trial in study.optuna.get_trials(deepcopy=False)}
        copy.add_trials([_copied(trial, stored[trial.number], distributions) for trial in study.trials])
    finally:
        optuna.logging.set_verbosity(verbosity)
    return copy


def _distributions(study: Study) -> dict[str, BaseDistribution]:
    """Returns what each hyperparameter is taken from, by its name."""
    declared: dict[str, list[Parameter]] = {}
    for parameter in Space.from_json(study.facts.get("space") or "[]").parameters:
        declared.setdefault(parameter.name, []).append(parameter)
    seen: dict[str, list[Value]] = {}
    for trial in study.trials:
        for name, value in trial.params.items():
            seen.setdefault(name, []).append(value)
    return {
        name: _distribution(values, declared.get(name, ()))
        for name, values in seen.items()
        if len({(type(value), value) for value in values}) > 1
    }


def _distribution(values: Sequence[Value], declared: Sequence[Parameter]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    ranges = [p for p in declared if p.low is not None and p.high is not None]
    if len(numbers) < len(values) or (declared and not ranges):
        kept = {(type(value), value): value for value in values}.values()
        return CategoricalDistribution(tuple(sorted(kept, key=lambda v: (str(type(v)), v))))
    ends = [end for p in ranges for end in (p.low, p.high) if end is not None]
    low, high = min([*numbers, *ends]), max([*numbers, *ends])
    log = low > 0 and (any(p.sampling == "log" for p in ranges) if ranges else high / low > 100)
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(math.floor(low), math.ceil(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _copied(
    trial: TrialView, stored: optuna.trial.FrozenTrial, distributions: Mapping[str, BaseDistribution]
) -> optuna.trial.FrozenTrial:
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as OptunaState

    state = {
        TrialState.COMPLETE: OptunaState.COMPLETE,
        TrialState.PRUNED: OptunaState.PRUNED,
        TrialState.FAILED: OptunaState.FAIL,
    }.get(trial.state, OptunaState.RUNNING)
    params: dict[str, Any] = {name: value for name, value in trial.params.items() if name in distributions}
    for name, value in params.items():
        if type(distributions[name]).__name__ == "FloatDistribution":
            params[name] = float(value)
    ended_at = stored.datetime_complete
    started_at = stored.datetime_start
    if ended_at is not None and trial.duration_s is not None:
        # A trial that ran again began when it ran the last time.
        started_at = max(filter(None, (started_at, ended_at - timedelta(seconds=trial.duration_s))))
    copied = FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=None,
        values=list(trial.values) if state is OptunaState.COMPLETE else None,
        datetime_start=started_at,
        datetime_complete=ended_at,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs={},
        system_attrs={},
        intermediate_values=dict(stored.intermediate_values),
    )
    for name, violation in stored.constraints.items():
        copied.set_constraint(name, violation)
    return copied
