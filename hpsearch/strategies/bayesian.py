"""`bayesian`: a Gaussian process over the whole space and expected improvement (Jones et al., 1998).

Each suggestion fits a process (`gaussian_process.py`) to what the study holds and looks for the point with
the highest logarithm of expected improvement, among a spread of candidates and around the best, in rounds.

- Points are snapped to the values that there are before they are compared: every proposal lies in the space.
- Running and paused trials count with what the process expects of them at full length (kriging believer,
  Ginsbourger et al., 2010), as if measured without noise. So nothing is gained beside one that runs, or that
  may still be promoted.
- How far a trial was trained is one coordinate more. Pruned and paused trials count with their best value, at
  their last epoch, and what is looked for is improvement at full length.
- Infeasible trials, those that break a constraint among them, count with the worst value so far; other
  failed trials with none.
- The first trials are a Sobol sequence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Parameter, Value
from hpsearch.strategies import Context, Strategy, options, oracle
from hpsearch.strategies.coordinates import Array, Coordinates
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.joint import JointSampler
from hpsearch.strategies.observations import Observations
from hpsearch.strategies.promising import most_promising
from hpsearch.strategies.pruners import create_pruner

OPTIONS = {"num_initial_points": (int,)}
SURROGATES = ("gaussian_process", "keras_tuner")


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
    advice = "Use `name: asha`, or `name: optuna` with sampler `nsgaii` or `tpe`."
    options.refuse_several_objectives("strategy `bayesian`", context.where, context, advice)

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
            point = most_promising(known, coordinates, np.random.default_rng(self._seed)).point
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
