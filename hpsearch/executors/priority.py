"""A process that takes only what no other wants."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

LOWEST = 19


def give_way(pid: int) -> None:
    """Gives a process of ours, and what it will start, the last place: for cores and, on Linux, for memory.

    Where the system groups processes by session, niceness counts within a session only, so the group has one
    of its own; and should memory run out, this process is killed before all others.

    Args:
        pid: Of a process that has a session of its own and one thread so far.
    """
    with suppress(psutil.Error, OSError):
        psutil.Process(pid).nice(LOWEST)
    for name, value in (("autogroup", LOWEST), ("oom_score_adj", 1000)):
        with suppress(OSError):
            Path(f"/proc/{pid}/{name}").write_text(str(value), encoding="ascii")
