"""Numbers as people read them, in tables and in sentences."""

from __future__ import annotations

MIB = 1024**2


def number(value: object) -> str:
    """Writes a value short enough for a table: four significant digits."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def score(value: float) -> str:
    """Writes a metric with as many digits as its neighbours in a column."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e3 else number(value)


def duration(seconds: float | None) -> str:
    """Writes a time: `3.2 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(size_bytes: int) -> str:
    """Writes a size: `12.3 MiB`."""
    return f"{size_bytes / MIB:.1f} MiB"
