"""What the kernel allows this process, where it runs in a container or a batch system's cgroup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cpu_limit(root: Path = ROOT) -> float | None:
    """Returns how many cores' worth of time the cgroup and its ancestors allow, None without a limit."""
    limits = []
    for folder in _folders(root, "cpu"):
        if (text := _read(folder / "cpu.max")) is not None:  # version 2: "max 100000" or "150000 100000"
            quota, period = text.split()
        else:
            quota = _read(folder / "cpu.cfs_quota_us") or "-1"
            period = _read(folder / "cpu.cfs_period_us") or "100000"
        if quota not in ("max", "-1"):
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def oom_kills(root: Path = ROOT) -> int | None:
    """Returns how many processes the out-of-memory killer took here so far, None where it cannot be known."""
    for folder in _folders(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):  # version 2, version 1
            if (count := _counter(_read(folder / name))) is not None:
                return count
    return _counter(_read(root / "proc/vmstat"))  # no cgroup: the whole machine's


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yields this process's cgroup folders for a controller, innermost first."""
    mounts = root / "sys/fs/cgroup"
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount = mounts
        elif controller in controllers.split(","):
            mount = mounts / controller
        else:
            continue
        folder = mount / path.lstrip("/")
        while folder.is_relative_to(mount):
            yield folder  # inside a container the outer path may not exist: the mount itself holds
            folder = folder.parent


def _counter(text: str | None) -> int | None:
    """Returns the value of the line `oom_kill <count>`."""
    for line in (text or "").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
