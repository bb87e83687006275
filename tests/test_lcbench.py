"""Search quality on LCBench's learning curves, where they are there (HPSEARCH_BENCH_DIR)."""

import numpy as np
import pytest

from hpsearch.testing import lcbench
from hpsearch.testing.simulated import SimulatedSearch

pytestmark = pytest.mark.skipif(lcbench.folder() is None, reason="no LCBench surrogate, or no onnxruntime")


@pytest.fixture(scope="module")
def curves():
    return lcbench.LCBench(lcbench.Surrogate(lcbench.folder()), "3945")


def played(curves, strategy, trainings, **more):
    search = SimulatedSearch(
        curves,
        curves.space,
        strategy,
        metric=lcbench.METRIC,
        epochs=lcbench.EPOCHS,
        total_epochs=trainings * lcbench.EPOCHS,
        **more,
    )
    search.run()
    return search


def regret(curves, strategy, trainings):
    search = played(curves, strategy, trainings)
    trial = search.study.get_trials()[search.best_at(trainings * lcbench.EPOCHS).trial]
    assert all(
        parameter.contains(each.params[parameter.name])
        for each in search.study.get_trials()
        for parameter in lcbench.PARAMETERS
    )
    return curves.regret(trial.params)


def front_regret(curves, strategy, trainings):
    search = played(curves, strategy, trainings, others={lcbench.COST: "minimize"})
    return curves.front_regret([trial.params for trial in search.study.best_trials])


def test_of_two_objectives_promotion_finds_a_better_front(curves):
    assert front_regret(curves, "asha", 20) < front_regret(curves, "random", 20)


def test_the_regret_of_a_front_falls_as_configurations_are_added(curves):
    rng = np.random.default_rng(0)
    points = [
        {
            p.name: (rng.integers if p.kind == "int" else rng.uniform)(p.low, p.high)
            for p in lcbench.PARAMETERS
        }
        for _ in range(60)
    ]
    regrets = [curves.front_regret(points[:most]) for most in (0, 20, 40, 60)]
    assert regrets[0] == 1.0
    assert regrets == sorted(regrets, reverse=True)
    assert 0.0 < regrets[-1] < 0.9


def test_the_parameters_of_a_network():
    assert lcbench.parameters({"num_layers": 1, "max_units": 64}) == 51 * 64 + 65 * 10
    assert lcbench.parameters({"num_layers": 2, "max_units": 64}) == 51 * 64 + 65 * 37 + 38 * 10


def test_a_model_and_promotion_find_more_for_the_same_epochs(curves):
    assert regret(curves, "bayesian", 20) < 0.1
    assert regret(curves, "asha", 5) < regret(curves, "random", 5)
