"""`random`: independent draws from each range (Bergstra and Bengio, 2012)."""

from __future__ import annotations

from optuna.samplers import RandomSampler

from hpsearch.experiment_search import StrategySection
from hpsearch.strategies import Context, Strategy, options
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.pruners import create_pruner


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy. It has no options; any pruner may be added."""
    options.refuse_sampler(section, context)
    options.check({}, section.options, f"{context.where}.options", "strategy `random`")
    return Strategy(
        sampler=DistinctSampler(RandomSampler, context.seed),
        pruner=create_pruner(section.pruner, context),
        summary="random",
    )
