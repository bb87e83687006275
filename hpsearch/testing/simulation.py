"""Whole searches in seconds: the real driver, study and strategy, with learning curves in place of training.

    clock = VirtualClock()
    executor = SimulatedExecutor(curves, slots=8, clock=clock)
    Search(plan, study, executor, tracker, listener, now_s=clock).run()

A trial's epochs are looked up in its curve (`Curves`), and each takes as long as the curve says, on a clock
that jumps from event to event. Nothing runs beside the driver, so a search gives the same events in the same
order every time, with any number of slots. After Syne Tune's simulator (Salinas et al., 2022).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hpsearch.channel import Perform
from hpsearch.executors import Built, Event, Report, Started, Suggest
from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Failure, FailureKind, Job, Outcome, Result, TrialSpec, Value

Ask = Callable[[Parameter], Value]


@dataclass(frozen=True)
class Point:
    """One epoch of a learning curve."""

    metrics: Mapping[str, float]
    seconds: float = 1.0


class Curves(Protocol):
    """What a trial would measure, epoch by epoch, if it were trained."""

    def declare(self, ask: Ask) -> Mapping[str, Value]:
        """Declares the hyperparameters as the building of a model does; returns their values."""

    def curve(self, params: Mapping[str, Value]) -> Sequence[Point]:
        """Returns the whole learning curve of a trial."""


class VirtualClock:
    """Tells a time that passes only when it is told to."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class _Asked(Exception):  # noqa: N818  no error: the building stops here until there is an answer
    def __init__(self, parameter: Parameter) -> None:
        super().__init__(parameter.name)
        self.parameter = parameter


@dataclass
class _Job:
    spec: TrialSpec
    began_s: float
    values: dict[str, Value] = field(default_factory=dict)
    asked: str | None = None
    curve: Sequence[Point] = ()
    epochs: list[Epoch] = field(default_factory=list)

    def ask(self, parameter: Parameter) -> Value:
        if parameter.name in self.spec.params:
            return self.spec.params[parameter.name]
        if parameter.name not in self.values:
            raise _Asked(parameter)
        return self.values[parameter.name]


class SimulatedExecutor:
    """Plays trials from learning curves on a virtual clock.

    A trial that paused goes on from where it was, as one with a kept state does.

    Args:
        curves: Where epochs are looked up.
        slots: Trials at a time.
        clock: Moved on by `wait`.
        metric: The objective.
        maximize: Its direction.
        startup_s: What a trial takes before its first epoch, each time that it is submitted.
    """

    def __init__(
        self,
        curves: Curves,
        *,
        clock: VirtualClock,
        metric: str,
        slots: int = 1,
        maximize: bool = True,
        startup_s: float = 0.0,
    ) -> None:
        self.slots = slots
        self.trained = 0
        """Epochs trained so far, by all trials: the cost of the search."""
        self._curves = curves
        self._clock = clock
        self._metric = metric
        self._sign = 1.0 if maximize else -1.0
        self._startup_s = startup_s
        self._jobs: dict[int, _Job] = {}
        self._kept: dict[int, list[Epoch]] = {}
        self._now: deque[Event] = deque()
        self._later: list[tuple[float, int, int]] = []
        self._turn = 0

    def start(self, perform: Perform) -> None:
        """Does nothing: curves take the place of what would be performed."""

    def submit(self, key: int, job: Job, *, log: str, timeout_s: float | None = None) -> None:
        """Begins a trial."""
        assert isinstance(job, TrialSpec), "the simulator plays trials only"
        assert len(self._jobs) < self.slots, "no free slot"
        self._jobs[key] = _Job(job, self._clock.now_s)
        self._now.append(Event(key, Started(pid=0, slot=0)))
        self._build(key)

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what happens next; the clock jumps there."""
        if not self._now:
            if not self._later:
                self._clock.now_s += timeout_s
                return []
            self._clock.now_s, _, key = heapq.heappop(self._later)
            if key in self._jobs:
                self._end_epoch(key)
        events = list(self._now)
        self._now.clear()
        return events

    def answer(self, key: int, answer: Value) -> None:
        """Gives a trial the value it asked for, or tells it to go on or to stop."""
        job = self._jobs.get(key)
        if job is None:
            return
        if job.asked is not None:
            job.values[job.asked], job.asked = answer, None
            self._build(key)
        elif answer:
            self._go_on(key)
        else:
            self._finish(key, pruned=True)

    def cancel(self, key: int) -> None:
        """Stops a trial."""
        if self._jobs.pop(key, None) is not None:
            self._now.append(Event(key, Failure(FailureKind.INTERRUPTED, "the job was cancelled")))

    def close(self) -> None:
        """Forgets all trials."""
        self._jobs.clear()

    def _build(self, key: int) -> None:
        """Declares the hyperparameters from the first on, until one has no value yet."""
        job = self._jobs[key]
        try:
            job.values = dict(self._curves.declare(job.ask))
        except _Asked as asked:
            job.asked = asked.parameter.name
            self._now.append(Event(key, Suggest(asked.parameter)))
            return
        self._now.append(Event(key, Built(job.values)))
        job.curve = self._curves.curve(job.values)
        job.epochs = self._kept.pop(key, [])
        self._now.extend(Event(key, Report(epoch, awaits_answer=False)) for epoch in job.epochs)
        if job.epochs and self._pauses(job):
            self._finish(key, paused=True)
        else:
            self._later_on(key, self._startup_s)

    def _later_on(self, key: int, seconds: float = 0.0) -> None:
        job = self._jobs[key]
        at_s = self._clock.now_s + seconds + job.curve[len(job.epochs)].seconds
        self._turn += 1
        heapq.heappush(self._later, (at_s, self._turn, key))

    def _end_epoch(self, key: int) -> None:
        job = self._jobs[key]
        number = len(job.epochs) + 1
        epoch = Epoch(number, job.curve[number - 1].metrics, self._clock.now_s)
        job.epochs.append(epoch)
        self.trained += 1
        awaits = job.spec.prunable and number < len(job.curve)
        self._now.append(Event(key, Report(epoch, awaits)))
        if not awaits:
            self._go_on(key)

    def _go_on(self, key: int) -> None:
        job = self._jobs[key]
        if len(job.epochs) == len(job.curve):
            self._finish(key)
        elif self._pauses(job):
            self._finish(key, paused=True)
        else:
            self._later_on(key)

    def _pauses(self, job: _Job) -> bool:
        limit = job.spec.pause_after
        return limit is not None and limit <= len(job.epochs) < len(job.curve)

    def _finish(self, key: int, *, pruned: bool = False, paused: bool = False) -> None:
        job = self._jobs.pop(key)
        if paused:
            self._kept[key] = job.epochs
        best = max(job.epochs, key=lambda epoch: self._sign * epoch.metrics[self._metric])
        duration_s = self._clock.now_s - job.began_s
        outcome: Outcome = Result(
            job.values, best.metrics, len(job.epochs), best.number, duration_s, pruned=pruned, paused=paused
        )
        self._now.append(Event(key, outcome))
