"""What workers have sampled of themselves, on its way from a trial's folder to its run."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

SYSTEM = "system/"
"""Prefix of what MLflow's interface shows as system metrics."""


def read_samples(path: Path, offset: int) -> tuple[list[tuple[int, float, dict[str, float]]], int]:
    """Reads the whole lines of a trial's `SYSTEM_FILE` from a byte on.

    Returns:
        Step, Unix time and values of each sample; where the next ones will begin.
    """
    samples = []
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            lines = file.read().rpartition(b"\n")[0]
    except OSError:
        return [], offset
    for line in lines.splitlines():
        with suppress(ValueError, KeyError, TypeError):  # cut short by the death of a worker
            sample = json.loads(line)
            values = {SYSTEM + name: float(value) for name, value in sample["metrics"].items()}
            samples.append((int(sample["step"]), float(sample["at_s"]), values))
    return samples, offset + len(lines) + bool(lines)
