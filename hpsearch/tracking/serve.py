"""MLflow's command line in a process that ends with the one that started it, by `kill -9` too.

That one keeps the other end of standard input, a pipe, and never writes to it. When it is gone the kernel
closes the pipe, and the whole group of processes ends: MLflow's server has workers of its own.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Becomes `mlflow`, with this process's arguments."""
    pipe = os.dup(sys.stdin.fileno())  # not inherited, and out of MLflow's way
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    threading.Thread(target=_end_with, args=(pipe,), name="follow-starter", daemon=True).start()
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)


def _end_with(pipe: int) -> None:
    os.read(pipe, 1)  # returns when nobody is left to write
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
