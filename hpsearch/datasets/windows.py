"""Series into windows: cut apart in time first, so that no window reaches from one split into another."""

from __future__ import annotations

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault


def windows(series: Array, steps: int, stride: int | None = None) -> Array:
    """Cuts a series into windows, oldest first.

    Args:
        series: `(time, features)`.
        steps: Length of a window.
        stride: From one window's first step to the next one's. Default: `steps`, so that each window
            begins where the one before ends, as a stateful model needs it.

    Returns:
        `(windows, steps, features)`; what is left over at the end is dropped.

    Example:
        >>> windows(np.arange(7)[:, np.newaxis], 3)[..., 0].tolist()
        [[0, 1, 2], [3, 4, 5]]
        >>> windows(np.arange(5)[:, np.newaxis], 3, stride=1)[..., 0].tolist()
        [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    """
    views = np.lib.stride_tricks.sliding_window_view(series, steps, axis=0)
    return np.ascontiguousarray(views[:: stride or steps].swapaxes(1, 2))


def check_windows(steps: int, stride: int | None, lengths: dict[str, int], *, reach: int = 0) -> None:
    """Refuses windows that do not fit.

    Args:
        steps: Length of a window.
        stride: From window to window, or None.
        lengths: Time steps of each part of the series.
        reach: How many steps past its end a window's target lies.

    Raises:
        DataError: A number is out of range, or a part is shorter than one window.
    """
    for name, value in (("steps", steps), ("stride", stride)):
        if value is not None and value < 1:
            raise DataError(
                fault(f"data.options.{name}", "out of range", expected="at least 1", received=value)
            )
    part, length = min(lengths.items(), key=lambda item: item[1])
    if length < steps + reach:
        needed = f"at least {steps + reach} time steps in each part of the series"
        raise DataError(
            fault(
                "data.options.steps",
                f"no window fits into the {part} part",
                expected=needed,
                received=f"{length} time steps",
            )
        )
