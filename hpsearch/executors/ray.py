"""Trials on the machines of a Ray cluster, or on this one: an actor a slot.

    submit ⇒ RaySlot ⇒ Host (an actor) ⇒ LocalExecutor ⇒ a worker process ⇒ events ⇒ RaySlot ⇒ wait

The driver's side is one thread and sleeps until an actor has something to say. Jobs wait here until an actor
stands: so a node that is lost, or whose cores others use, holds up no job that another node could run.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from importlib.util import find_spec
from operator import methodcaller
from pathlib import Path
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from hpsearch.channel import Perform
from hpsearch.errors import SearchError, UsageError, fault
from hpsearch.executors import Event, Executor, payload
from hpsearch.executors.placement import usable_cores
from hpsearch.executors.signals import deferred_signals
from hpsearch.executors.slot import WorkerLimits
from hpsearch.trial import Failure, FailureKind, Job, Value

if TYPE_CHECKING:
    from hpsearch.executors.ray_host import Said
    from hpsearch.executors.ray_slot import RaySlot, Submitted
    from hpsearch.experiment import ResourcesSection

CLOSE_S = 2.0
"""How long `close` waits for the actors beyond what their workers may take to exit."""


def create(
    resources: ResourcesSection,
    *,
    warm_up: Callable[[], object] | None = None,
    workdir: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Executor:
    """Returns a `RayExecutor`.

    Raises:
        UsageError: Ray is not installed.
    """
    if find_spec("ray") is None:
        advice = "Run `pip install 'hpsearch[ray]'`."
        raise UsageError(fault("resources.executor", "`ray` needs the package Ray", advice=advice))
    return RayExecutor(resources, warm_up=warm_up, workdir=workdir, environment=environment)


class RayExecutor:
    """Runs each job in a worker process beside one of `slots` actors, each with its own cores and GPUs.

    `slots` does not count those that were lost, until Ray has given them another place. The cluster is that
    which this process is connected to already, or that of `resources.address`; without an address one is
    started on this machine, and stopped by `close`.

    Args:
        resources: `address`, `cores_per_trial`, `gpus_per_trial`, `trials_per_gpu`, and `slots`, by default
            as many as the cluster has room for.
        warm_up: Called once in each worker process before its first job. If it raises, that job fails.
        workdir: A folder that every node must see by this path; not checked where it does not exist yet.
        environment: Variables that worker processes have beside some of this process's. Default: none.
        limits: When worker processes are replaced, and how long jobs wait for a first actor.
    """

    def __init__(
        self,
        resources: ResourcesSection,
        *,
        warm_up: Callable[[], object] | None = None,
        workdir: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        limits: WorkerLimits | None = None,
    ) -> None:
        self.slots = resources.slots or 1
        self._wanted = resources
        self._warm_up = warm_up
        self._workdir = workdir
        self._environment = environment
        self._limits = limits or WorkerLimits()
        self._slots: list[RaySlot] = []
        self._waiting: deque[Submitted] = deque()
        self._events: list[Event] = []
        self._heard: SimpleQueue[tuple[RaySlot, Any, Future[list[Said]]]] = SimpleQueue()
        self._wake_up: SimpleQueue[None] = SimpleQueue()
        self._stood_s = 0.0
        self._demand = ""
        self._closing = ExitStack()

    def start(self, perform: Perform) -> None:
        """Connects to Ray, asks for the actors and returns; they load `perform` and warm up meanwhile.

        Raises:
            UsageError: Something that `perform` holds cannot be pickled, or the cluster cannot be joined or
                has no room for a slot.
            SearchError: Ray does not start, or there is no room for what `perform` holds.
        """
        if self._slots:
            raise SearchError(fault("executor", "it has been started already"))
        with tempfile.TemporaryFile(prefix="hpsearch-") as file:
            payload.write(file, {"warm_up": self._warm_up, "perform": perform})
            self._connect(file.tell())
            self._open_slots(file)
        self.slots, self._stood_s = len(self._slots), time.monotonic()

    def _connect(self, payload_bytes: int) -> None:
        import ray

        from hpsearch.executors import ray_cluster

        if ray.is_initialized():
            return
        if self._wanted.address is not None:
            ray_cluster.join(self._wanted.address)
        else:
            cpus = max(usable_cores(), (self._wanted.slots or 1) * self._wanted.cores)
            ray_cluster.start(cpus, payload_bytes)
        self._closing.callback(ray.shutdown)

    def _open_slots(self, file: IO[bytes]) -> None:
        import ray

        from hpsearch.executors import ray_cluster
        from hpsearch.executors.ray_host import LISTEN, ORDER, Host, Settings
        from hpsearch.executors.ray_slot import RaySlot

        wanted, nodes = self._wanted, ray_cluster.living_nodes()
        demand = ray_cluster.demand(nodes, wanted)
        count = wanted.slots or ray_cluster.room(nodes, demand)
        actors = ray.remote(
            num_cpus=demand.cpus,
            num_gpus=demand.gpus,
            max_restarts=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={LISTEN: 1, ORDER: 1},
        )(Host)
        settings = Settings.of_driver(
            self._environment,
            cores_per_trial=int(demand.cpus),
            gpus_per_trial=wanted.gpus_per_trial,
            trials_per_gpu=wanted.trials_per_gpu,
            shares_gpu=0 < demand.gpus < 1,
            witness=self._witness(),
            shared=f"hpsearch-{uuid.uuid4().hex}",
            limits=self._limits,
        )
        spawn = partial(actors.remote, settings, ray_cluster.put(file))
        with deferred_signals():
            for index in range(count):
                self._slots.append(
                    RaySlot(index, spawn=spawn, emit=self._emit, give_back=self._take_back, heard=self._hear)
                )
        self._demand = str(demand)

    def _witness(self) -> str | None:
        """Leaves a file in the folder of the studies for as long as the executor lives."""
        if self._workdir is None or not self._workdir.is_dir():
            return None
        try:
            descriptor, name = tempfile.mkstemp(prefix=".hpsearch-", dir=self._workdir)
        except OSError as error:
            raise UsageError(fault("workdir", "cannot be written to", received=str(error))) from error
        os.close(descriptor)
        self._closing.callback(Path(name).unlink, missing_ok=True)
        return name

    def submit(self, key: int, job: Job, *, log: str, timeout_s: float | None = None) -> None:
        """Runs a job in a free slot; its standard output and error are appended to the file `log`.

        Raises:
            SearchError: There is no free slot, or a job with this key is running.
        """
        from hpsearch.executors.ray_slot import Submitted

        jobs = list(self._jobs())
        if any(each.key == key for each in jobs):
            raise SearchError(fault("executor", "a job with this key is running", received=key))
        if len(jobs) >= self.slots:
            expected = f"fewer than {self.slots} jobs"
            raise SearchError(fault("executor", "no free slot", expected=expected, received=len(jobs)))
        order = methodcaller("submit", key, job, log=log, timeout_s=timeout_s)
        log_start = os.path.getsize(log) if os.path.exists(log) else 0
        with deferred_signals():
            self._waiting.append(Submitted(key, order, log, log_start))
            self._assign()

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """Returns what happened, waiting at most `timeout_s` seconds for the first event.

        Raises:
            SearchError: Workers cannot be started.
            UsageError: A node does not see the folder of the studies.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            with deferred_signals():
                self._receive()
            now_s = time.monotonic()
            if self._events:
                break
            self._raise_errors(now_s)
            if now_s >= until_s:
                break
            with suppress(Empty):
                self._wake_up.get(timeout=until_s - now_s)  # Ctrl-C ends it here
        # No call between here and the caller: a signal's handler cannot come between and lose events.
        events, self._events = self._events, []
        return events

    def answer(self, key: int, answer: Value) -> None:
        """Answers the job's `Suggest` or `Report`; nothing happens if the job is over."""
        slot = self._find(key)
        if slot is not None:
            with deferred_signals():
                slot.order(methodcaller("answer", key, answer))

    def cancel(self, key: int) -> None:
        """Stops a job now; its outcome is a `Failure` of kind `interrupted`, unless it is over already."""
        with deferred_signals():
            if (slot := self._find(key)) is not None:
                slot.cancel()
            for job in list(self._waiting):
                if job.key == key:
                    self._waiting.remove(job)
                    self._emit(Event(key, Failure(FailureKind.INTERRUPTED, "the job was cancelled")))

    def close(self) -> None:
        """Stops all workers and actors, and the cluster if it was started here."""
        until_s = time.monotonic() + 2 * self._limits.exit_timeout_s + CLOSE_S
        self._waiting.clear()
        try:
            for slot in self._slots:
                slot.leave()
            while not all(slot.left for slot in self._slots) and time.monotonic() < until_s:
                with suppress(Empty):
                    self._wake_up.get(timeout=max(0.0, until_s - time.monotonic()))
                self._receive()
        finally:  # after a second Ctrl-C at once
            for slot in self._slots:
                slot.kill()
            self._slots.clear()
            self._closing.close()

    def _receive(self) -> None:
        while not self._heard.empty():
            slot, actor, said = self._heard.get()
            slot.receive(actor, said)
        self._assign()

    def _assign(self) -> None:
        """Gives the jobs that wait to the slots whose actors stand."""
        self.slots = max(1, sum(not slot.lost for slot in self._slots))
        standing = [slot for slot in self._slots if slot.place is not None]
        if standing:
            self._stood_s = time.monotonic()
        for slot in standing:
            if slot.running is None and self._waiting:
                slot.take(self._waiting.popleft())

    def _raise_errors(self, now_s: float) -> None:
        for slot in self._slots:
            if slot.error is not None:
                raise slot.error
        limit_s = self._limits.start_timeout_s
        if self._waiting and now_s - self._stood_s > limit_s:
            what = f"the Ray cluster has had no room for a slot for {limit_s:g} s"
            advice = "`ray status` shows what its nodes are busy with. Run the same command again later."
            raise SearchError(fault("executor", what, expected=f"a node with {self._demand}", advice=advice))

    def _jobs(self) -> Iterator[Submitted]:
        yield from self._waiting
        yield from (slot.running for slot in self._slots if slot.running is not None)

    def _find(self, key: int) -> RaySlot | None:
        running = ((slot, slot.running) for slot in self._slots)
        return next((slot for slot, job in running if job is not None and job.key == key), None)

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    def _take_back(self, job: Submitted) -> None:
        self._waiting.appendleft(job)

    def _hear(self, slot: RaySlot, actor: Any, said: Future[list[Said]]) -> None:
        """Called in a thread of Ray's; each step is one C call."""
        self._heard.put((slot, actor, said))
        self._wake_up.put(None)
