"""The point at which a Gaussian process expects the most improvement, and how much that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hpsearch.strategies.coordinates import Array, Coordinates
from hpsearch.strategies.gaussian_process import GaussianProcess
from hpsearch.strategies.observations import Known

_MOST_OBSERVATIONS, _MOST_FITTED = 128, 64
"""Trials that the process knows, and those that its scales are fitted to: the best and the latest. More would
take too long."""
_MOST_BELIEVED = 64
"""Running and paused trials that count with what is expected of them: those of which most is."""
_SAME = 1e-3
"""Coordinates that differ by less are the same."""
_CANDIDATES, _AROUND, _ROUNDS, _KEPT = 1024, 384, 4, 6


@dataclass(frozen=True)
class Promising:
    """Where to look next."""

    point: Array
    """`(dimensions,)`."""
    improvement: float
    """Expected of it, over the best that is expected of what was tried; in the objective's unit."""


def _standardised(values: Array) -> tuple[Array, float]:
    """Returns the values, centred, and what their unit is.

    Takes the length off the bad tail, so that one diverged trial does not make all others look alike.
    """
    median, best = float(np.median(values)), float(values.min())
    cut = median + 2.0 * (median - best) if median > best else math.inf
    clipped = np.minimum(values, cut)
    deviation = float(clipped.std()) or 1.0
    return (clipped - clipped.mean()) / deviation, deviation


def most_promising(known: Known, coordinates: Coordinates, random: np.random.Generator) -> Promising:
    """Returns the point of highest expected improvement.

    Args:
        known: What the trials say; of some of them, something.
        coordinates: Of the space.
        random: Draws the candidates.
    """
    with _threads().limit(limits=1):
        return _most_promising(known, coordinates, random)


def _most_promising(known: Known, coordinates: Coordinates, random: np.random.Generator) -> Promising:
    tried = KDTree(np.concatenate([known.features[:, :-1], known.unfinished]))
    known = known.some(_MOST_OBSERVATIONS)
    everything = bool((known.features[:, -1] == 1.0).all())

    def complete(features: Array) -> Array:
        """Adds how far, unless nothing is known of shorter trainings: then it is no coordinate."""
        return features if everything else np.column_stack([features, np.ones(len(features))])

    process = _fitted(known, coordinates.categorical, last=-1 if everything else None)
    at_full_length = np.unique(known.features[:, :-1], axis=0)
    reached, _ = process.predict(complete(at_full_length))
    best = float(reached.min())
    if len(known.unfinished):
        expected, _ = process.predict(complete(known.unfinished))
        best = min(best, float(expected.min()))  # nothing is gained beside one, if it is as good as expected
        believed = np.argsort(expected, kind="stable")[:_MOST_BELIEVED]
        process = process.believing(complete(known.unfinished[believed]), expected[believed])

    def gain(points: Array) -> Array:
        features = coordinates.features(points)
        mean, deviation = process.predict(complete(features))
        gains = _log_expected_improvement(mean, deviation, best)
        return np.where(_near(features, tried), -math.inf, gains)

    centres = coordinates.points_of(at_full_length[np.argsort(reached, kind="stable")[:_KEPT]])
    points = random.random((_CANDIDATES, coordinates.dimensions))
    points = np.concatenate([points, _around(centres, 0.1, random)])
    gains = gain(points)
    for step in range(_ROUNDS):
        top = np.argsort(-gains, kind="stable")[:_KEPT]
        nearby = _around(points[top], 0.1 * 0.4**step, random)
        points = np.concatenate([points[top], nearby])
        gains = np.concatenate([gains[top], gain(nearby)])
    chosen = int(np.argmax(gains))
    return Promising(points[chosen], math.exp(gains[chosen]) * _standardised(known.values)[1])


def _fitted(known: Known, categorical: NDArray[np.bool_], last: int | None) -> GaussianProcess:
    """Returns the process of what is known; its scales are those of a part, if it is much."""
    few = known.some(_MOST_FITTED)
    categorical = np.append(categorical, False)[:last]
    process = GaussianProcess(few.features[:, :last], _standardised(few.values)[0], categorical)
    if few is known:
        return process
    return GaussianProcess(
        known.features[:, :last], _standardised(known.values)[0], categorical, fitted=process
    )


def _near(features: Array, tried: KDTree) -> NDArray[np.bool_]:
    """Returns which points, `(n, d)`, are as good as the same as one that was tried."""
    distances: Array = tried.query(features, p=math.inf, distance_upper_bound=_SAME)[0]
    return np.isfinite(distances)


def _around(centres: Array, width: float, random: np.random.Generator) -> Array:
    """Returns points that differ from the centres in one, some or all coordinates, a little or altogether."""
    copies = np.repeat(centres, _AROUND // len(centres), axis=0)
    n, d = copies.shape
    moved = random.random((n, d)) < random.choice([1.0 / d, 0.3, 1.0], size=(n, 1))
    moved[np.arange(n), random.integers(d, size=n)] = True
    steps = width * random.standard_normal((n, d))
    points = np.where(moved, np.clip(copies + steps, 0.0, 1.0), copies)
    anew = (random.random((n, d)) < 0.3 / d) & moved
    return np.where(anew, random.random((n, d)), points)


def _log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Returns the logarithm of expected improvement, however small it is (Ament et al., 2023)."""
    from scipy.special import log_ndtr

    z = (best - mean) / deviation
    density = -0.5 * z * z - 0.5 * math.log(2.0 * math.pi)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = -np.abs(z) * np.exp(log_ndtr(z) - density)
        near = np.log(np.exp(density) + z * np.exp(log_ndtr(z)))
        below = density + np.log1p(ratio)
        far = density - 2.0 * np.log(np.abs(z))
    gains = np.where(z > -1.0, near, np.where(z > -25.0, below, far))
    found: Array = np.nan_to_num(gains, nan=-1e300, neginf=-1e300) + np.log(deviation)
    return found


@cache
def _threads() -> Any:
    """Finds the libraries that compute with threads, which takes some milliseconds."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()
