"""How many trials run at once on this machine, and which cores and GPUs each sees."""

from __future__ import annotations

import os
import re
import subprocess

import psutil

from hpsearch.errors import UsageError, fault
from hpsearch.executors import cgroup

NVIDIA_SMI_TIMEOUT_S = 20.0


def environments(slots: int | None, cores_per_trial: int) -> tuple[dict[str, str], ...]:
    """Returns for each slot the environment variables its worker starts with.

    Args:
        slots: Trials at once. Default: one a GPU; without a GPU as many as the cores allow.
        cores_per_trial: Threads of a worker's numerical libraries. A trial's numbers depend on it.

    Raises:
        UsageError: A number below 1.
    """
    for name, number in (("slots", slots), ("cores_per_trial", cores_per_trial)):
        if number is not None and number < 1:
            raise UsageError(
                fault(f"resources.{name}", "too small", expected="a number from 1", received=number)
            )
    gpus = visible_gpus()
    count = slots or len(gpus) or max(1, usable_cores() // cores_per_trial)
    return tuple(_environment(slot, count, gpus, cores_per_trial) for slot in range(count))


def _environment(slot: int, slots: int, gpus: tuple[str, ...], cores: int) -> dict[str, str]:
    environment = {
        "TF_NUM_INTRAOP_THREADS": str(cores),
        "TF_NUM_INTEROP_THREADS": str(cores),
        "OMP_NUM_THREADS": str(cores),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        if slots > len(gpus):  # by default TensorFlow takes the whole memory of a GPU it shares
            environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return environment


def usable_cores() -> int:
    """Returns the cores this process may use: its affinity, and its cgroup's quota rounded down."""
    try:
        cores = len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS has no affinity
        cores = os.cpu_count() or 1
    limit = cgroup.cpu_limit()
    return max(1, cores if limit is None else min(cores, int(limit)))


def visible_gpus() -> tuple[str, ...]:
    """Returns the NVIDIA GPUs as `CUDA_VISIBLE_DEVICES` names them."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
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
