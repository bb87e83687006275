"""The learning-rate range test: which rates are worth searching, from one short training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from hpsearch.beforehand import checked
from hpsearch.errors import UsageError, fault
from hpsearch.experiment import Experiment
from hpsearch.trial import Epoch, RateRange, RateRangeResult

FEWEST_STEPS = 30


def find_learning_rate(
    experiment: Experiment,
    *,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 200,
    picture: str | Path | None = None,
    on_step: Callable[[Epoch], None] | None = None,
) -> RateRangeResult:
    """Tests learning rates: trains the default model on mini-batches while the rate grows geometrically.

    The rate at which the smoothed loss falls most steeply is suggested; the range to search ends where the
    loss is lowest. Other hyperparameters than the rate have their defaults, as overridden.

    Source: "Cyclical learning rates for training neural networks", https://arxiv.org/abs/1506.01186

    Args:
        experiment: Its model, data, space and training.
        low: The first rate.
        high: The last rate; the test ends before it when the loss runs away.
        steps: How many batches to train on, at least 30.
        picture: A `.png` file to draw. Default: none.
        on_step: Is given each step: its number, `learning_rate` and `loss`.

    Returns:
        The suggestion and the range to search, both None if the loss does not fall; rates and losses.

    Raises:
        UsageError: Something in the experiment, or an argument, is wrong; nothing was trained.
        SearchError: The training failed.
    """
    _check_rates(low, high, steps)
    drawn = _picture(picture)
    with checked(experiment) as (_, run):
        outcome = run(RateRange(low, high, steps, drawn), on_epoch=on_step)
    if not isinstance(outcome, RateRangeResult):
        raise TypeError(f"a range test returned {type(outcome).__name__}")
    return outcome


def _check_rates(low: float, high: float, steps: int) -> None:
    if not (0 < low < high < math.inf):
        received = f"low={low:g}, high={high:g}"
        raise UsageError(
            fault("low, high", "no range of learning rates", expected="0 < low < high", received=received)
        )
    if steps < FEWEST_STEPS:
        expected = f"at least {FEWEST_STEPS}"
        raise UsageError(fault("steps", "too few to see a curve", expected=expected, received=steps))


def _picture(picture: str | Path | None) -> str | None:
    """Finds before the test that the picture could not be written after it."""
    if picture is None:
        return None
    target = Path(picture).absolute()
    if target.suffix != ".png":
        problem = "the picture's file has another ending"
        raise UsageError(fault(str(picture), problem, expected="`.png`", received=f"`{target.suffix}`"))
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        problem = "the picture cannot be written there"
        raise UsageError(fault(str(picture), problem, expected="a file in a folder that can be written"))
    return str(target)
