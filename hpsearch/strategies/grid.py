"""`grid`: every combination once, in order; the hyperparameter declared last changes fastest.

It always proposes the first value, and the combinations already tried push it on to the next: exact on
conditional spaces and on branches of plain Python, and the product is never built.
"""

# ruff: noqa: ARG002  the signatures are Optuna's

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.strategies import Context, Strategy, options
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.pruners import create_pruner
from hpsearch.strategies.visited import size_of, value_at


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy. It has no options; any pruner may be added.

    Raises:
        StrategyError: A hyperparameter has a continuous range.
    """
    options.refuse_sampler(section, context)
    options.check({}, section.options, f"{context.where}.options", "strategy `grid`")
    for parameter in context.space.parameters:
        if parameter.size is None:
            raise StrategyError(_continuous(parameter.name, context.where))
    return Strategy(
        sampler=DistinctSampler(lambda _: FirstValue(context.where), context.seed, in_order=True),
        pruner=create_pruner(section.pruner, context),
        summary="grid",
    )


class FirstValue(BaseSampler):
    """Proposes the smallest number, or the first choice."""

    def __init__(self, where: str = "") -> None:
        self._where = where

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns nothing: values are proposed one by one."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns the first value of each."""
        return {
            label: self.sample_independent(study, trial, label, each) for label, each in search_space.items()
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns the first value.

        Raises:
            StrategyError: There is none, as the range is continuous.
        """
        if size_of(param_distribution) is None:
            raise StrategyError(_continuous(param_name, self._where))
        return value_at(param_distribution, 0)


def _continuous(name: str, where: str) -> str:
    return fault(
        where,
        f"a grid cannot cover `{name}`, whose range is continuous",
        advice=f"Give a step or a list of values, e.g. `search.space: {{{name}: {{step: 0.1}}}}`, or choose "
        "another strategy.",
    )
