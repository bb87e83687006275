"""`auto`: one of the others, chosen by the objectives, the space and the budget; it says which, and why.

    several objectives                                   optuna, sampler tpe
    a space of which the budget covers all               grid
    a budget of epochs or of time, trials can pause      asha
    a budget of trials                                   bayesian

On LCBench's learning curves `asha` finds more than `bayesian` for the same epochs, whatever their number (the
README has the table). A budget of trials is another matter: those that `asha` stops early count as much as
whole ones. How many run at a time makes no difference, as both keep what runs side by side apart.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategyName, StrategySection
from hpsearch.strategies import Context, Strategy, options

FEWEST_EPOCHS = 4
"""A trial of fewer is too short to be stopped at a third of them."""


def create(section: StrategySection, context: Context) -> Strategy:
    """Chooses, and creates what it chose. It has no options.

    The choice is made anew each time that a search goes on: a budget may have changed.

    Raises:
        StrategyError: A sampler, a pruner or an option is given.
    """
    options.refuse_sampler(section, context)
    options.check({}, section.options, f"{context.where}.options", "strategy `auto`")
    if section.pruner is not None:
        message = fault(
            f"{context.where}.pruner",
            "strategy `auto` chooses by itself",
            received=repr(section.pruner),
            advice="Name the strategy, for example `name: optuna`.",
        )
        raise StrategyError(message)
    name, why = choose(context)
    chosen: Strategy = import_module(f"hpsearch.strategies.{name}").create(
        StrategySection(name=name), context
    )
    return replace(chosen, summary=f"{chosen.summary} (auto: {why})")


def choose(context: Context) -> tuple[StrategyName, str]:
    """Returns the strategy's name, and in a few words why it was chosen."""
    size, budget = context.space.size(), context.budget
    if len(context.directions) > 1:
        return "optuna", f"{len(context.directions)} objectives"
    if size is not None and budget.covers(size, context.epochs):
        return "grid", f"the budget covers all {size} combinations"
    if budget.counts_trials(context.epochs):
        return "bayesian", "the budget counts trials"
    if context.parts > 1:
        return "bayesian", "trials of several trainings are not judged by their epochs"
    if not context.per_epoch:
        return "bayesian", "the objective is not known before a trial has ended"
    if context.epochs < FEWEST_EPOCHS:
        return "bayesian", f"trials of {context.epochs} epochs are too short to be stopped early"
    if not context.resumes:
        return "bayesian", "a `fit` of the model's own cannot pause"
    return "asha", "the budget counts epochs or time, of which weak trials get few"
