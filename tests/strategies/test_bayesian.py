"""The Gaussian process, the coordinates it sees, and what becomes of its proposals."""

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch import strategies
from hpsearch.errors import StrategyError
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Parameter, Space, suggest
from hpsearch.strategies import Context
from hpsearch.strategies.bayesian import create_process_sampler
from hpsearch.strategies.coordinates import Coordinates
from hpsearch.strategies.gaussian_process import GaussianProcess
from hpsearch.strategies.promising import _log_expected_improvement
from hpsearch.testing.strategies import TOYS

X = Parameter("x", "float", 0.5, low=0.0, high=1.0)
N = Parameter("n", "int", 16, low=16, high=512, sampling="log")


def study_of(*parameters, direction="minimize", points=4, epochs=9):
    context = Context(Space(parameters), (direction,), epochs=epochs)
    sampler = create_process_sampler(context, points)
    return optuna.create_study(direction=direction, sampler=sampler)


def tell(study, value, parameter=X, at=None, **kwargs):
    study.enqueue_trial({parameter.name: at})
    trial = study.ask()
    suggest(trial, parameter)
    for epoch, each in kwargs.pop("epochs", {}).items():
        trial.report(each, epoch)
    study.tell(trial, value, **kwargs)


def proposal(study, *parameters):
    trial = study.ask()
    return [suggest(trial, parameter) for parameter in parameters]


@pytest.mark.parametrize(("sign", "end"), [(-1, 512), (1, 16)])
def test_proposals_reach_the_ends_of_a_range_and_stay_inside(sign, end):
    study = study_of(N)
    for at in (20, 32, 64, 128, 256, 400):
        tell(study, sign * float(np.log2(at)), N, at)
    assert proposal(study, N) == [end]


def test_pruned_trials_count_with_how_far_they_were_trained():
    """Trials pruned at the first epoch look worse by one than they would at the last: the best is at 0.8."""
    study = study_of(X)
    pruned = {"state": optuna.trial.TrialState.PRUNED}
    for at in np.linspace(0, 1, 11):
        tell(study, None, at=float(at), epochs={1: 1 + (at - 0.8) ** 2 * 5}, **pruned)
    for at in (0.1, 0.3, 0.5):
        tell(study, (at - 0.8) ** 2 * 5, at=at)
    assert proposal(study, X)[0] == pytest.approx(0.8, abs=0.15)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(TOYS)), st.integers(0, 2**32 - 1))
def test_a_point_has_the_features_of_its_values(toy, seed):
    coordinates = Coordinates(TOYS[toy].space)
    point = np.random.default_rng(seed).random(coordinates.dimensions)
    values = {parameter.name: value for parameter, value in coordinates.values(point).items()}
    for parameter, value in coordinates.values(point).items():
        assert parameter.contains(value)
    features = coordinates.features_of(values)
    np.testing.assert_allclose(features, coordinates.features(point[None])[0], atol=1e-9)
    np.testing.assert_allclose(coordinates.features(coordinates.points_of(features[None]))[0], features)


def test_the_process_predicts_as_scikit_learns_does():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3)), rng.standard_normal(20)
    process = GaussianProcess(x, y, np.zeros(3, bool))
    *weights, scale, noise = np.exp(process._theta)
    kernel = ConstantKernel(scale) * Matern(1 / np.sqrt(weights), nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=noise + 1e-6, optimizer=None).fit(x, y)
    points = rng.random((9, 3))
    np.testing.assert_allclose(process.predict(points), theirs.predict(points, return_std=True), rtol=1e-6)


def test_the_process_finds_what_matters():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random((40, 2)), rng.integers(0, 3, 40)])
    y = np.sin(6 * x[:, 0]) + 2.0 * (x[:, 2] == 1)
    process = GaussianProcess(x, (y - y.mean()) / y.std(), np.array([False, False, True]))
    matters, idle, category = process._theta[:3]
    assert min(matters, category) > idle + 2
    points = np.column_stack([rng.random((200, 2)), rng.integers(0, 3, 200)])
    truth = np.sin(6 * points[:, 0]) + 2.0 * (points[:, 2] == 1)
    assert np.corrcoef(process.predict(points)[0], truth)[0, 1] > 0.99


def test_the_logarithm_of_expected_improvement():
    from scipy.stats import norm

    mean, deviation = np.array([-1.0, 0.0, 2.0, 4.0]), np.array([0.5, 1.0, 1.0, 0.8])
    z = (0.0 - mean) / deviation
    expected = np.log(deviation * (z * norm.cdf(z) + norm.pdf(z)))
    np.testing.assert_allclose(_log_expected_improvement(mean, deviation, 0.0), expected, rtol=1e-6)
    far = _log_expected_improvement(np.linspace(5.0, 200.0, 400), np.full(400, 1.0), 0.0)
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()  # farther is worse, however small both are


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"options": {"surrogate": "forest"}},
            "surrogate: unknown surrogate.*`gaussian_process`, `keras_tuner`",
        ),
        ({"options": {"beta": 2.0}}, "beta: strategy `bayesian` has no such option"),
        ({"options": {"num_initial_points": 0}}, "must be above 0"),
        ({"sampler": "tpe"}, "has no choice of samplers"),
    ],
)
def test_wrong_options_are_refused(section, message):
    with pytest.raises(StrategyError, match=f"(?s){message}"):
        strategies.create(StrategySection(name="bayesian", **section), Context(Space((X,))))


def test_keras_tuners_oracle_is_there_with_its_options():
    section = StrategySection(name="bayesian", options={"surrogate": "keras_tuner", "beta": 2.0})
    assert strategies.create(section, Context(Space((X,)))).summary == "bayesian: keras tuner"
