"""What Keras Tuner's oracle is shown, and what becomes of its proposals."""

import numpy as np
import optuna

from hpsearch.space import Parameter, Space, suggest
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
