"""`hyperband`: random draws, of which the weak ones are stopped early (Li et al., 2018).

Trials are dealt to brackets; in each, a trial goes on past 1, 3, 9, ... epochs only if it is among the best
third that came so far. Asynchronous, so no trial waits for another.
"""

from __future__ import annotations

from optuna.pruners import HyperbandPruner
from optuna.samplers import RandomSampler

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.strategies import Context, Strategy, options
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.pruners import create_pruner


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy.

    Options: `min_resource` (epochs every trial runs, default 1), `max_resource` (default: the epochs of
    the search), `reduction_factor` (default 3), `bootstrap_count` (default 0).

    Raises:
        StrategyError: There are several objectives, or another pruner is asked for.
    """
    options.refuse_sampler(section, context)
    if section.pruner is not None:
        message = fault(
            f"{context.where}.pruner",
            "strategy `hyperband` is a pruner itself",
            received=repr(section.pruner),
            advice="Give its options under `options`, or use `name: optuna` to choose a pruner.",
        )
        raise StrategyError(message)
    options.check(
        options.of(HyperbandPruner), section.options, f"{context.where}.options", "strategy `hyperband`"
    )
    return Strategy(
        sampler=DistinctSampler(RandomSampler, context.seed),
        pruner=create_pruner({"name": "hyperband", **section.options}, context),
        summary="hyperband",
    )
