"""Joining a Ray cluster or starting one, and how many trials it has room for."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import ray

from hpsearch.errors import SearchError, UsageError, fault

if TYPE_CHECKING:
    from hpsearch.experiment import ResourcesSection

KNOCK_S = 10.0
LEAST_STORE_BYTES = 100 * 1024**2  # Ray wants 75 MiB

Resources = Mapping[str, float]
"""Of a node, as Ray names them: `CPU`, `GPU`, ..."""


@dataclass(frozen=True)
class Demand:
    """What one slot takes of a cluster."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


def join(address: str) -> None:
    """Joins a running cluster.

    Args:
        address: `auto`, which is `RAY_ADDRESS` or else the cluster of this machine, or `host:port`.

    Raises:
        UsageError: There is none, or it does not let us in.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    try:
        _knock(address)
        with _quiet():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no class of its own for them
        raise UsageError(
            fault(
                "resources.address",
                "the Ray cluster cannot be joined",
                expected="the address of a running cluster, or none to start one on this machine",
                received=f"{address} ({type(error).__name__}: {str(error).strip().splitlines()[0]})",
                advice="`ray start --head` starts one, `ray status` shows it.",
            )
        ) from error


def _knock(address: str) -> None:
    """Raises `OSError` where nobody answers; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def start(cpus: int, payload_bytes: int) -> None:
    """Starts a cluster of this machine alone; it ends with this process, or `ray.shutdown`.

    Args:
        cpus: How many it shall count.
        payload_bytes: Size of what will be put into its object store.

    Raises:
        SearchError: It does not start.
    """
    store_bytes = max(LEAST_STORE_BYTES, 2 * payload_bytes)
    try:
        with _quiet():
            ray.init(
                "local",
                num_cpus=cpus,
                object_store_memory=store_bytes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:
        advice = "`resources.executor: local` runs trials on this machine without Ray."
        what = "Ray does not start on this machine"
        received = f"{type(error).__name__}: {error}"
        raise SearchError(fault("executor", what, received=received, advice=advice)) from error


def put(file: IO[bytes]) -> Any:
    """Puts what is in a file, as bytes, into the object store; returns the reference.

    Raises:
        SearchError: It has no room.
    """
    try:
        return ray.put(np.asarray(np.memmap(file, np.uint8, mode="r")))
    except Exception as error:
        what = "the model and data could not be put into the object store of the Ray cluster"
        received = f"{type(error).__name__}: {error}"
        raise SearchError(fault("executor", what, received=received)) from error


def living_nodes() -> list[Resources]:
    """Returns the resources of each node of the cluster that was joined."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def demand(nodes: Sequence[Resources], wanted: ResourcesSection) -> Demand:
    """Returns what one slot shall take of a cluster.

    Where there are GPUs each slot takes its own, or its part of one; if `slots` asks for more than there are,
    they are shared without limits.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if not gpus and wanted.gpus_per_trial == 1:
        return Demand(wanted.cores, 0)
    sharing = wanted.trials_per_gpu
    if sharing == 1 and wanted.slots is not None:
        sharing = max(1, math.ceil(wanted.slots / max(1, gpus)))
    each = wanted.gpus_per_trial if wanted.gpus_per_trial > 1 else 1 / sharing
    return Demand(wanted.cores_per_trial or _part_of_cores(nodes, each), each)


def _part_of_cores(nodes: Sequence[Resources], gpus_each: float) -> int:
    """Returns how many cores go with so many GPUs, or with a part of one, on every node that has them."""
    serving = [node for node in nodes if node.get("GPU", 0) >= gpus_each]
    parts = [math.floor(node.get("CPU", 0) / node["GPU"] * gpus_each) for node in serving]
    return max(1, min(parts, default=1))


def room(nodes: Sequence[Resources], each: Demand) -> int:
    """Returns how many slots the nodes hold.

    Raises:
        UsageError: None.
    """
    count = sum(_room(node, each) for node in nodes)
    if count == 0:
        have = (f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        advice = "Lower `cores_per_trial` or `gpus_per_trial`. Where nodes are added on demand, give `slots`."
        raise UsageError(
            fault(
                "resources",
                "no node of the Ray cluster has room for a trial",
                expected=f"a node with {each}",
                received="; ".join(have) or "no nodes",
                advice=advice,
            )
        )
    return count


def _room(node: Resources, each: Demand) -> int:
    rooms = [node.get("CPU", 0) / each.cpus]
    if each.gpus:
        rooms.append(node.get("GPU", 0) / each.gpus)
    return math.floor(min(rooms) + 1e-6)  # 1 / (1 / 3) may fall short of 3


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the handler of SIGTERM, which `ray.init` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
