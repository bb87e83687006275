"""How fast a `.tflite` file is, and how much memory it takes, in a process that holds nothing else.

python -m hpsearch.export.latency FILE.tflite INPUTS.npz OUTCOME.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hpsearch.export.samples import Arrays
from hpsearch.trial import Latency, Speed

WARM_UP = 3
LEAST_CALLS, MOST_CALLS = 10, 1000
ENOUGH_S = 0.2
"""Seconds after which there are no more calls, once there were the least."""
TIMEOUT_S = 120.0


def measure(file: Path, inputs: Arrays) -> Speed | None:
    """Measures a file with one thread and with all cores, with XNNPACK and without.

    Args:
        file: It takes integers or real numbers; `inputs` are what it takes.
        inputs: One batch, as small as the file takes, by input name.

    Returns:
        The default first: one thread, with XNNPACK. None if the file cannot be measured; it has been
        verified, so this is no reason to refuse it.
    """
    with tempfile.TemporaryDirectory(prefix="hpsearch-export-") as folder:
        given, outcome = Path(folder, "inputs.npz"), Path(folder, "outcome.json")
        np.savez(given, **inputs)  # type: ignore[arg-type]
        command = [sys.executable, "-m", __name__, str(file), str(given), str(outcome)]
        path = os.pathsep.join(entry for entry in sys.path if isinstance(entry, str) and entry)
        try:
            subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": path},
                timeout=TIMEOUT_S,
                check=True,
                capture_output=True,
            )
        except subprocess.SubprocessError:
            return None
        return Speed.from_dict(json.loads(outcome.read_text(encoding="utf-8")))


def _main(file: str, given: str, outcome: str) -> None:
    with np.load(given) as archive:
        inputs = dict(archive.items())
    import ai_edge_litert.interpreter  # noqa: F401  (its memory is not the file's)

    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        cores = os.cpu_count() or 1
    threads = (1, cores) if cores > 1 else (1,)
    latencies, memory_kib = [], None
    for xnnpack in (True, False):
        for count in threads:
            before = psutil.Process().memory_info().rss
            invoke = _prepare(file, inputs, count, xnnpack)
            latencies.append(_time(invoke, count, xnnpack))
            if memory_kib is None:
                memory_kib = (psutil.Process().memory_info().rss - before) // 1024
    Path(outcome).write_text(json.dumps(asdict(Speed(tuple(latencies), memory_kib))), encoding="utf-8")


def _prepare(file: str, inputs: Arrays, threads: int, xnnpack: bool) -> Any:
    """Opens a file and gives it its inputs; returns what runs it once."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(file, num_threads=threads, experimental_op_resolver_type=kernels)
    indices = {
        name: each["index"] for name, each in interpreter.get_signature_runner().get_input_details().items()
    }
    for name, index in indices.items():
        interpreter.resize_tensor_input(index, inputs[name].shape)
    interpreter.allocate_tensors()
    for name, index in indices.items():
        interpreter.set_tensor(index, inputs[name])
    return interpreter.invoke


def _time(invoke: Any, threads: int, xnnpack: bool) -> Latency:
    for _ in range(WARM_UP):
        invoke()
    taken: list[float] = []
    end_s = time.perf_counter() + ENOUGH_S
    while len(taken) < LEAST_CALLS or (len(taken) < MOST_CALLS and time.perf_counter() < end_s):
        start_s = time.perf_counter()
        invoke()
        taken.append(1000 * (time.perf_counter() - start_s))
    median, p90 = np.percentile(taken, [50, 90])
    return Latency(threads, xnnpack, float(median), float(p90))


if __name__ == "__main__":
    _main(*sys.argv[1:])
