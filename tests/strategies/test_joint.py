"""What every sampler does that proposes a whole point from a space it knows: ours and Keras Tuner's."""

import numpy as np
import optuna
import pytest

from hpsearch.space import Condition, Parameter, Space, suggest
from hpsearch.strategies import Context
from hpsearch.strategies.bayesian import create_process_sampler
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.oracle import OracleSampler

X = Parameter("x", "float", 0.5, low=0.0, high=1.0)


def _process(space, direction, points):
    return create_process_sampler(Context(space, (direction,), epochs=9), points)


def _oracle(space, direction, points):
    return DistinctSampler(lambda seed: OracleSampler(space, seed, {"num_initial_points": points}), 0)


@pytest.fixture(params=[_process, _oracle], ids=["process", "oracle"])
def study_of(request):
    def make(*parameters, direction="minimize", points=4):
        sampler = request.param(Space(parameters), direction, points)
        return optuna.create_study(direction=direction, sampler=sampler)

    return make


def tell(study, value, at):
    """Adds a trial with a value of its own choice."""
    study.enqueue_trial({"x": at})
    trial = study.ask()
    suggest(trial, X)
    study.tell(trial, value)


def proposal(study, *parameters):
    trial = study.ask()
    return [suggest(trial, parameter) for parameter in parameters]


@pytest.mark.parametrize(("direction", "expected"), [("minimize", 0.25), ("maximize", 0.75)])
def test_goes_where_the_objective_is_best(study_of, direction, expected):
    study = study_of(X, direction=direction)
    for at in (0.05, 0.15, 0.25, 0.35, 0.65, 0.75, 0.85, 0.95):
        tell(study, float(np.sin(2 * np.pi * at) * -1), at)
    assert proposal(study, X) == pytest.approx([expected], abs=0.07)


def test_failures_and_infinite_objectives_are_left_out(study_of):
    """Keras Tuner's oracle would take an infinite loss for 0, far below any other."""
    study, clean = study_of(X), study_of(X)
    for at in (0.1, 0.3, 0.5, 0.9):
        for each in (study, clean):
            tell(each, 100 + at, at)
    distributions = study.trials[0].distributions
    infinite = optuna.create_trial(params={"x": 0.7}, distributions=distributions, value=float("inf"))
    study.add_trial(infinite)
    clean.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL))
    assert proposal(study, X) == proposal(clean, X)


def test_running_trials_are_kept_away_from(study_of):
    study = study_of(X)
    for at in (0.0, 0.25, 0.75, 1.0):
        tell(study, (at - 0.4) ** 2, at)
    outstanding = [proposal(study, X)[0] for _ in range(3)]
    assert np.diff(sorted(outstanding)).min() > 0.003


def test_conditions_and_recoded_hyperparameters(study_of):
    opt = Parameter("opt", "choice", "a", values=("a", "b"))
    a, b = (Condition("opt", ("a",)),), (Condition("opt", ("b",)),)
    under_a = Parameter("w", "int", 1, low=1, high=27, step=3, sampling="log", conditions=a)
    under_b = Parameter("m", "float", 0.1, low=0.1, high=0.9, sampling="reverse_log", conditions=b)
    study = study_of(opt, under_a, under_b, Parameter("v", "fixed", 1))
    for _ in range(12):
        trial = study.ask()
        values = {"opt": suggest(trial, opt)}
        follow = under_a if values["opt"] == "a" else under_b
        values[follow.name] = suggest(trial, follow)
        assert follow.contains(values[follow.name])
        study.tell(trial, float(values.get("w", 30)))
    assert study.best_value == 1.0


def test_hyperparameters_that_appear_later_and_values_that_no_longer_exist(study_of):
    study = study_of(X)
    stale = {
        "x": optuna.distributions.FloatDistribution(-9, 9),
        "gone": optuna.distributions.IntDistribution(0, 9),
    }
    for at in range(4):
        study.add_trial(optuna.create_trial(params={"x": -at, "gone": 1}, distributions=stale, value=at))
    late = Parameter("late", "choice", "p", values=("p", "q"))
    x, p = proposal(study, X, late)
    assert 0 <= x <= 1
    assert p in ("p", "q")
