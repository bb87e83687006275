"""One trial of a study as people and commands see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from hpsearch.legs import epochs_trained, read_leg
from hpsearch.parts import PartResult, Spread, spreads
from hpsearch.trial import Failure, Result, TrialState, Value
from hpsearch.trial_record import (
    read_attempts,
    read_broken,
    read_infeasible,
    read_outcome,
    read_record,
)
from hpsearch.writing import score

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class TrialView:
    """One trial as people see it."""

    number: int
    state: TrialState
    params: Mapping[str, Value]
    values: tuple[float, ...]
    """Of the objectives, in their order; empty unless complete or pruned."""
    metrics: Mapping[str, float]
    """Those of the best epoch, or their means over the parts."""
    epochs: int
    best_epoch: int
    """0 where there are several parts, each with its own."""
    duration_s: float | None
    started_at: datetime | None
    failure: Failure | None = None
    attempts: int = 1
    """How often it was tried, the last time included."""
    infeasible: bool = False
    """Whether it breaks a constraint, or failed so that samplers were told to avoid what is like it."""
    broken: tuple[str, ...] = ()
    """The constraints that it breaks, e.g. `parameters <= 100000`."""
    facts: Mapping[str, Value] = field(default_factory=dict)
    """Other things known: `parameters`, `threads`, ..."""
    paused: bool = False
    """Whether it waits to be promoted; its state is RUNNING."""
    parts: tuple[PartResult, ...] = ()
    """Its trainings, if they are several: folds, repeats."""

    @property
    def parameters(self) -> int | None:
        """Weights of its model, counted one by one; None where that is not known."""
        count = self.facts.get("parameters")
        return None if count is None else int(count)

    @property
    def feasible(self) -> bool:
        """Whether it may be chosen, if it is complete."""
        return not self.infeasible

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state is not TrialState.RUNNING

    @cached_property
    def spreads(self) -> Mapping[str, Spread]:
        """How the parts' values lie, by metric; empty where there are none."""
        return spreads(self.parts)


def scores(trial: TrialView, objectives: Iterable[str]) -> list[str]:
    """Writes a trial's values of the objectives: `0.9132`, of several parts `0.9132 ± 0.0041`."""
    return [
        f"{score(value)} ± {score(trial.spreads[name].error)}" if name in trial.spreads else score(value)
        for name, value in zip(objectives, trial.values, strict=False)
    ]


def view_trial(trial: FrozenTrial, metrics: tuple[str, ...]) -> TrialView:
    """Makes the view of an Optuna trial; `metrics` are the objectives' names."""
    from optuna.trial import TrialState as OptunaState

    from hpsearch.space import trial_values

    state = {
        OptunaState.COMPLETE: TrialState.COMPLETE,
        OptunaState.PRUNED: TrialState.PRUNED,
        OptunaState.FAIL: TrialState.FAILED,
    }.get(trial.state, TrialState.RUNNING)
    outcome = read_outcome(trial)
    attempts = len(read_attempts(trial)) + 1
    if isinstance(outcome, Result):
        broken, has_values = read_broken(trial), outcome.metrics.keys() >= set(metrics)
        return TrialView(
            number=trial.number,
            state=state,
            params=outcome.params,
            values=tuple(map(outcome.metrics.__getitem__, metrics)) if has_values else (),
            metrics=outcome.metrics,
            epochs=outcome.epochs,
            best_epoch=outcome.best_epoch,
            duration_s=outcome.duration_s,
            started_at=trial.datetime_start,
            attempts=attempts,
            infeasible=bool(broken),
            broken=broken,
            facts=outcome.facts,
            parts=outcome.parts,
        )
    record, leg = read_record(trial), read_leg(trial)
    spans = record.get("spans")
    return TrialView(
        number=trial.number,
        state=state,
        params=record.get("params") or trial_values(trial),
        values=(),
        metrics={},
        epochs=epochs_trained(trial),
        best_epoch=0,
        duration_s=None if spans is None else sum(end_s - start_s for start_s, end_s in spans),
        started_at=trial.datetime_start,
        failure=outcome,
        attempts=attempts,
        infeasible=read_infeasible(trial),
        paused=leg is not None and leg.paused is not None and outcome is None,
    )
