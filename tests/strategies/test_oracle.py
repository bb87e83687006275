"""What Keras Tuner's oracle is shown, and what becomes of its proposals."""

import numpy as np
import optuna
import pytest

from hpsearch.space import Condition, Parameter, Space, suggest
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.oracle import OracleSampler, predict

X = Parameter("x", "float", 0.5, low=0.0, high=1.0)
N = Parameter("n", "int", 16, low=16, high=512, sampling="log")


def study_of(*parameters, direction="minimize", points=4):
    def factory(seed):
        return OracleSampler(Space(parameters), seed, {"num_initial_points": points})

    return optuna.create_study(direction=direction, sampler=DistinctSampler(factory, 0))


def tell(study, value, parameter=X, at=None):
    """Adds a trial with a value of its own choice."""
    study.enqueue_trial({parameter.name: at})
    trial = study.ask()
    suggest(trial, parameter)
    study.tell(trial, value)


def proposal(study, *parameters):
    trial = study.ask()
    return [suggest(trial, parameter) for parameter in parameters]


@pytest.mark.parametrize(("direction", "expected"), [("minimize", 0.25), ("maximize", 0.75)])
def test_goes_where_the_objective_is_best(direction, expected):
    study = study_of(X, direction=direction)
    for at in (0.05, 0.15, 0.25, 0.35, 0.65, 0.75, 0.85, 0.95):
        tell(study, float(np.sin(2 * np.pi * at) * -1), at=at)
    assert proposal(study, X) == pytest.approx([expected], abs=0.07)


def test_failures_and_infinite_objectives_are_left_out():
    """The oracle would take an infinite loss for 0, far below any other."""
    study, clean = study_of(X), study_of(X)
    for at in (0.1, 0.3, 0.5, 0.9):
        for each in (study, clean):
            tell(each, 100 + at, at=at)
    study.add_trial(
        optuna.create_trial(
            params={"x": 0.7}, distributions=study.trials[0].distributions, value=float("inf")
        )
    )
    clean.add_trial(optuna.create_trial(state=optuna.trial.TrialState.FAIL))
    assert proposal(study, X) == proposal(clean, X)


def test_running_trials_are_kept_away_from():
    study = study_of(X)
    for at in (0.0, 0.25, 0.75, 1.0):
        tell(study, (at - 0.4) ** 2, at=at)
    outstanding = [proposal(study, X)[0] for _ in range(3)]
    gaps = np.diff(sorted(outstanding))
    assert gaps.min() > 0.01


def test_pruned_trials_count_with_their_last_value():
    study = study_of(X, points=3)
    for at in (0.1, 0.5, 0.9):
        study.enqueue_trial({"x": at})
        trial = study.ask()
        suggest(trial, X)
        trial.report(at, 1)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert proposal(study, X)[0] < 0.2


def test_proposals_stay_in_the_declared_range(monkeypatch):
    """The oracle proposes 513 for a logarithmic integer up to 512."""
    proposed = []
    propose = OracleSampler._propose
    monkeypatch.setattr(
        OracleSampler, "_propose", lambda *args: (proposed.append(propose(*args)), proposed[-1])[1]
    )
    study = study_of(N)
    for at in (16, 32, 64, 128, 256, 400):
        tell(study, -float(np.log2(at)), N, at)
    assert proposal(study, N) == [512]
    assert proposed == [{"n": 513}]


def test_conditions_and_recoded_hyperparameters():
    opt = Parameter("opt", "choice", "a", values=("a", "b"))
    under_a = Parameter(
        "w", "int", 1, low=1, high=27, step=3, sampling="log", conditions=(Condition("opt", ("a",)),)
    )
    under_b = Parameter("m", "float", 0.1, low=0.1, high=0.9, sampling="reverse_log", conditions=(Condition("opt", ("b",)),))  # fmt: skip  # noqa: E501
    study = study_of(opt, under_a, under_b, Parameter("v", "fixed", 1))
    for _ in range(9):
        trial = study.ask()
        values = {"opt": suggest(trial, opt)}
        follow = under_a if values["opt"] == "a" else under_b
        values[follow.name] = suggest(trial, follow)
        assert follow.contains(values[follow.name])
        study.tell(trial, float(values.get("w", 30)))
    assert study.best_value == 1.0


def test_hyperparameters_that_appear_later_and_values_that_no_longer_exist():
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


def test_predicts_as_scikit_learn_does():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    rng = np.random.default_rng(0)
    x, y = rng.random((20, 4)), rng.random(20) * 5 - 3
    process = GaussianProcessRegressor(
        Matern(nu=2.5, length_scale_bounds="fixed"), normalize_y=True, alpha=1e-4
    )
    process.fit(x, y)
    points = np.vstack([x[:3], rng.random((9, 4))])
    np.testing.assert_allclose(predict(process, points), process.predict(points, return_std=True), rtol=1e-12, atol=1e-12)  # fmt: skip  # noqa: E501
