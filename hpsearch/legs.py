"""Trials that train in legs: at the end of a leg a trial pauses, its worker is free, and it may be promoted.

    asked, until epoch 1  ──►  paused at 1  ──►  promoted, until 3  ──►  paused at 3  ──► ...  COMPLETE
                                   └── the search ends: PRUNED

A paused trial is RUNNING in the study, whose user attribute `hpsearch:leg` says where it stands; its exact
state is in its folder. So a search that was killed knows from the study alone who is paused and who ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

LEG = "hpsearch:leg"
"""User attribute of an Optuna trial: its leg, as a dictionary."""

Span = tuple[float, float]
"""When a leg began and ended, Unix time, seconds."""


@dataclass(frozen=True)
class Reached:
    """What a trial has shown by the end of a leg: of its best epoch so far, and what was known before any."""

    values: tuple[float | None, ...]
    """Of the objectives, in their order, None where one is known only of a whole trial; then, if epochs
    report none of them, of the metric that stands in (`deploy_metrics.rung_metrics`)."""
    constraints: Mapping[str, float] = field(default_factory=dict)
    """How far it is beyond each constraint on what is known by then."""

    @property
    def violation(self) -> float:
        """How far it is beyond all of them."""
        return sum(max(0.0, value) for value in self.constraints.values())


@dataclass(frozen=True)
class Leg:
    """Where a trial stands that trains in legs."""

    until: int
    """The epoch at whose end it pauses."""
    reached: Mapping[int, Reached] = field(default_factory=dict)
    """At the end of each earlier leg, by its last epoch."""
    spans: tuple[Span, ...] = ()
    """Of the earlier legs."""
    paused: Mapping[str, Any] | None = None
    """Its outcome so far, as it will be kept, if it is paused now."""

    @property
    def trained_s(self) -> float:
        """How long the earlier legs took."""
        return sum(end_s - start_s for start_s, end_s in self.spans)


@dataclass(frozen=True)
class Promotion:
    """A paused trial goes on."""

    trial: int
    until: int
    """The epoch at whose end it pauses again, if it has not ended by then."""


class Schedule(Protocol):
    """Says how far trials train before they pause, and who goes on. It knows what the study knows."""

    def first(self, number: int) -> int:
        """Returns the last epoch of a new trial's first leg."""

    def promote(self, trials: Sequence[FrozenTrial]) -> Promotion | None:
        """Returns who goes on now, if anyone deserves it.

        Args:
            trials: Of the study, by number.
        """

    def rescue(self, trials: Sequence[FrozenTrial]) -> Promotion | None:
        """Returns who goes on when no trial will begin or be promoted any more, and none was completed."""


def read_leg(trial: FrozenTrial | Trial) -> Leg | None:
    """Returns where a trial stands; None if it does not train in legs."""
    record = trial.user_attrs.get(LEG)
    if record is None:
        return None
    reached = {int(epoch): _read_reached(record, epoch) for epoch in record["values"]}
    return Leg(record["until"], reached, tuple(map(tuple, record["spans"])), record["paused"])


def last_reached(trial: FrozenTrial) -> Reached | None:
    """Returns what a trial has shown by the end of its latest leg; None if it has not ended one."""
    record = trial.user_attrs.get(LEG)
    if not record or not record["values"]:
        return None
    return _read_reached(record, max(record["values"], key=int))


def _read_reached(record: Mapping[str, Any], epoch: str) -> Reached:
    values = record["values"][epoch]
    if not isinstance(values, Sequence):  # earlier versions wrote the first objective's alone
        values = (values,)
    return Reached(tuple(values), record.get("constraints", {}).get(epoch, {}))


def has_paused(trial: FrozenTrial) -> bool:
    """Returns whether a trial has ended a leg."""
    return bool(trial.user_attrs.get(LEG, {}).get("values"))


def epochs_trained(trial: FrozenTrial) -> int:
    """Returns how many epochs of a trial the study knows of."""
    return max(
        (*trial.intermediate_values, *map(int, trial.user_attrs.get(LEG, {}).get("values", ()))), default=0
    )


def begin_leg(trial: Trial, until: int) -> Leg:
    """Notes that a trial begins, or was promoted."""
    before = read_leg(trial) or Leg(until)
    return _write(trial, replace(before, until=until, paused=None))


def end_leg(trial: Trial, outcome: Mapping[str, Any], reached: Reached, span: Span) -> Leg:
    """Notes that a trial paused.

    Args:
        trial: It began a leg.
        outcome: What will be kept of it if it is never promoted.
        reached: What it has shown.
        span: When the leg began and ended.
    """
    leg = read_leg(trial)
    if leg is None:
        raise ValueError(f"trial {trial.number} has not begun a leg")
    return _write(trial, Leg(leg.until, {**leg.reached, leg.until: reached}, (*leg.spans, span), outcome))


def told_as_pruned(leg: Leg) -> Mapping[str, Any]:
    """Returns the outcome of a paused trial that is never promoted.

    What it breaks, it might have met if it had been trained on: it is not infeasible.
    """
    outcome = leg.paused or {}
    met = {name: value for name, value in outcome.get("constraints", {}).items() if value <= 0}
    return {**outcome, "constraints": met, "pruned": True}


def _write(trial: Trial, leg: Leg) -> Leg:
    values = {str(epoch): each.values for epoch, each in leg.reached.items()}
    constraints = {
        str(epoch): dict(each.constraints) for epoch, each in leg.reached.items() if each.constraints
    }
    record = {"until": leg.until, "values": values, "spans": leg.spans, "paused": leg.paused}
    record |= {"constraints": constraints} if constraints else {}
    trial.set_user_attr(LEG, record)
    return leg
