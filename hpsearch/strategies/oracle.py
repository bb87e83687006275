"""Keras Tuner's `BayesianOptimizationOracle`, a Gaussian process with an upper confidence bound.

The oracle is made anew for each trial and shown the study's trials, so nothing of it has to be saved. It
only proposes: what Keras Tuner's oracles do besides (retries, JSON files, tables, locks) is not used.

What it is shown differs from the study where it would be misled:
- failed trials and non-finite objectives are left out (it takes an infinite loss for a perfect 0), but
  infeasible ones count with the worst objective so far;
- a running trial counts as one with the worst objective so far, so that nothing near it is proposed
  again (constant liar, Ginsbourger et al., 2010; it would ask a process that was not fitted yet);
- its proposals are moved into the declared range (`Int(..., sampling="log")` can leave it).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.space import Parameter, Space, Value, trial_values
from hpsearch.strategies.joint import JointSampler
from hpsearch.strategies.penalty import penalised

OPTIONS = {"num_initial_points": (int,), "alpha": (int, float), "beta": (int, float)}
"""As in Keras Tuner: random trials before the process is fitted (default three for each hyperparameter),
noise expected in the objective (default 1e-4), exploration (default 2.6)."""


class OracleSampler(JointSampler):
    """Asks Keras Tuner's oracle for all values of a trial together.

    Args:
        space: What the model declares.
        seed: Of the random starting points.
        given: The oracle's options.
    """

    def __init__(self, space: Space, seed: int, given: Mapping[str, Any]) -> None:
        super().__init__(seed)
        self._space = space
        self._seed = seed
        self._given = dict(given)
        self._initial_points = self._given.pop("num_initial_points", max(3 * len(space.parameters), 3))

    def propose(self, study: Study, trial: FrozenTrial) -> Iterable[tuple[Parameter, Value]]:
        """Asks the oracle, once there are enough trials."""
        history = self._history(study, trial)
        values = {} if history is None else self._propose(history)
        for parameter in self._space.parameters:
            if parameter.name in values and parameter.is_active(values):
                yield parameter, values[parameter.name]

    def _history(self, study: Study, trial: FrozenTrial) -> list[tuple[dict[str, Value], float]] | None:
        """Returns values and score (to minimise) of each trial, or None while there are too few."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        finished, running = [], []
        for other in penalised(study.get_trials(deepcopy=False), study.directions):
            if other.state in (TrialState.COMPLETE, TrialState.PRUNED):
                if other.value is not None and math.isfinite(other.value):
                    finished.append((self._known(other), sign * other.value))
            elif other.state == TrialState.RUNNING and other.number != trial.number and other.params:
                running.append(self._known(other))
        if len(finished) < self._initial_points:
            return None
        worst = max(score for _, score in finished)
        return finished + [(values, worst) for values in running]

    def _known(self, trial: FrozenTrial) -> dict[str, Value]:
        """Returns the trial's values that lie in the space; an override may have changed it meanwhile."""
        return {
            name: value
            for name, value in trial_values(trial).items()
            if any(p.name == name and p.contains(value) for p in self._space.parameters)
        }

    def _propose(self, history: list[tuple[dict[str, Value], float]]) -> dict[str, Value]:
        import keras_tuner
        from keras_tuner.engine.trial import Trial
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        def hyperparameters(values: Mapping[str, Value]) -> Any:
            space = [parameter.to_config() for parameter in self._space.parameters]
            return keras_tuner.HyperParameters.from_config({"space": space, "values": dict(values)})

        oracle = keras_tuner.oracles.BayesianOptimizationOracle(
            objective=keras_tuner.Objective("score", "min"),
            max_trials=None,
            num_initial_points=1,
            hyperparameters=hyperparameters({}),
            seed=self._seed + 1,  # it takes 0 for "no seed"
            **self._given,
        )
        for number, (values, score) in enumerate(history):
            trial = Trial(hyperparameters(values), trial_id=str(number), status="COMPLETED")
            trial.score = score
            oracle.trials[trial.trial_id] = trial
        oracle.gpr.predict = partial(predict, oracle.gpr)
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # the process says at length that a length scale is at its end
            proposed: dict[str, Value] = oracle.populate_space(str(len(history)))["values"]
        return proposed


def predict(process: Any, x: Any, return_std: bool = True) -> tuple[Any, Any]:  # noqa: ARG001
    """Predicts as scikit-learn's `GaussianProcessRegressor` does, without its checks of the input.

    The oracle predicts one point ten thousand times a proposal, and the checks were two thirds of that.

    Args:
        process: The fitted process, `normalize_y` on.
        x: Points, `(n, dimensions)`.
        return_std: Always true, as the oracle has it.

    Returns:
        Mean and standard deviation, each `(n,)`.
    """
    import numpy as np
    from scipy.linalg import solve_triangular

    covariance = process.kernel_(x, process.X_train_)
    mean = process._y_train_std * (covariance @ process.alpha_) + process._y_train_mean
    whitened = solve_triangular(process.L_, covariance.T, lower=True, check_finite=False)
    variance = process.kernel_.diag(x) - np.einsum("ij,ij->j", whitened, whitened)
    return mean, np.sqrt(np.maximum(variance, 0.0) * process._y_train_std**2)
