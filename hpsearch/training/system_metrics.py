"""What a trial takes of the machine while it trains: a thread samples its worker every few seconds.

The samples go into a file of the trial's folder, a JSON document a line; the driver sends what is new in it
to MLflow. So training waits for nothing, and a worker of another machine is measured there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from hpsearch.trial import SYSTEM_FILE

INTERVAL_S = 5.0
_QUERY = ["--query-gpu=utilization.gpu,memory.used,memory.total,power.draw", "--format=csv,noheader,nounits"]


@contextmanager
def sampled(folder: Path, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """Samples this process during the block, at least once, at its end."""
    end = threading.Event()
    arguments = (folder / SYSTEM_FILE, interval_s, end)
    thread = threading.Thread(target=_sample_until, args=arguments, name="hpsearch-system", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(timeout=10)


def _sample_until(file: Path, interval_s: float, end: threading.Event) -> None:
    process = psutil.Process()
    process.cpu_percent()  # begins to count
    step = _lines(file)
    ended = False
    while not ended:
        ended = end.wait(interval_s)
        with suppress(OSError, psutil.Error):  # a full disk, say: a sample fewer
            line = json.dumps({"step": step, "at_s": time.time(), "metrics": _sample(process)})
            with open(file, "a", encoding="utf-8") as samples:
                samples.write(f"{line}\n")
            step += 1


def _lines(file: Path) -> int:
    """Returns how many samples an earlier attempt took; ends a line that its death cut short."""
    with suppress(OSError):
        text = file.read_bytes()
        if text and not text.endswith(b"\n"):
            with open(file, "ab") as samples:
                samples.write(b"\n")
        return len(text.splitlines())
    return 0


def _sample(process: psutil.Process) -> dict[str, float]:
    """Returns a sample of the process by MLflow's names, where it has any; a busy core is 100 % of CPU."""
    return {
        "cpu_utilization_percentage": process.cpu_percent(),
        "memory_usage_megabytes": round(process.memory_info().rss / 1e6, 1),
        "system_memory_usage_percentage": psutil.virtual_memory().percent,
        **_gpus(os.environ.get("CUDA_VISIBLE_DEVICES")),
    }


def _gpus(visible: str | None) -> dict[str, float]:
    """Returns what `nvidia-smi` says of the GPUs that this process sees, other processes' use included."""
    program = shutil.which("nvidia-smi")
    if program is None or visible in ("", "-1"):
        return {}
    command = [program, *_QUERY, *(["--id", visible] if visible else [])]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, float] = {}
    for index, line in enumerate(said.splitlines()):
        told: dict[str, float] = {}
        for name, value in zip(("utilization", "used", "total", "power"), line.split(","), strict=False):
            with suppress(ValueError):  # not every GPU tells everything
                told[name] = float(value)
        if "utilization" in told:
            found[f"gpu_{index}_utilization_percentage"] = told["utilization"]
        if {"used", "total"} <= told.keys():
            found[f"gpu_{index}_memory_usage_megabytes"] = round(told["used"] * 2**20 / 1e6, 1)
            found[f"gpu_{index}_memory_usage_percentage"] = round(100 * told["used"] / told["total"], 1)
        if "power" in told:
            found[f"gpu_{index}_power_usage_watts"] = told["power"]
    return found
