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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Parameter, Value, trial_values
from hpsearch.strategies import Context, Strategy, options, oracle
from hpsearch.strategies.coordinates import Array, Coordinates
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.gaussian_process import GaussianProcess
from hpsearch.strategies.joint import JointSampler
from hpsearch.strategies.penalty import advanced, penalised
from hpsearch.strategies.pruners import create_pruner

OPTIONS = {"num_initial_points": (int,)}
SURROGATES = ("gaussian_process", "keras_tuner")

_MOST_OBSERVATIONS = 200
"""The best and the latest: a process of more would take too long."""
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
    return DistinctSampler(lambda seed: ProcessSampler(context, coordinates, seed, initial), context.seed)


@dataclass(frozen=True)
class _Known:
    """What the trials say, the lower the better."""

    features: Array
    """`(n, dimensions + 1)`, the last one how far a trial was trained: 1 is all."""
    values: Array
    unfinished: Array
    """Features, at full length, of the trials that run or are paused."""


class ProcessSampler(JointSampler):
    """Proposes all values of a trial together.

    Args:
        context: Of the search.
        coordinates: Of its space.
        seed: Of the candidates.
        initial: Trials before the process is fitted. Default: one more than there are hyperparameters.
    """

    def __init__(
        self, context: Context, coordinates: Coordinates, seed: int, initial: int | None = None
    ) -> None:
        super().__init__(seed)
        self._context = context
        self._coordinates = coordinates
        self._seed = seed
        searched = [parameter for parameter in context.space.parameters if parameter.size != 1]
        self._initial = initial or max(4, len(searched) + 1)

    def propose(self, study: Study, trial: FrozenTrial) -> Iterable[tuple[Parameter, Value]]:
        """Asks the process, once there are enough trials."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        coordinates = self._coordinates
        if not coordinates.dimensions:
            return ()
        known = self._known(study, trial, coordinates)
        if len(known.values) < self._initial:
            point = self._spread(coordinates, trial.number)
        else:
            with threadpool_limits(1):
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

    def _known(self, study: Study, trial: FrozenTrial, coordinates: Coordinates) -> _Known:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        rows, values, unfinished = [], [], []
        trials = study.get_trials(deepcopy=False)
        for stored, other in zip(trials, penalised(advanced(trials), study.directions), strict=True):
            if other.number == trial.number or not other.params:
                continue
            features = coordinates.features_of(trial_values(other))
            if stored.state == TrialState.RUNNING:
                unfinished.append([*features, 1.0])
            if (seen := self._seen(other, sign)) is not None:
                rows.append([*features, seen[1]])
                values.append(sign * seen[0])
        width = coordinates.dimensions + 1
        chosen = _chosen(np.array(values))
        return _Known(
            np.array(rows).reshape(-1, width)[chosen],
            np.array(values)[chosen],
            np.array(unfinished).reshape(-1, width),
        )

    def _seen(self, trial: FrozenTrial, sign: float) -> tuple[float, float] | None:
        """Returns a trial's value and how far it was trained, from 0 to 1; None if it says nothing."""
        if trial.state == TrialState.COMPLETE:
            return (trial.value, 1.0) if trial.value is not None and math.isfinite(trial.value) else None
        if trial.state != TrialState.PRUNED or not trial.intermediate_values:
            return None
        last = max(trial.intermediate_values)
        best = min(sign * value for value in trial.intermediate_values.values())
        share = math.log1p(last) / math.log1p(max(self._context.epochs, last))
        return (sign * best, share) if math.isfinite(best) else None


def _chosen(values: Array) -> NDArray[np.intp]:
    """Returns which observations are used: of many, the best half and the latest half."""
    everything = np.arange(len(values))
    if len(values) <= _MOST_OBSERVATIONS:
        return everything
    best = np.argsort(values, kind="stable")[: _MOST_OBSERVATIONS // 2]
    latest = np.setdiff1d(everything, best)[-(_MOST_OBSERVATIONS - len(best)) :]
    return np.sort(np.concatenate([best, latest]))


def _standardised(values: Array) -> Array:
    """Takes the length off the bad tail, so that one diverged trial does not make all others look alike."""
    median, best = float(np.median(values)), float(values.min())
    cut = median + 2.0 * (median - best) if median > best else math.inf
    clipped = np.minimum(values, cut)
    deviation = float(clipped.std())
    centred: Array = (clipped - clipped.mean()) / (deviation if deviation > 0 else 1.0)
    return centred


def _most_promising(known: _Known, coordinates: Coordinates, random: np.random.Generator) -> Array:
    """Returns the point of highest expected improvement, `(dimensions,)`."""
    values = _standardised(known.values)
    categorical = np.append(coordinates.categorical, False)
    everything = bool((known.features[:, -1] == 1.0).all())
    if everything:  # nothing is known of shorter trainings, so it is no coordinate
        categorical = categorical[:-1]
        seen, unfinished = known.features[:, :-1], known.unfinished[:, :-1]
    else:
        seen, unfinished = known.features, known.unfinished
    process = GaussianProcess(seen, values, categorical)
    if len(unfinished):
        expected, _ = process.predict(unfinished)
        seen, values = np.concatenate([seen, unfinished]), np.concatenate([values, expected])
        process = GaussianProcess(seen, values, categorical, fitted=process, certain=len(unfinished))

    def complete(features: Array) -> Array:
        return features if everything else np.column_stack([features, np.ones(len(features))])

    at_full_length = np.unique(known.features[:, :-1], axis=0)
    reached, _ = process.predict(complete(at_full_length))
    best = float(reached.min())
    if len(unfinished):  # nothing is gained beside one of these, if it is as good as expected
        best = min(best, float(expected.min()))

    tried = np.concatenate([known.features, known.unfinished])[:, :-1]

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


def _near(features: Array, tried: Array) -> NDArray[np.bool_]:
    """Returns which points, `(n, d)`, are as good as the same as one that was tried, `(m, d)`."""
    near = np.zeros(len(features), dtype=bool)
    for row in tried:
        near |= np.abs(features - row).max(axis=1) < _SAME
    return near


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
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = -np.abs(z) * np.exp(log_ndtr(z) - density)
        near = np.log(np.exp(density) + z * np.exp(log_ndtr(z)))
        below = density + np.log1p(ratio)
        far = density - 2.0 * np.log(np.abs(z))
    gains = np.where(z > -1.0, near, np.where(z > -25.0, below, far))
    found: Array = np.nan_to_num(gains, nan=-1e300, neginf=-1e300) + np.log(deviation)
    return found
