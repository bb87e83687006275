"""Trials in processes of this machine: long-lived, replaced when they die, killed when they must.

    submit ⇒ Slot ⇒ WorkerProcess ⇒ worker.main ⇒ perform(job, channel) ⇒ events ⇒ wait

The driver's side is one thread and sleeps in `connection.wait`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Pipe
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from hpsearch.channel import Perform
from hpsearch.errors import SearchError, fault
from hpsearch.executors import Event, Executor, payload
from hpsearch.executors.forks import ForkServers, can_fork
from hpsearch.executors.messages import Answer
from hpsearch.executors.placement import environments
from hpsearch.executors.process import Setting, WorkerProcess, spawn
from hpsearch.executors.signals import deferred_signals
from hpsearch.executors.slot import Running, Slot, WorkerLimits
from hpsearch.trial import Failure, FailureKind, Job, Value

if TYPE_CHECKING:
    from hpsearch.experiment import ResourcesSection


def create(
    resources: ResourcesSection,
    *,
    warm_up: Callable[[], object] | None = None,
    workdir: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Executor:
    """Returns a `LocalExecutor` with the experiment's slots, cores and GPUs; its workers see every folder."""
    del workdir
    return LocalExecutor(
        resources.slots,
        cores_per_trial=resources.cores_per_trial,
        gpus_per_trial=resources.gpus_per_trial,
        trials_per_gpu=resources.trials_per_gpu,
        warm_up=warm_up,
        environment=environment,
    )


