"""One slot of a Ray cluster: an actor that runs a `LocalExecutor` with one worker on the node it stands on.

    driver: RaySlot ── order ──→ Host ⇒ LocalExecutor ⇒ WorkerProcess ⇒ perform(job, channel)
                   ←─ listen ──      what each of them says

Jobs run in a process that is the actor's child, not in the actor: so a job that dies takes with it neither
the slot nor what it has said, and cancelling, time limits, logs, causes of deaths are as in a local search.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Self

import ray
import ray.util

from hpsearch import gpu_memory
from hpsearch.errors import HpsearchError, SearchError, fault
from hpsearch.executors import Event
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.placement import UNLIMITED
from hpsearch.executors.slot import WorkerLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LISTEN, ORDER = "listen", "order"
"""Ray's concurrency groups for the methods with these names: one thread each, which keeps their order."""
WAIT_S = 3600.0
"""How long the executor waits for its worker at a time; orders wake it."""
CARRIED = ("HPSEARCH_", "KERAS_", "TF_", "XLA_", "JAX_")
"""Beginnings of the names of those environment variables that workers take over from the driver."""


@dataclass(frozen=True)
class Settings:
    """What a host is told by the driver, which may run on another machine."""

    cores_per_trial: int
    gpus_per_trial: int
    trials_per_gpu: int
    shares_gpu: bool
    environment: Mapping[str, str]
    sys_path: tuple[str, ...]
    folder: str
    """The driver's working directory."""
    witness: str | None
    """A file that the driver keeps in the folder of the studies, to see whether this machine shares it."""
    shared: str
    """Name of the temporary file through which the workers of a machine share their data."""
    limits: WorkerLimits

    @classmethod
    def of_driver(cls, environment: Mapping[str, str], **given: Any) -> Self:
        """Adds what the calling process, the driver, is like; `environment` is what workers have beside."""
        carried = {name: value for name, value in os.environ.items() if name.startswith(CARRIED)}
        return cls(
            environment=carried | dict(environment),
            sys_path=tuple(entry for entry in sys.path if isinstance(entry, str)),
            folder=os.getcwd(),
            **given,
        )


@dataclass(frozen=True)
class Place:
    """Where a host stands."""

    node_id: str
    node: str
    """Its name and address, for messages."""
    workdir: str | None
    sees_workdir: bool


@dataclass(frozen=True)
class Broken:
    """The host cannot run jobs."""

    error: HpsearchError


@dataclass(frozen=True)
class Left:
    """The host has stopped its worker and says no more."""


Said = Place | Event | Broken | Left
Order = Callable[[LocalExecutor], object]
"""A method of the executor with its arguments: an `operator.methodcaller`."""


class Host:
    """The actor. `listen` and `order` run in a thread each (`LISTEN`, `ORDER`); a third has the executor.

    Args:
        settings: What the driver says.
        payload: What `payload.write` has written, `(bytes,)`, read from Ray's object store.
    """

    def __init__(self, settings: Settings, payload: NDArray[np.uint8]) -> None:
        _become_like_driver(settings)
        self._file = tempfile.TemporaryFile(prefix="hpsearch-")  # noqa: SIM115 (closed by `_serve`)
        self._file.write(payload.data)
        self._file.flush()
        self._shared = os.path.join(tempfile.gettempdir(), settings.shared)
        self._said: SimpleQueue[Said] = SimpleQueue()
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._executor = LocalExecutor(
            1,
            cores_per_trial=settings.cores_per_trial,
            gpus_per_trial=settings.gpus_per_trial,
            limits=settings.limits,
        )
        threading.Thread(target=self._serve, args=(settings,), name="serve", daemon=True).start()

    def listen(self) -> list[Said]:
        """Returns what was said since the last call, in order; waits until there is something."""
        said = [self._said.get()]
        while not self._said.empty():
            said.append(self._said.get())
        return said

    def order(self, order: Order | None) -> None:
        """Has something done with the executor; None stops it."""
        self._orders.put(order)
        self._executor.wake()

    def _serve(self, settings: Settings) -> None:
        try:
            with self._file, _shared_file(self._shared) as shared, closing(self._executor):
                os.environ.update(_gpu_limits(settings))
                self._executor.start_from(self._file, shared, lasting_thread=True)
                self._said.put(_place(settings))
                while True:
                    while not self._orders.empty():
                        order = self._orders.get()
                        if order is None:
                            return
                        order(self._executor)
                    for event in self._executor.wait(WAIT_S):
                        self._said.put(event)
        except HpsearchError as error:
            self._said.put(Broken(error))
        except Exception as error:
            received = f"{type(error).__name__}: {error}"
            message = fault("executor", "the actor of a slot could not go on", received=received)
            self._said.put(Broken(SearchError(message)))
        finally:
            self._said.put(Left())


@contextmanager
def _shared_file(path: str) -> Iterator[IO[bytes]]:
    """Opens the file of that name, the first to come makes it; its name is gone with the first to leave."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "r+b") as file:
            yield file
    finally:
        with suppress(OSError):
            os.unlink(path)


def _become_like_driver(settings: Settings) -> None:
    """Prepares what the worker process inherits; the threads of its libraries are set by `LocalExecutor`."""
    os.environ.update(settings.environment)
    if not ray.get_gpu_ids():  # else Ray has set it to them
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if settings.shares_gpu and settings.trials_per_gpu == 1:
        os.environ.update(UNLIMITED)
    own = [entry for entry in sys.path if not entry.startswith(os.path.dirname(ray.__file__))]
    sys.path[:] = [*settings.sys_path, *(entry for entry in own if entry not in settings.sys_path)]
    if os.path.isdir(settings.folder):
        os.chdir(settings.folder)


def _gpu_limits(settings: Settings) -> Mapping[str, str]:
    if not settings.shares_gpu or settings.trials_per_gpu == 1:
        return {}
    return gpu_memory.limits(os.environ["CUDA_VISIBLE_DEVICES"], settings.trials_per_gpu, of_all=True)


def _place(settings: Settings) -> Place:
    node_id = ray.get_runtime_context().get_node_id()
    node = f"{platform.node()} ({ray.util.get_node_ip_address()})"
    if settings.witness is None:
        return Place(node_id, node, None, sees_workdir=True)
    workdir = os.path.dirname(settings.witness)
    sees = os.path.exists(settings.witness) and os.access(workdir, os.W_OK)
    return Place(node_id, node, workdir, sees)
