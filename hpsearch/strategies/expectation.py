"""What a further trial is expected to gain, whatever strategy found the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpsearch.space import Space
from hpsearch.strategies.coordinates import Coordinates
from hpsearch.strategies.observations import Observations
from hpsearch.strategies.promising import most_promising

if TYPE_CHECKING:
    from optuna.study import Study

FEWEST_TRIALS = 5


def expected_improvement(study: Study, space: Space, epochs: int) -> float | None:
    """Returns by how much the Gaussian process of `bayesian` expects the most promising trial to be better.

    Args:
        study: Its search has ended.
        space: What was searched.
        epochs: The most that a trial could run.

    Returns:
        At least 0, in the objective's unit; None of several objectives, or if too few trials have ended.
    """
    if len(study.directions) > 1 or not space.parameters:
        return None
    coordinates = Coordinates(space)
    known = Observations(coordinates, epochs).known(study)
    if len(known.values) < FEWEST_TRIALS:
        return None
    return most_promising(known, coordinates, np.random.default_rng(0)).improvement
