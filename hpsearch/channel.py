"""What a running job sees of the driver. Executors implement it, training speaks through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Job, Outcome, Value


class Channel(Protocol):
    """The way from a job to the driver."""

    def report(self, epoch: Epoch, *, await_answer: bool) -> bool:
        """Sends an epoch. Returns False if the job should stop now (always True without an answer)."""

    def suggest(self, parameter: Parameter) -> Value:
        """Asks the driver for a hyperparameter's value."""

    def built(self, params: Mapping[str, Value]) -> None:
        """Tells the driver that the model stands, and the hyperparameters it was built with."""


Perform = Callable[[Job, Channel], Outcome]
"""What executors run. It returns a `Failure` rather than raise."""