class LocalExecutor:
    """Runs each job in one of `slots` worker processes.

    Args:
        slots: Jobs at once. Default: as many as the GPUs serve; without a GPU as many as the cores allow.
        cores_per_trial: Threads of each worker's numerical libraries. Default: 1; with GPUs, the worker's
            part of the cores.
        gpus_per_trial: GPUs that each worker sees, where there are any.
        trials_per_gpu: Workers that share a GPU, each with its part of the memory.
        warm_up: Called before the first job, in each worker or in the process that they are copies of. If it
            raises, that job fails.
        environment: Variables that workers have beside those of this process. Default: none.
        limits: When workers are replaced.
        fork: Whether workers are copies of one process that has warmed up. Default: on Linux, without GPUs,
            whose libraries may not be copied.
        gives_way: Whether workers take only what no other process wants.

    Raises:
        UsageError: A number is below 1, or GPUs that cannot be given out as asked for.
    """

    def __init__(
        self,
        slots: int | None = None,
        *,
        cores_per_trial: int | None = None,
        gpus_per_trial: int = 1,
        trials_per_gpu: int = 1,
        warm_up: Callable[[], object] | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        limits: WorkerLimits | None = None,
        fork: bool | None = None,
        gives_way: bool = False,
    ) -> None:
        self._additions = environments(
            slots,
            cores_per_trial,
            gpus_per_trial=gpus_per_trial,
            trials_per_gpu=trials_per_gpu,
            environment={**os.environ, **environment},
        )
        self.slots = len(self._additions)
        on_gpus = "CUDA_VISIBLE_DEVICES" in self._additions[0]
        self._fork = can_fork() and not on_gpus if fork is None else fork
        self._warm_up = warm_up
        self._environment = environment
        self._gives_way = gives_way
        self._limits = limits or WorkerLimits()
        self._slots: list[Slot] = []
        self._events: list[Event] = []
        self._alarm, self._bell = Pipe(duplex=False)
        self._resources = ExitStack()

    def start(self, perform: Perform) -> None:
        """Starts all workers and returns; they load `perform` and warm up meanwhile.

        Raises:
            UsageError: Something that `perform` holds cannot be pickled.
            SearchError: The system refuses to start processes, or there is no room for a temporary file.
        """
        if self._slots:
            raise SearchError(fault("executor", "it has been started already"))
        file = self._resources.enter_context(_temporary_file())
        shared = self._resources.enter_context(_temporary_file())
        payload.write(file, {"warm_up": self._warm_up, "perform": perform})
        self.start_from(file, shared)

    def start_beside(self, other: LocalExecutor) -> None:
        """Starts all workers with what the workers of another executor have: the function, and their data.

        Args:
            other: Started, and closed after this one.

        Raises:
            SearchError: The system refuses to start processes.
        """
        self.start_from(*other._files)

    def start_from(self, file: IO[bytes], shared: IO[bytes], *, lasting_thread: bool = False) -> None:
        """Starts all workers with what `payload.write` has written.

        Args:
            file: Stays open until `close`.
            shared: So does this one, through which workers share their data; empty at first.
            lasting_thread: Whether the one thread that uses the executor lives as long as this process,
                though it is not the main thread. Workers then end with it even while they are stuck in C.

        Raises:
            SearchError: The system refuses to start processes.
        """
        self._files = file, shared
        # A worker started later is like the first.
        setting = Setting(
            {**os.environ, **self._environment},
            file.fileno(),
            shared.fileno(),
            os.getcwd(),
            lasting_thread,
            self._gives_way,
        )
        settings = [
            replace(setting, environment={**setting.environment, **additions})
            for additions in self._additions
        ]
        forks = ForkServers(settings[0]) if self._fork else None
        if forks:
            self._resources.callback(forks.close)
        with deferred_signals():
            for index, each in enumerate(settings):
                spawn_worker = partial(WorkerProcess, forks.fork if forks else partial(spawn, each))
                self._slots.append(Slot(index, spawn_worker, self._emit, self._limits))

    def submit(self, key: int, job: Job, *, log: str, timeout_s: float | None = None) -> None:
        """Runs a job in a free slot; its standard output and error are appended to the file `log`.

        Raises:
            SearchError: There is no free slot, or a job with this key is running.
        """
        if self._find(key) is not None:
            raise SearchError(fault("executor", "a job with this key is running", received=key))
        free = [slot for slot in self._slots if slot.running is None]
        if not free:
            running = len(self._slots)
            raise SearchError(
                fault("executor", "no free slot", expected=f"fewer than {self.slots} jobs", received=running)
            )
        slot = next((slot for slot in free if slot.worker.ready), free[0])
        with deferred_signals():
            slot.take(Running(key, job, log, timeout_s))

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what happened, waiting at most `timeout_s` seconds for the first event, or until `wake`.

        Raises:
            SearchError: Workers cannot be started.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            with deferred_signals():
                for slot in self._slots:
                    slot.enforce_limits()
            if self._events:
                break
            for slot in self._slots:
                if slot.error is not None:
                    raise slot.error
            watched = [self._alarm, *(item for slot in self._slots for item in slot.worker.watched)]
            next_s = min([until_s, *(each for slot in self._slots for each in slot.deadlines())])
            ready = wait_for(watched, max(0.0, next_s - time.monotonic()))  # Ctrl-C ends it here
            with deferred_signals():
                for slot in self._slots:
                    if any(item in ready for item in slot.worker.watched):
                        slot.receive()
                if self._alarm in ready:
                    self._alarm.recv_bytes()
                    break
            if not self._events and time.monotonic() >= until_s:
                break
        # No call between here and the caller: a signal's handler cannot come between and lose events.
        events, self._events = self._events, []
        return events

    def wake(self) -> None:
        """Ends the `wait` of another thread, or else the next one; the only method that others may call."""
        self._bell.send_bytes(b"")

    def answer(self, key: int, answer: Value) -> None:
        """Answers the job's `Suggest` or `Report`; nothing happens if the job is over."""
        slot = self._find(key)
        if slot is not None:
            with deferred_signals():
                slot.worker.send(Answer(answer))

    def cancel(self, key: int) -> None:
        """Stops a job now; its outcome is a `Failure` of kind `interrupted`, unless it is over already."""
        slot = self._find(key)
        if slot is not None:
            with deferred_signals():
                slot.stop_job(Failure(FailureKind.INTERRUPTED, "the job was cancelled"))

    def close(self) -> None:
        """Stops all workers: asks those that are idle, terminates the others, kills what is left."""
        idle = [slot.worker for slot in self._slots if slot.running is None and slot.worker.ready]
        everyone = [worker for slot in self._slots for worker in slot.workers]
        workers = [worker for worker in everyone if worker.pid]
        try:
            for worker in workers:
                if worker in idle:
                    worker.ask_to_exit()
                else:
                    worker.terminate()
            for end in (WorkerProcess.terminate, WorkerProcess.kill):
                workers = self._await_exits(workers)
                for worker in workers:
                    end(worker)
        except BaseException:  # a second Ctrl-C: no more patience
            for worker in workers:
                worker.kill()
            raise
        finally:
            self._await_exits(workers)
            for worker in everyone:
                if not worker.pid:  # only now: the fork server had to see the others end
                    worker.kill()
            self._await_exits([worker for worker in everyone if not worker.pid])
            self._slots.clear()
            self._resources.close()

    def _await_exits(self, workers: list[WorkerProcess]) -> list[WorkerProcess]:
        """Returns those still there when the time to exit is over."""
        until_s = time.monotonic() + self._limits.exit_timeout_s
        return [worker for worker in workers if not worker.exited(max(0.0, until_s - time.monotonic()))]

    def _find(self, key: int) -> Slot | None:
        running = ((slot, slot.running) for slot in self._slots)
        return next((slot for slot, job in running if job is not None and job.key == key), None)

    def _emit(self, event: Event) -> None:
        self._events.append(event)


def _temporary_file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="hpsearch-")
