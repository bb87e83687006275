"""The callback at the end of every epoch: validate, remember the best, report, stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.training.snapshot import Snapshot
from hpsearch.trial import Epoch

if TYPE_CHECKING:
    from hpsearch.channel import Channel
    from hpsearch.training.course import Course
    from hpsearch.training.outputs import Judged
    from hpsearch.training.validation import Validate


Keep = Callable[[keras.Model, Epoch], None]
"""Keeps a model as it is after an epoch."""


class PrunedError(BaseException):
    """The driver wants no more of this trial. Not an `Exception`: a user's `fit` must not swallow it."""


class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Watches a trial train. It must come before other callbacks, which then see all metrics.

    Works in `model.fit` and in a loop of the user's own that calls `set_model` and `on_epoch_end`.

    Args:
        model: The model, until `set_model` gives another.
        course: Receives the epochs.
        validate: Adds the validation's metrics to an epoch's.
        channel: The way to the driver.
        prunable: Whether the driver's answer must be awaited after each epoch.
        keep: Keeps models after epochs, or None.
        pause_after: The epoch at whose end the trial pauses, or None.
        reporting: Their `on_epoch_end` adds to an epoch's metrics first. They are in nobody's list of
            callbacks: a loop of the user's own may know the first alone, which is this one.
    """

    def __init__(
        self,
        model: keras.Model,
        course: Course,
        validate: Validate,
        channel: Channel,
        *,
        prunable: bool,
        keep: Keep | None = None,
        pause_after: int | None = None,
        reporting: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        self.course = course
        self.snapshot: Snapshot | None = None
        """Of the best epoch."""
        self._judged: tuple[Judged, ...] | None = ()
        self.pruned = False
        """Whether the driver answered *prune*."""
        self.paused = False
        """Whether the trial has come to where it pauses, and has not ended there."""
        self._validate = validate
        self._channel = channel
        self._prunable = prunable
        self._keep = keep
        self._pause_after = pause_after
        self._reporting = reporting
        self.set_model(model)

    def best(self) -> tuple[keras.Model, tuple[Judged, ...]]:
        """Makes the model that of the best epoch; returns it, and its validation predictions."""
        model = self.snapshot.restore() if self.snapshot else self.model
        if self._judged is None:
            self._judged = self._validate(model, {})
        return model, self._judged

    def resume(self, epochs: Sequence[Epoch], best: int, snapshot: Snapshot) -> None:
        """Goes on after the epochs of an interrupted run, and reports them again.

        Args:
            epochs: As they were reported.
            best: Number of the best.
            snapshot: Of the best.
        """
        self.course.resume(epochs, best)
        self.snapshot, self._judged = snapshot, None
        self.paused = len(epochs) == self._pause_after
        for epoch in epochs:
            self._channel.report(epoch, await_answer=False)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts early stopping's count."""
        self.course.begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes an epoch in. Its number is our own count, as a user may call `fit` twice.

        Raises:
            PrunedError: The driver answered *prune*, or the trial pauses, and the user's own code trains,
                which may look at nothing else.
            NotFiniteError: The loss or an objective is NaN or infinite.
            ObjectiveError: An objective is not reported.
        """
        logs = {} if logs is None else logs
        for each in self._reporting:
            each.set_model(self.model)
            each.on_epoch_end(epoch, logs)
        metrics = scalars(logs)
        judged = self._validate(self.model, metrics)
        logs.update({name: value for name, value in metrics.items() if name not in logs})
        self.add(metrics, judged)
        if self.pruned or self.course.exhausted():
            self.model.stop_training = True
            return
        self.paused = len(self.course.epochs) == self._pause_after and self.course.has_objectives
        if self.paused and self.course.users_own:
            raise PrunedError

    def catch_up(self, rows: Sequence[dict[str, float]]) -> None:
        """Takes in the epochs of a `fit` that did not pass this callback on, the model being at the last."""
        for metrics in rows[:-1]:
            self.add(metrics, ())
        last = dict(rows[-1]) if rows else {}
        judged = self._validate(self.model, last)
        self.add(last, judged)

    def add(self, metrics: dict[str, float], judged: tuple[Judged, ...]) -> None:
        """Takes the metrics of an epoch in, and reports it. Raises as `on_epoch_end` does."""
        reported = self.course.add(metrics)
        if self.course.best is reported:
            self.snapshot, self._judged = Snapshot.take(self.model), judged
        if self._keep is not None:
            self._keep(self.model, reported)
        self.pruned = not self._channel.report(reported, await_answer=self._may_stop(reported))
        if self.pruned and self.course.users_own:
            raise PrunedError

    def _may_stop(self, epoch: Epoch) -> bool:
        """Whether to await *keep* or *prune*: not after the last epoch, when there is nothing to save."""
        epochs = (self.params or {}).get("epochs", math.inf)
        return self._prunable and self.course.lead in epoch.metrics and epoch.number < epochs


def scalars(logs: Mapping[str, Any]) -> dict[str, float]:
    """Returns the entries of `logs` that are numbers, or tensors of one, as floats."""
    found = {}
    for name, value in logs.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError):  # something the user's loop passes on to other callbacks
            continue
    return found
