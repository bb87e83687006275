"""A place for one job at a time, and the worker process that stands in it.

worker:  starting ── Ready ──→ idle ── Task ──→ busy ── Outcome ──→ idle, or retired
         each of them ends in death, and a fresh worker takes its place
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hpsearch.errors import SearchError, fault
from hpsearch.executors import Event, Started
from hpsearch.executors.messages import Ready, Said, Task
from hpsearch.executors.process import WorkerProcess, tail
from hpsearch.trial import Failure, FailureKind, Job, Outcome


@dataclass(frozen=True)
class WorkerLimits:
    """When a worker process is replaced, between jobs, and when it is given up."""

    max_jobs: int = 200
    max_growth_bytes: int = 2 * 1024**3
    """Of its resident memory since its first job; TensorFlow does not give all back after a trial."""
    start_timeout_s: float = 300.0
    max_failed_starts: int = 3
    """Deaths in a row, in one slot, before a job could be given to the worker."""
    exit_timeout_s: float = 2.0
    """How long a worker may take to exit when asked, and again when terminated."""


@dataclass
class Running:
    """The job in a slot, which its worker has begun once `started`."""

    key: int
    job: Job
    log: str
    timeout_s: float | None
    started: bool = False
    log_start: int = 0
    deadline_s: float = float("inf")


class Slot:
    """Gives jobs to its worker, and whatever happens to that, one outcome to each job.

    Args:
        index: From 0.
        spawn: Starts a worker process; raises `SearchError` if the system refuses.
        emit: Receives the events.
        limits: When the worker is replaced.
    """

    def __init__(
        self,
        index: int,
        spawn: Callable[[], WorkerProcess],
        emit: Callable[[Event], None],
        limits: WorkerLimits,
    ) -> None:
        self._index = index
        self._spawn = spawn
        self._emit = emit
        self._limits = limits
        self._failed_starts = 0
        self._leaving: list[tuple[WorkerProcess, float]] = []
        self.running: Running | None = None
        self.error: SearchError | None = None
        self.worker = spawn()

    @property
    def workers(self) -> list[WorkerProcess]:
        """Its worker, and former ones that have not exited yet."""
        return [self.worker, *(worker for worker, _ in self._leaving)]

    def take(self, running: Running) -> None:
        """Runs a job as soon as the worker is ready; the slot must be free."""
        self.running = running
        self._begin()

    def receive(self) -> None:
        """Takes one message of the worker, or its death."""
        try:
            message = self.worker.receive()
        except EOFError:
            self._on_death()
        except pickle.UnpicklingError as error:
            cause = f"what the job sent cannot be read by the driver: {error}"
            self.stop_job(Failure(FailureKind.ERROR, cause))
        else:
            if message is not None:
                self._on_message(message)

    def stop_job(self, failure: Failure) -> None:
        """Kills the job's worker; what it had sent before still counts, be it the outcome."""
        running, worker = self.running, self.worker
        if running is not None and running.started:
            worker.kill()
            for message in worker.remaining():
                self._on_job_message(message)
            failure = replace(failure, detail=tail(running.log, running.log_start))
            self._replace()
        self._finish(failure)

    def enforce_limits(self) -> None:
        """Stops a job, a start or an exit that takes too long."""
        now_s = time.monotonic()
        running, worker = self.running, self.worker
        if running is not None and now_s >= running.deadline_s:
            cause = f"the job ran longer than its limit of {running.timeout_s:g} s"
            self.stop_job(Failure(FailureKind.TIMEOUT, cause))
        elif now_s >= self._start_deadline_s():
            cause = f"it was not ready after {self._limits.start_timeout_s:g} s"
            self._on_failed_start(Failure(FailureKind.TIMEOUT, cause, worker.output()))
        for leaving in list(self._leaving):
            worker, until_s = leaving
            if now_s >= until_s:
                worker.kill()
            if worker.exited():
                self._leaving.remove(leaving)

    def deadlines(self) -> Iterator[float]:
        """Yields when `enforce_limits` will have something to do."""
        if self.running is not None:
            yield self.running.deadline_s
        yield self._start_deadline_s()
        yield from (until_s for _, until_s in self._leaving)

    def _start_deadline_s(self) -> float:
        starting = self.error is None and not self.worker.ready
        return self.worker.started_s + self._limits.start_timeout_s if starting else float("inf")

    def _begin(self) -> None:
        running, worker = self.running, self.worker
        if running is None or running.started or not worker.ready:
            return
        if worker.warm_up_failure is not None:
            self._finish(worker.warm_up_failure)
            self._retire()
            return
        running.started = True
        running.log_start = os.path.getsize(running.log) if os.path.exists(running.log) else 0
        if running.timeout_s is not None:
            running.deadline_s = time.monotonic() + running.timeout_s
        self._emit(Event(running.key, Started(worker.pid, self._index)))
        worker.send(Task(running.job, running.log))

    def _on_message(self, message: Said) -> None:
        worker, limits = self.worker, self._limits
        if isinstance(message, Ready):
            worker.ready, worker.warm_up_failure = True, message.failure
            self._begin()
            return
        self._on_job_message(message)
        if isinstance(message, Outcome):
            self._failed_starts = 0
            worker.jobs_done += 1
            if worker.jobs_done >= limits.max_jobs or worker.grown_bytes() > limits.max_growth_bytes:
                self._retire()

    def _on_job_message(self, message: Said) -> None:
        if isinstance(message, Outcome):
            self._finish(message)
        elif self.running is not None and not isinstance(message, Ready):
            self._emit(Event(self.running.key, message))

    def _finish(self, outcome: Outcome) -> None:
        """Ends the job: the only place where an outcome becomes an event."""
        if self.running is not None:
            self._emit(Event(self.running.key, outcome))
            self.running = None

    def _on_death(self) -> None:
        running, worker = self.running, self.worker
        if running is not None and running.started:
            self._finish(worker.explain_death(running.log, running.log_start))
            worker.kill()  # its children; itself, should it have closed the connection only
            self._replace()
        else:
            self._on_failed_start(worker.explain_death())

    def _on_failed_start(self, failure: Failure) -> None:
        """Tries again, up to a limit: what is wrong with one worker is mostly wrong with the next."""
        self.worker.kill()
        self._failed_starts += 1
        if self._failed_starts < self._limits.max_failed_starts:
            self._replace()
            return
        message = fault(
            "executor",
            "worker processes die before they can take a job",
            received=f"{self._failed_starts} deaths in a row; the last time, {failure.cause}",
            advice="The end of its output:" if failure.detail else None,
        )
        self.error = SearchError(f"{message}\n{failure.detail}".rstrip())

    def _retire(self) -> None:
        self.worker.ask_to_exit()
        self._replace()

    def _replace(self) -> None:
        """Puts a fresh worker in its place; the old one gets its time to exit."""
        self._leaving.append((self.worker, time.monotonic() + self._limits.exit_timeout_s))
        try:
            self.worker = self._spawn()
        except SearchError as error:
            self.error = error
