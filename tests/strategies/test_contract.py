"""Every strategy, and every sampler of Optuna, through the contract."""

from importlib.util import find_spec

import pytest

from hpsearch.experiment_search import StrategySection
from hpsearch.testing.strategies import StrategyContract


class TestGrid(StrategyContract):
    covers_continuous = False
    random = False

    @pytest.fixture
    def section(self):
        return StrategySection(name="grid")


class TestRandom(StrategyContract):
    @pytest.fixture
    def section(self):
        return StrategySection(name="random")


class TestRandomWithPruner(StrategyContract):
    @pytest.fixture
    def section(self):
        return StrategySection(name="random", pruner={"name": "median", "n_startup_trials": 3})


class TestHyperband(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(name="hyperband")


class TestAsha(StrategyContract):
    @pytest.fixture
    def section(self):
        return StrategySection(name="asha")


class TestAshaWithTpe(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(
            name="asha", sampler={"name": "tpe", "n_startup_trials": 6}, options={"brackets": 2}
        )


class TestAshaWithTwoObjectives(StrategyContract):
    trials = 24
    objectives = 2

    @pytest.fixture
    def section(self):
        return StrategySection(name="asha", sampler={"name": "tpe", "n_startup_trials": 6})


class TestAshaWithThreeObjectives(StrategyContract):
    trials = 24
    objectives = 3

    @pytest.fixture
    def section(self):
        return StrategySection(name="asha", sampler={"name": "nsgaii", "population_size": 4})


class TestBayesian(StrategyContract):
    trials = 12
    interruptions = ((1.0, 1), (0.5, 2))

    @pytest.fixture
    def section(self):
        return StrategySection(name="bayesian", options={"num_initial_points": 4})


class TestAshaWithBayesian(StrategyContract):
    trials = 12
    interruptions = ((1.0, 1),)

    @pytest.fixture
    def section(self):
        return StrategySection(name="asha", sampler="bayesian")


@pytest.mark.slow
class TestOracle(StrategyContract):
    trials = 12  # the last one is the oracle's; each takes it one or two seconds
    interruptions = ((1.0, 1),)

    @pytest.fixture
    def section(self):
        return StrategySection(name="bayesian", options={"num_initial_points": 9, "surrogate": "keras_tuner"})


class TestTpe(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(name="optuna", sampler={"name": "tpe", "n_startup_trials": 6})


class TestTpeUnderHyperband(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(
            name="optuna", sampler={"name": "tpe", "n_startup_trials": 6}, pruner="hyperband"
        )


class TestCmaEs(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(name="optuna", sampler={"name": "cmaes", "popsize": 4})


class TestNsgaII(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(name="optuna", sampler={"name": "nsgaii", "population_size": 4})


class TestNsgaIII(StrategyContract):
    trials = 24

    @pytest.fixture
    def section(self):
        return StrategySection(name="optuna", sampler={"name": "nsgaiii", "population_size": 4})


class TestQmc(StrategyContract):
    @pytest.fixture
    def section(self):
        return StrategySection(name="optuna", sampler="qmc")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="Optuna's GPSampler needs torch")
class TestGp(StrategyContract):
    trials = 12
    interruptions = ((1.0, 1),)

    @pytest.fixture
    def section(self):
        return StrategySection(name="optuna", sampler={"name": "gp", "n_startup_trials": 9})
