"""Search quality on LCBench's learning curves, where they are there (HPSEARCH_BENCH_DIR)."""

import pytest

from hpsearch.testing import lcbench
from hpsearch.testing.simulated import SimulatedSearch

pytestmark = pytest.mark.skipif(lcbench.folder() is None, reason="no LCBench surrogate, or no onnxruntime")


@pytest.fixture(scope="module")
def curves():
    return lcbench.LCBench(lcbench.Surrogate(lcbench.folder()), "3945")


def regret(curves, strategy, trainings):
    search = SimulatedSearch(
        curves,
        curves.space,
        strategy,
        metric=lcbench.METRIC,
        epochs=lcbench.EPOCHS,
        total_epochs=trainings * lcbench.EPOCHS,
    )
    search.run()
    trial = search.study.get_trials()[search.best_at(trainings * lcbench.EPOCHS).trial]
    assert all(
        parameter.contains(each.params[parameter.name])
        for each in search.study.get_trials()
        for parameter in lcbench.PARAMETERS
    )
    return curves.regret(trial.params)


def test_a_model_and_promotion_find_more_for_the_same_epochs(curves):
    assert regret(curves, "bayesian", 20) < 0.1
    assert regret(curves, "asha", 5) < regret(curves, "random", 5)
