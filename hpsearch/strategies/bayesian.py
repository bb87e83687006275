"""`bayesian`: a Gaussian process over the whole space and expected improvement (Jones et al., 1998).

Each suggestion fits a process (`gaussian_process.py`) to what the study holds and looks for the point with
the highest logarithm of expected improvement, among a spread of candidates and around the best, in rounds.

- Points are snapped to the values that there are before they are compared: every proposal lies in the space.
- Running and paused trials count with what the process expects of them at full length (kriging believer,
  Ginsbourger et al., 2010), as if measured without noise. So nothing is gained beside one that runs, or that
  may still be promoted.
- How far a trial was trained is one coordinate more. Pruned and paused trials count with their best value, at
  their last epoch, and what is looked for is improvement at full length.
- Infeasible trials count with the worst value so far; other failed trials with none.
- The first trials are a Sobol sequence.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.spatial import KDTree

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Parameter, Value
from hpsearch.strategies import Context, Strategy, options, oracle
from hpsearch.strategies.coordinates import Array, Coordinates
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.gaussian_process import GaussianProcess
from hpsearch.strategies.joint import JointSampler
from hpsearch.strategies.observations import Known, Observations
from hpsearch.strategies.pruners import create_pruner

OPTIONS = {"num_initial_points": (int,)}
SURROGATES = ("gaussian_process", "keras_tuner")

_MOST_OBSERVATIONS, _MOST_FITTED = 128, 64
"""Trials that the process knows, and those that its scales are fitted to: the best and the latest. More would
take too long."""
_MOST_BELIEVED = 64
"""Running and paused trials that count with what is expected of them: those of which most is."""
_SAME = 1e-3
"""Coordinates that differ by less are the same."""
_CANDIDATES, _AROUND, _ROUNDS, _KEPT = 1024, 384, 4, 6


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy.

    Options: `num_initial_points` (trials before the process is fitted, default one more than there are
    hyperparameters, at least 4); `surrogate`: `gaussian_process`, the default, or `keras_tuner`, whose oracle
    has the options `alpha` and `beta` too. Any pruner may be added.

    Raises:
        StrategyError: There are several objectives, or an option is wrong.
    """
    options.refuse_sampler(section, context)
    given = dict(section.options)
    where = f"{context.where}.options"
    surrogate = given.pop("surrogate", SURROGATES[0])
    options.known(surrogate, dict.fromkeys(SURROGATES), f"{where}.surrogate", "surrogate")
    theirs = surrogate == "keras_tuner"
    options.check(oracle.OPTIONS if theirs else OPTIONS, given, where, "strategy `bayesian`")
    for name, value in given.items():
        if value <= 0:
            raise StrategyError(fault(f"{where}.{name}", "must be above 0", received=repr(value)))
    options.refuse_several_objectives(section.name, context)

    def factory(seed: int) -> BaseSampler:
        return oracle.OracleSampler(context.space, seed, given)

    initial = given.get("num_initial_points")
    return Strategy(
        sampler=DistinctSampler(factory, context.seed)
        if theirs
        else create_process_sampler(context, initial),
        pruner=create_pruner(section.pruner, context),
        summary=f"bayesian: {surrogate.replace('_', ' ')}",
    )


def create_process_sampler(context: Context, initial: int | None = None) -> DistinctSampler:
    """Creates the sampler alone, for any strategy that has one."""
    coordinates = Coordinates(context.space)
    observations = Observations(coordinates, context.epochs)
    return DistinctSampler(
        lambda seed: ProcessSampler(context, coordinates, observations, seed, initial), context.seed
    )


class ProcessSampler(JointSampler):
    """Proposes all values of a trial together.

    Args:
        context: Of the search.
        coordinates: Of its space.
        observations: Reads the study.
        seed: Of the candidates.
        initial: Trials before the process is fitted. Default: one more than there are hyperparameters.
    """

    def __init__(
        self,
        context: Context,
        coordinates: Coordinates,
        observations: Observations,
        seed: int,
        initial: int | None = None,
    ) -> None:
        super().__init__(seed)
        self._context = context
        self._coordinates = coordinates
        self._observations = observations
        self._seed = seed
        searched = [parameter for parameter in context.space.parameters if parameter.size != 1]
        self._initial = initial or max(4, len(searched) + 1)

    def propose(self, study: Study, trial: FrozenTrial) -> Iterable[tuple[Parameter, Value]]:
        """Asks the process, once there are enough trials."""
        coordinates = self._coordinates
        if not coordinates.dimensions:
            return ()
        known = self._observations.known(study, trial)
        if len(known.values) < self._initial:
            point = self._spread(coordinates, trial.number)
        else:
            with _threads().limit(limits=1):
                point = _most_promising(known, coordinates, np.random.default_rng(self._seed))
        return coordinates.values(point).items()

    def _spread(self, coordinates: Coordinates, number: int) -> Array:
        """Returns a point of the search's Sobol sequence; the same for a trial whenever it is asked."""
        from scipy.stats import qmc

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers of points that are no power of two
            sequence = qmc.Sobol(coordinates.dimensions, scramble=True, rng=self._context.seed)
            if number:
                sequence.fast_forward(number)
            point: Array = sequence.random(1)[0]
        return point


@cache
def _threads() -> Any:
    """Finds the libraries that compute with threads, which takes some milliseconds."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _standardised(values: Array) -> Array:
    """Takes the length off the bad tail, so that one diverged trial does not make all others look alike."""
    median, best = float(np.median(values)), float(values.min())
    cut = median + 2.0 * (median - best) if median > best else math.inf
    clipped = np.minimum(values, cut)
    deviation = float(clipped.std())
    centred: Array = (clipped - clipped.mean()) / (deviation if deviation > 0 else 1.0)
    return centred


def _most_promising(known: Known, coordinates: Coordinates, random: np.random.Generator) -> Array:
    """Returns the point of highest expected improvement, `(dimensions,)`."""
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
    chosen: Array = points[int(np.argmax(gains))]
    return chosen


def _fitted(known: Known, categorical: NDArray[np.bool_], last: int | None) -> GaussianProcess:
    """Returns the process of what is known; its scales are those of a part, if it is much."""
    few = known.some(_MOST_FITTED)
    categorical = np.append(categorical, False)[:last]
    process = GaussianProcess(few.features[:, :last], _standardised(few.values), categorical)
    if few is known:
        return process
    return GaussianProcess(known.features[:, :last], _standardised(known.values), categorical, fitted=process)


def _near(features: Array, tried: KDTree) -> NDArray[np.bool_]:
    """Returns which points, `(n, d)`, are as good as the same as one that was tried."""
    distances, _ = tried.query(features, p=math.inf, distance_upper_bound=_SAME)
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
