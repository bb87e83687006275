"""The paused trials of a search: who goes on, and how those end that never do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.legs import (
    Leg,
    Promotion,
    Reached,
    Schedule,
    Span,
    begin_leg,
    end_leg,
    read_leg,
    told_as_pruned,
)
from hpsearch.trial_record import TRIAL_OUTCOME
from hpsearch.unfinished import Waiting

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class Promotions:
    """Keeps the paused trials, and asks the schedule.

    Args:
        study: Of the search.
        schedule: Says who goes on. Default: trials train without a pause.
    """

    def __init__(self, study: optuna.Study, schedule: Schedule | None = None) -> None:
        self._study = study
        self._schedule = schedule
        self._paused: dict[int, Waiting] = {}
        self._asked = False
        """Whether the schedule was asked, in vain, since a trial ended or paused."""

    def __len__(self) -> int:
        return len(self._paused)

    @property
    def epochs(self) -> int:
        """Epochs that the paused trials were trained."""
        return sum(paused.reported for paused in self._paused.values())

    def recall(self, unfinished: Waiting) -> bool:
        """Takes up a trial of an earlier run; returns whether it was paused."""
        leg = read_leg(unfinished.trial)
        paused = self._schedule is not None and leg is not None and leg.paused is not None
        if paused:
            self._paused[unfinished.trial.number] = unfinished
        return paused

    def leg(self, trial: optuna.Trial) -> Leg | None:
        """Returns the leg that a trial is about to train, its first if it is new; None: all of it."""
        if self._schedule is None:
            return None
        return read_leg(trial) or begin_leg(trial, self._schedule.first(trial.number))

    def pause(self, trial: Waiting, outcome: Mapping[str, Any], reached: Reached, span: Span) -> None:
        """Takes in a trial at the end of its leg; the rest is as in `end_leg`."""
        end_leg(trial.trial, outcome, reached, span)
        self._paused[trial.trial.number] = trial

    def ask_again(self) -> None:
        """Notes that a trial ended or paused, so that another may deserve to go on."""
        self._asked = False

    def promote(self) -> Waiting | None:
        """Returns a paused trial that goes on, its next leg begun; None if none deserves it."""
        if self._schedule is None or self._asked:
            return None
        promotion = self._schedule.promote(self._trials)
        self._asked = promotion is None
        return self._go_on(promotion)

    def rescue(self) -> Waiting | None:
        """Returns the one that goes on so that the search ends with a model; None if none is left."""
        return None if self._schedule is None else self._go_on(self._schedule.rescue(self._trials))

    def end(self) -> Iterator[tuple[optuna.Trial, FrozenTrial]]:
        """Ends the trials that were never promoted, as pruned; yields each as it was and as it is."""
        from optuna.trial import TrialState

        for number in sorted(self._paused):
            trial = self._paused.pop(number).trial
            if (leg := read_leg(trial)) is not None:
                trial.set_user_attr(TRIAL_OUTCOME, told_as_pruned(leg))
                yield trial, self._study.tell(trial, state=TrialState.PRUNED)

    @property
    def _trials(self) -> Sequence[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _go_on(self, promotion: Promotion | None) -> Waiting | None:
        if promotion is None:
            return None
        begin_leg(self._paused[promotion.trial].trial, promotion.until)
        return self._paused.pop(promotion.trial)
