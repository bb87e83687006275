"""Trials in this process: for debugging, with breakpoints, prints and plain tracebacks.

A job needs answers in its middle while the driver sits in `wait`, so it runs in a thread, one at a
time. Its output stays where the driver's goes; `log` receives only the traceback of a failure.
"""

from __future__ import annotations

import ctypes
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from hpsearch.channel import Perform
from hpsearch.errors import SearchError, UsageError, fault
from hpsearch.executors import Built, Event, Executor, Report, Started, Suggest
from hpsearch.executors.outcome import outcome_of
from hpsearch.executors.signals import deferred_signals
from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Failure, FailureKind, Job, Outcome, Value

if TYPE_CHECKING:
    from hpsearch.experiment import ResourcesSection

STOP_S = 2.0
"""How long `cancel` waits for the job's thread to end."""


def create(
    resources: ResourcesSection,
    *,
    warm_up: Callable[[], object] | None = None,
    workdir: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Executor:
    """Returns an `InlineExecutor`; `warm_up` is not called, the first job imports what it needs.

    Raises:
        UsageError: More than one slot: Keras must not train in two threads.
    """
    del warm_up, workdir
    if resources.slots not in (None, 1):
        raise UsageError(
            fault(
                "resources.slots",
                "the inline executor runs one trial at a time",
                expected="1, or none given",
                received=resources.slots,
                advice="Use `resources.executor: local` for several.",
            )
        )
    return InlineExecutor(environment)


class _Stopped(BaseException):
    """Ends a job's thread; no `except Exception` of the user's catches it."""


class _Job:
    """A job in its thread, and the `Channel` it sees."""

    def __init__(self, key: int, log: str, deadline_s: float, post: Callable[[_Job, Said], None]) -> None:
        self.key = key
        self.log = log
        self.deadline_s = deadline_s
        self.over = False
        self.answers: queue.SimpleQueue[Value] = queue.SimpleQueue()
        self._post = post

    def run(self, perform: Perform, job: Job) -> None:
        """The thread's body."""
        try:
            self._say(outcome_of(perform, job, self))
        except _Stopped:  # between the end of the job and that of its thread
            return

    def report(self, epoch: Epoch, *, await_answer: bool) -> bool:
        self._say(Report(epoch, await_answer))
        return bool(self._answer()) if await_answer else True

    def suggest(self, parameter: Parameter) -> Value:
        self._say(Suggest(parameter))
        return self._answer()

    def built(self, params: Mapping[str, Value]) -> None:
        self._say(Built(params))

    def _say(self, said: Said) -> None:
        if self.over:
            raise _Stopped
        self._post(self, said)

    def _answer(self) -> Value:
        answer = self.answers.get()
        if self.over:
            raise _Stopped
        return answer


Said = Started | Suggest | Built | Report | Outcome


class InlineExecutor:
    """Runs one job at a time in a thread of this process.

    A job that must stop (`cancel`, its time limit) gets an exception at its next Python instruction; one
    that sleeps in C code meanwhile is left behind.

    Args:
        environment: Variables that `start` gives this process, which keeps them. Default: none.
    """

    slots = 1

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._environment = environment
        self._perform: Perform | None = None
        self._running: _Job | None = None
        self._thread: threading.Thread | None = None
        self._said: queue.SimpleQueue[tuple[_Job, Said]] = queue.SimpleQueue()
        self._wake_up: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._events: list[Event] = []

    def start(self, perform: Perform) -> None:
        """Keeps `perform`; it is not pickled."""
        os.environ.update(self._environment)
        self._perform = perform

    def submit(self, key: int, job: Job, *, log: str, timeout_s: float | None = None) -> None:
        """Starts the job.

        Raises:
            SearchError: `start` has not been called, or a job is running.
        """
        if self._perform is None:
            raise SearchError(fault("executor", "it has not been started"))
        if self._running is not None:
            raise SearchError(fault("executor", "no free slot", expected="fewer than 1 jobs", received=1))
        deadline_s = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        self._running = _Job(key, log, deadline_s, self._post)
        self._events.append(Event(key, Started(os.getpid(), 0)))
        self._thread = threading.Thread(
            target=self._running.run, args=(self._perform, job), name=f"job-{key}", daemon=True
        )
        self._thread.start()

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what happened, waiting at most `timeout_s` seconds for the first event."""
        until_s = time.monotonic() + timeout_s
        while True:
            with deferred_signals():
                self._collect()
                running = self._running
                if running is not None and time.monotonic() >= running.deadline_s:
                    self._stop(FailureKind.TIMEOUT, "the job ran longer than its limit")
            now_s = time.monotonic()
            if self._events or now_s >= until_s:
                break
            next_s = until_s if running is None else min(until_s, running.deadline_s)
            try:
                self._wake_up.get(timeout=max(0.0, next_s - now_s))  # Ctrl-C ends it here
            except queue.Empty:
                continue
        # No call between here and the caller: a signal's handler cannot come between and lose events.
        events, self._events = self._events, []
        return events

    def answer(self, key: int, answer: Value) -> None:
        """Answers the job's `Suggest` or `Report`; nothing happens if the job is over."""
        if self._running is not None and self._running.key == key:
            self._running.answers.put(answer)

    def cancel(self, key: int) -> None:
        """Stops a job; its outcome is a `Failure` of kind `interrupted`, unless it is over already."""
        if self._running is not None and self._running.key == key:
            with deferred_signals():
                self._collect()
                self._stop(FailureKind.INTERRUPTED, "the job was cancelled")

    def close(self) -> None:
        """Stops the running job, if any."""
        self._stop(FailureKind.INTERRUPTED, "the executor was closed")

    def _post(self, job: _Job, said: Said) -> None:
        """Called in the job's thread; each step is one C call, which no `_Stopped` can tear."""
        self._said.put((job, said))
        self._wake_up.put(None)

    def _collect(self) -> None:
        while not self._said.empty():
            job, said = self._said.get()
            if not job.over:
                self._events.append(Event(job.key, said))
                if isinstance(said, Outcome):
                    job.over = True
                    self._running = None
                    if isinstance(said, Failure):
                        _show(said, job.log)

    def _stop(self, kind: FailureKind, cause: str) -> None:
        job, thread = self._running, self._thread
        if job is None or thread is None or thread.ident is None:
            return
        job.over = True
        job.answers.put(False)  # wakes it, should it wait for one
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_Stopped))
        self._running = None
        self._events.append(Event(job.key, Failure(kind, cause)))
        thread.join(STOP_S)


def _show(failure: Failure, log: str) -> None:
    text = failure.detail or f"{failure.cause}\n"
    sys.stderr.write(text)
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        sys.stderr.write(f"{log}: {error}\n")
