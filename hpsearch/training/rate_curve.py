"""Reading a learning-rate range test: the losses of steps whose rates grow geometrically.

A batch's loss is noisy, and the difference of two of them says nothing. So level and slope at a step are
those of a straight line through all losses within half a decade of it: with 200 steps over six decades,
33 losses. Unlike a moving average the line does not lag behind the rate; a sudden rise it sees up to half a
decade before, which leaves a margin to the rates at which training is about to fail.

Source: "Cyclical learning rates for training neural networks", https://arxiv.org/abs/1506.01186; the rule to
stop is that of fastai's `lr_find`, the rate that of its `steep`, read from such lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STOP = 4.0
"""The loss has run away when its average is so many times its best."""
DECAY = 0.9
"""Of the average that is watched while the test runs."""
WARM_UP = 10
"""Steps before the average says something."""
FEWEST_LOSSES = 15
"""Fewer say nothing."""
CLEAR = 4.0
"""A fall is real when it is so many standard errors; of 500 tests of noise alone one seems to be."""
SEARCHED_BELOW = 3.0
"""The range to search begins at the suggestion divided by this; it ends where the loss is lowest."""


@dataclass(frozen=True)
class Reading:
    """What a range test says.

    Attributes:
        smoothed: The loss without its noise, one value a step.
        suggestion: The rate at which it falls most steeply; None if it does not fall.
        low: Where the range to search begins, below the suggestion; None if the loss does not fall.
        high: Where it ends: the rate at which the loss is lowest, and above which it no longer falls.
        notes: What a person should know.
    """

    smoothed: tuple[float, ...]
    suggestion: float | None = None
    low: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()


class Divergence:
    """Watches the bias-corrected exponential moving average of the losses, to stop when it runs away."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._steps = 0
        self._best = math.inf

    def seen(self, loss: float) -> bool:
        """Takes a step's loss; returns whether to stop."""
        if not math.isfinite(loss):
            return True
        self._steps += 1
        self._sum = DECAY * self._sum + (1 - DECAY) * loss
        average = self._sum / (1 - DECAY**self._steps)
        if self._steps < WARM_UP:
            return False
        self._best = min(self._best, average)
        return average > self._best + (STOP - 1) * abs(self._best)  # a loss may be below zero


def read(rates: Sequence[float], losses: Sequence[float]) -> Reading:
    """Reads from a test what to search.

    Args:
        rates: Of the steps, growing geometrically.
        losses: Of the same steps, all finite.

    Returns:
        The reading. Its numbers are the same for losses multiplied by a positive number, or with a number
        added to all of them.
    """
    if len(losses) < FEWEST_LOSSES:
        return Reading(tuple(map(float, losses)), notes=(_too_few(len(losses)),))
    width = window(rates)
    # A loss beyond all of the first ones has run away; how far says nothing, and hides what was before it.
    known = np.minimum(np.asarray(losses, dtype=np.float64), max(losses[:width]))
    levels, slopes = lines(known, width)
    smoothed = tuple(levels.tolist())
    lowest = int(np.argmin(levels))
    if not _falls(known, lowest, width):
        return Reading(smoothed, notes=("The loss does not fall at any of the rates.",))
    steepest = int(np.argmin(slopes[: lowest + 1]))
    notes = []
    if steepest < width // 2:
        notes.append("The loss falls from the first steps on: begin at a lower rate to see all of it.")
    if lowest == len(levels) - 1:
        notes.append("The loss still falls at the last rate: go on to a higher one to see the limit.")
    suggestion = float(rates[steepest])
    return Reading(
        smoothed, suggestion, suggestion / SEARCHED_BELOW, high=float(rates[lowest]), notes=tuple(notes)
    )


def window(rates: Sequence[float]) -> int:
    """Returns how many steps are a decade: an odd number, at least 5, at most a third of all steps."""
    steps = len(rates) - 1
    decade = round(steps / math.log10(rates[-1] / rates[0]))
    width = max(5, min(decade, len(rates) // 3))
    return width - 1 + width % 2


def lines(losses: Array, width: int) -> tuple[Array, Array]:
    """Fits a straight line around each step; at the ends, where half of it is missing, the last whole one.

    Args:
        losses: `(steps,)`.
        width: Steps that a line goes through, odd.

    Returns:
        The lines' levels and slopes (a step) at each of the steps, `(steps,)` each.
    """
    from scipy.signal import savgol_filter

    return (
        np.asarray(savgol_filter(losses, width, polyorder=1)),
        np.asarray(savgol_filter(losses, width, polyorder=1, deriv=1)),
    )


def _falls(losses: Array, lowest: int, width: int) -> bool:
    """Whether the losses around the lowest level are below the first ones by more than noise explains."""
    start = min(max(0, lowest - width // 2), len(losses) - width)
    first, last = losses[:width], losses[start : start + width]
    error = math.sqrt((first.var(ddof=1) + last.var(ddof=1)) / width)
    return bool(first.mean() - last.mean() > CLEAR * error)


def _too_few(steps: int) -> str:
    return f"The loss ran away after {steps} steps, too early to say anything: begin at a lower rate."
