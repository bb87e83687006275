"""Whoever watches a search: the command line draws it, a test counts, a notebook may plot."""

from __future__ import annotations

from collections.abc import Mapping

from hpsearch.trial import Epoch, Value
from hpsearch.trial_view import TrialView


class Listener:
    """Sees a search as it goes. This one shows nothing: override what you want to see."""

    def on_start(self, study: str, planned: int | None, done: int) -> None:
        """The first trial is about to be asked for; `done` trials were finished before."""

    def on_trial_started(self, number: int, params: Mapping[str, Value]) -> None:
        """A trial's model stands."""

    def on_epoch(self, number: int, epoch: Epoch) -> None:
        """A trial finished an epoch."""

    def on_turn(self) -> None:
        """The driver took a turn, at least four times a second: whatever else is to be done meanwhile."""

    def on_trial_paused(self, number: int, epochs: int, values: Mapping[str, float]) -> None:
        """A trial stopped for now, after so many epochs; `values` are what it is compared by, by metric."""

    def on_trial_finished(self, trial: TrialView, best: TrialView | None) -> None:
        """A trial ended; `best` is the best complete one so far."""

    def on_message(self, text: str) -> None:
        """Something a person should know."""

    def on_full_disk(self, error: OSError) -> None:
        """The disk is full, and the search waits for room. By default, a message."""
        where = error.filename or "the study's folder"
        self.on_message(f"There is no room left on the disk ({where}): the search waits until there is.")


class Together(Listener):
    """Several listeners as one."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def on_start(self, study: str, planned: int | None, done: int) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_start(study, planned, done)

    def on_trial_started(self, number: int, params: Mapping[str, Value]) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_trial_started(number, params)

    def on_epoch(self, number: int, epoch: Epoch) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_epoch(number, epoch)

    def on_turn(self) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_turn()

    def on_trial_paused(self, number: int, epochs: int, values: Mapping[str, float]) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_trial_paused(number, epochs, values)

    def on_trial_finished(self, trial: TrialView, best: TrialView | None) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_trial_finished(trial, best)

    def on_message(self, text: str) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_message(text)

    def on_full_disk(self, error: OSError) -> None:
        """Tells all of them."""
        for listener in self._listeners:
            listener.on_full_disk(error)
