"""Sine: a made-up series for sequence-to-sequence regression; cos is to be told from sin."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.datasets.windows import check_windows, windows
from hpsearch.errors import DataError, fault


def load(
    length: int = 6000,
    steps: int = 25,
    stride: int | None = None,
    period: float = 31.4,
    noise: float = 0.0,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> dict[str, Any]:
    """A sine wave in windows; the target is the cosine at every step, so a model must remember.

    One value of the sine leaves two cosines possible; which it is shows only from the values before.

    Args:
        length: Time steps of the whole series. Default: 6,000.
        steps: Length of a window. Default: 25.
        stride: From window to window. Default: `steps`, each begins where the one before ends.
        period: Of the wave, in time steps; best no multiple of `steps`. Default: 31.4.
        noise: Standard deviation of what is added to the input. Default: 0.
        validation: Share of the series that chooses between trials, after the training part. Default: 0.2.
        test: Share of the series at its end. Default: 0.2.
        seed: Of the noise. Default: 0.

    Returns:
        `x` and `y` float32 `(windows, steps, 1)`, in the order of time; training, validation and test.

    Raises:
        DataError: An option is out of range.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise DataError(
            fault(
                "data.options",
                "`validation` and `test` are out of range",
                expected="shares above 0, together below 1",
                received=f"{validation} + {test}",
            )
        )
    ends = [round(length * share) for share in (1 - validation - test, 1 - test, 1)]
    bounds = dict(zip(("train", "validation", "test"), zip([0, *ends], ends, strict=False), strict=True))
    check_windows(steps, stride, {part: stop - start for part, (start, stop) in bounds.items()})
    angle = 2 * np.pi * np.arange(length, dtype=np.float64)[:, np.newaxis] / period
    x = np.sin(angle) + noise * np.random.default_rng(seed).normal(size=angle.shape)
    loaded: dict[str, Any] = {}
    for part, (start, stop) in bounds.items():
        loaded[f"x_{part}"] = windows(x[start:stop].astype(np.float32), steps, stride)
        loaded[f"y_{part}"] = windows(np.cos(angle[start:stop]).astype(np.float32), steps, stride)
    return loaded
