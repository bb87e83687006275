"""The memory of a GPU that several trials share: each worker is told its part when it starts.

The part is of the memory that is free when the search starts, so that what others hold is left to them.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from hpsearch.errors import UsageError, fault

LIMIT_MIB = "HPSEARCH_GPU_MEMORY_MIB"
"""Environment variable of a worker: what it may take of each GPU that it sees."""
USABLE = 0.9
"""Share of the free memory given out; each process also needs some for its CUDA context."""
NVIDIA_SMI_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class GpuMemory:
    """One line of `nvidia-smi`."""

    index: str
    uuid: str
    free_mib: int
    total_mib: int

    def named(self, name: str) -> bool:
        """Whether this is the GPU that `CUDA_VISIBLE_DEVICES` calls `name`; a UUID may be cut short."""
        return name == self.index or (name.startswith("GPU-") and self.uuid.startswith(name))


def limits(gpu: str, trials: int, *, of_all: bool = False) -> dict[str, str]:
    """Returns the environment variables that limit a worker's memory.

    TensorFlow and torch are limited by the worker when it is made ready, JAX by its own variable.

    Args:
        gpu: As `CUDA_VISIBLE_DEVICES` calls it.
        trials: How many share it.
        of_all: Whether to divide all its memory rather than what is free: for a worker that is started by
            itself, when the others may hold their parts already.

    Raises:
        UsageError: It is not known how much memory the GPU has.
    """
    found = next((each for each in measure() if each.named(gpu)), None)
    if found is None:
        raise UsageError(
            fault(
                "resources.trials_per_gpu",
                "a GPU's memory cannot be divided, for `nvidia-smi` does not tell how much there is",
                expected="whole GPUs, by their index or UUID",
                received=gpu,
                advice="Set `resources.slots` instead: the trials then share the GPU without limits.",
            )
        )
    limit_mib = int((found.total_mib if of_all else found.free_mib) * USABLE / trials)
    old, new = "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION"  # JAX refuses both together
    fraction = f"{limit_mib / found.total_mib:.4f}"
    return {LIMIT_MIB: str(limit_mib), old if old in os.environ else new: fraction}


def measure() -> tuple[GpuMemory, ...]:
    """Asks `nvidia-smi`; returns nothing where it does not answer."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,memory.free,memory.total"]
    try:
        listing = subprocess.run(
            [*command, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse(listing)


def parse(listing: str) -> tuple[GpuMemory, ...]:
    """Reads `nvidia-smi`'s lines; a GPU that keeps its memory to itself (`[N/A]`) is left out."""
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines()]
    return tuple(
        GpuMemory(row[0], row[1], int(row[2]), int(row[3]))
        for row in rows
        if len(row) == 4 and row[2].isdigit() and row[3].isdigit()
    )
