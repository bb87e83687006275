"""What `auto` chooses, what it says of it, and that it is what a search has that names nothing."""

import pytest

from hpsearch import strategies
from hpsearch.errors import StrategyError
from hpsearch.experiment_search import SearchSection, StrategySection
from hpsearch.space import Parameter, Space
from hpsearch.strategies import Budget, Context

LR = Parameter("lr", "float", 0.01, low=1e-4, high=0.1, sampling="log")
FINITE = Space((Parameter("units", "int", 16, low=1, high=3), Parameter("bn", "boolean", False)))
TWO = ("minimize", "maximize")
RUNGS = "asha: bayesian, 1, 3, 9, 20 epochs"


@pytest.mark.parametrize(
    ("budget", "space", "context", "summary"),
    [
        (Budget(trials=50), Space((LR,)), {}, "bayesian: gaussian process (auto: the budget counts trials)"),
        (
            Budget(trials=50),
            Space((LR,)),
            {"directions": TWO},
            "optuna: tpe (auto: 2 objectives, and the budget counts trials)",
        ),
        (Budget(trials=6), FINITE, {"directions": TWO}, "optuna: tpe (auto: 2 objectives"),
        (Budget(timeout_s=60), Space((LR,)), {"directions": TWO}, "asha: tpe, 1, 3, 9, 20 epochs (auto: the"),
        (Budget(timeout_s=60), Space((LR,)), {"directions": TWO, "per_epoch": False}, "optuna: tpe (auto: 2"),
        (Budget(timeout_s=60), Space((LR,)), {"per_epoch": False}, "no objective is known before"),
        (Budget(trials=6), FINITE, {}, "grid (auto: the budget covers all 6 combinations)"),
        (Budget(trials=5), FINITE, {}, "bayesian: gaussian process (auto: the budget counts trials)"),
        (Budget(total_epochs=120), FINITE, {}, "grid (auto: the budget covers all 6 combinations)"),
        (Budget(total_epochs=119), FINITE, {}, RUNGS),
        (Budget(timeout_s=60), FINITE, {}, RUNGS),
        (Budget(timeout_s=60), Space((LR,)), {}, RUNGS),
        (Budget(total_compute_s=60), FINITE, {}, RUNGS),
        (Budget(50, total_epochs=999), Space((LR,)), {}, RUNGS),
        (Budget(50, total_epochs=1000), Space((LR,)), {}, "the budget counts trials"),
        (Budget(50, timeout_s=60), Space((LR,)), {}, "the budget counts trials"),
        (Budget(50, total_compute_s=60), Space((LR,)), {}, "the budget counts trials"),
        (Budget(timeout_s=60), Space((LR,)), {"epochs": 3}, "trials of 3 epochs are too short"),
        (Budget(timeout_s=60), Space((LR,)), {"resumes": False}, "cannot pause"),
        (Budget(timeout_s=60), Space((LR,)), {"parts": 20}, "not judged by their epochs"),
    ],
)
def test_what_is_chosen_and_why(budget, space, context, summary):
    context = Context(space, **{"epochs": 20, "budget": budget, **context})
    strategy = strategies.create(StrategySection(name="auto"), context)
    assert summary in strategy.summary
    assert "(auto: " in strategy.summary


def test_it_is_the_default_unless_something_of_optuna_is_named():
    assert SearchSection().strategy.name == "auto"
    assert StrategySection(sampler="tpe").name == StrategySection(pruner="median").name == "optuna"
    assert StrategySection(name="random", pruner="median").name == "random"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"sampler": "tpe"}, "sampler: strategy `auto` has no choice of samplers"),
        ({"pruner": "median"}, "pruner: strategy `auto` chooses by itself; received 'median'"),
        ({"options": {"seed": 1}}, "options.seed: strategy `auto` has no such option"),
    ],
)
def test_nothing_can_be_chosen_beside_it(section, message):
    with pytest.raises(StrategyError, match=message):
        strategies.create(StrategySection(name="auto", **section), Context(Space((LR,))))
