"""Optuna's own contract for samplers, as it ships with Optuna, on every sampler behind our wrapper.

What differs from Optuna is visible below as an overridden test with its reason.
"""

from importlib.util import find_spec

import optuna
import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
    parametrize_suggest_method,
)

from hpsearch import strategies
from hpsearch.errors import StrategyError
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Parameter, Space, SpaceExhausted
from hpsearch.strategies import Context
from hpsearch.strategies.visited import size_of

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def make(name="optuna", directions=("minimize",), **settings):
    """A sampler that knows of `x`; where the suite asks for anything else, so much the better."""
    context = Context(Space((Parameter("x", "int", 0, low=0, high=10),)), directions, seed=1)
    return lambda: strategies.create(StrategySection(name=name, **settings), context).sampler


class Basic(BasicSamplerTestCase):
    @parametrize_suggest_method("x")
    def test_single_parameter_objective(self, sampler, suggest_method_x):
        """Optuna repeats points when it has none left; a search of ours ends (3 points, 10 trials)."""
        study = optuna.create_study(sampler=sampler())
        points = []
        for _ in range(10):
            if study.sampler.exhausted(study):
                with pytest.raises(SpaceExhausted):
                    suggest_method_x(study.ask())
                break
            trial = study.ask()
            points.append(suggest_method_x(trial))
            study.tell(trial, points[-1])
        assert len(points) in (3, 10)
        if size_of(trial.distributions["x"]) is not None:
            assert len(set(points)) == len(points)


class TestRandom(Basic, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make("random")


class TestTpe(Basic, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make(sampler={"name": "tpe", "n_startup_trials": 0})


class TestTpeWithTwoObjectives(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make(directions=("minimize", "maximize"), sampler={"name": "tpe", "n_startup_trials": 0})


class TestNsgaII(Basic, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make(sampler={"name": "nsgaii", "population_size": 2})


class TestNsgaIII(Basic, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make(sampler={"name": "nsgaiii", "population_size": 2})


class TestQmc(Basic, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make(sampler="qmc")


class TestCmaEs(Basic, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make(sampler={"name": "cmaes", "n_startup_trials": 0})

    def test_sample_relative_categorical(self):
        """CMA-ES has no categories; Optuna leaves it out here too."""

    def test_sample_relative_mixed(self):
        """CMA-ES has no categories; Optuna leaves it out here too."""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="Optuna's GPSampler needs torch")
class TestGp(Basic, MultiObjectiveSamplerTestCase):
    """Without the suite for relative sampling, which the wrapper only passes on: 40 s."""

    @pytest.fixture
    def sampler(self):
        return make(sampler={"name": "gp", "n_startup_trials": 9})


class TestBayesian(Basic):
    @pytest.fixture
    def sampler(self):
        return make("bayesian", options={"num_initial_points": 9})


class TestGrid(Basic):
    """A grid is finite, so what follows covers finite ranges only."""

    @pytest.fixture
    def sampler(self):
        return make("grid")

    @pytest.mark.parametrize(
        "distribution",
        [
            optuna.distributions.FloatDistribution(-10, 10, step=0.1),
            optuna.distributions.FloatDistribution(-10.2, 10.2, step=0.1),
        ],
    )
    def test_float(self, sampler, distribution):
        super().test_float(sampler, distribution)

    def test_a_continuous_range_is_refused(self, sampler):
        trial = optuna.create_study(sampler=sampler()).ask()
        with pytest.raises(StrategyError, match="a grid cannot cover `x`, whose range is continuous"):
            trial.suggest_float("x", 0.0, 1.0)

    @pytest.mark.parametrize("low_high", [(1, 10)])
    def test_single_parameter_objective(self, sampler, low_high):
        """With a finite range; `test_strategies.py` covers many."""
        study = optuna.create_study(sampler=sampler())
        study.optimize(lambda trial: trial.suggest_int("x", *low_high), n_trials=10)
        assert [trial.params["x"] for trial in study.trials] == list(range(1, 11))

    def test_conditional_parameter_objective(self, sampler):
        """Continuous branches."""

    def test_nan_objective_value(self, sampler):
        """A continuous range."""

    def test_partial_fixed_sampling(self, sampler):
        """Continuous ranges."""

    def test_combination_of_different_distributions_objective(self, sampler):
        """Continuous ranges."""

    @pytest.mark.parametrize("second", [(0, 5), (0, 20), (20, 30)])
    def test_dynamic_range_objective(self, sampler, second):
        """Without the continuous hyperparameter. The points that both ranges have are not repeated."""
        study = optuna.create_study(sampler=sampler())
        study.optimize(lambda trial: trial.suggest_int("y", 0, 10), n_trials=11)
        study.optimize(lambda trial: trial.suggest_int("y", *second), n_trials=6)
        assert [trial.params["y"] for trial in study.trials[11:]] == list(range(second[0], second[0] + 6))
