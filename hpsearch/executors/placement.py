"""How many trials run at once on this machine, and which cores and GPUs each sees."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping

import psutil

from hpsearch import gpu_memory
from hpsearch.errors import UsageError, fault
from hpsearch.executors import cgroup

NVIDIA_SMI_TIMEOUT_S = 20.0
UNLIMITED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Has TensorFlow and JAX take the memory of a GPU that they share bit by bit; torch does by itself."""


def environments(
    slots: int | None,
    cores_per_trial: int | None = None,
    *,
    gpus_per_trial: int = 1,
    trials_per_gpu: int = 1,
    environment: Mapping[str, str] = os.environ,
) -> tuple[dict[str, str], ...]:
    """Returns for each slot the environment variables its worker starts with.

    Args:
        slots: Trials at once. Default: as many as the GPUs serve; without a GPU as many as the cores allow.
        cores_per_trial: Threads of a worker's numerical libraries. A trial's numbers depend on it. Default:
            1; with GPUs, the slot's part of the cores: JAX compiles for a GPU five times as fast on eight.
        gpus_per_trial: GPUs that a slot has to itself. From 2, there must be as many.
        trials_per_gpu: Slots that share a GPU, each with its part of the memory that is free now.
        environment: What workers would have without; it may hide GPUs. Default: that of this process.

    Raises:
        UsageError: A number below 1, or GPUs that cannot be given out as asked for.
    """
    for name, number in (
        ("slots", slots),
        ("cores_per_trial", cores_per_trial),
        ("gpus_per_trial", gpus_per_trial),
        ("trials_per_gpu", trials_per_gpu),
    ):
        if number is not None and number < 1:
            raise UsageError(
                fault(f"resources.{name}", "too small", expected="a number from 1", received=number)
            )
    gpus = visible_gpus(environment)
    if not gpus and gpus_per_trial == 1:
        cores = cores_per_trial or 1
        return (_threads(cores),) * (slots or max(1, usable_cores() // cores))
    shared = trials_per_gpu > 1
    places = tuple(_shared(gpus, trials_per_gpu, slots) if shared else _own(gpus, gpus_per_trial, slots))
    threads = _threads(cores_per_trial or max(1, usable_cores() // len(places)))
    return tuple(threads | place for place in places)


def _threads(cores: int) -> dict[str, str]:
    return {
        "TF_NUM_INTRAOP_THREADS": str(cores),
        "TF_NUM_INTEROP_THREADS": str(cores),
        "OMP_NUM_THREADS": str(cores),
        "PJRT_NPROC": str(cores),  # JAX
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }


def _own(gpus: tuple[str, ...], gpus_per_trial: int, slots: int | None) -> Iterator[dict[str, str]]:
    """Yields for each slot its GPUs; more slots than the GPUs serve share them, first come, first served."""
    if len(gpus) < gpus_per_trial:
        raise UsageError(
            fault(
                "resources.gpus_per_trial",
                "there are fewer GPUs than a trial is to have",
                expected=f"at least {gpus_per_trial}",
                received=", ".join(gpus) or "none that can be seen",
                advice="`nvidia-smi -L` lists them; CUDA_VISIBLE_DEVICES hides some.",
            )
        )
    groups = [
        ",".join(gpus[start : start + gpus_per_trial])
        for start in range(0, len(gpus) - gpus_per_trial + 1, gpus_per_trial)
    ]
    count = slots or len(groups)
    for slot in range(count):
        place = {"CUDA_VISIBLE_DEVICES": groups[slot % len(groups)]}
        if count > len(groups):
            place |= UNLIMITED
        yield place


def _shared(gpus: tuple[str, ...], trials_per_gpu: int, slots: int | None) -> Iterator[dict[str, str]]:
    """Yields for each slot its GPU and its part of that GPU's memory."""
    most = len(gpus) * trials_per_gpu
    if slots is not None and slots > most:
        raise UsageError(
            fault(
                "resources.slots",
                "more than the GPUs serve, with the memory that each trial is to have",
                expected=f"at most {most} ({len(gpus)} GPUs, {trials_per_gpu} trials each)",
                received=slots,
            )
        )
    limits = [gpu_memory.limits(gpu, trials_per_gpu) for gpu in gpus]
    for slot in range(slots or most):
        index = slot % len(gpus)
        yield {"CUDA_VISIBLE_DEVICES": gpus[index]} | limits[index]


def usable_cores() -> int:
    """Returns the cores this process may use: its affinity, and its cgroup's quota rounded down."""
    try:
        cores = len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS has no affinity
        cores = os.cpu_count() or 1
    limit = cgroup.cpu_limit()
    return max(1, cores if limit is None else min(cores, int(limit)))


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Returns the NVIDIA GPUs as `CUDA_VISIBLE_DEVICES` names them."""
    if (visible := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in visible.split(",")]
        cut = next((i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
        return tuple(names[:cut])  # CUDA ignores what follows an invalid name
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(listing)


def parse_gpus(listing: str) -> tuple[str, ...]:
    """Reads the output of `nvidia-smi -L`: GPUs by index, or their MIG parts by UUID where there are any."""
    parts: dict[str, list[str]] = {}
    index = ""
    for line in listing.splitlines():
        if found := re.match(r"GPU (\d+):", line):
            index = found[1]
            parts[index] = []
        elif found := re.search(r"UUID: (MIG-[^)\s]+)", line):
            parts[index].append(found[1])
    return tuple(name for index, migs in parts.items() for name in migs or [index])
