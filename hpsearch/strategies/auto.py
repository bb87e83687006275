"""`auto`: one of the others, chosen by the objectives, the space and the budget; it says which, and why.

    a space of which the budget covers all, one objective    grid
    a budget of epochs or of time, trials can pause          asha
    a budget of trials, one objective                        bayesian
                        several objectives                   optuna, sampler tpe

On LCBench's learning curves `asha` finds more than `bayesian`, and of two objectives more than `tpe`, for
the same epochs, whatever their number (the README has the tables). A budget of trials is another matter:
those that `asha` stops early count as much as whole ones. How many run at a time makes no difference, as
what runs side by side is kept apart.
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
    size, objectives = context.space.size(), len(context.directions)
    if objectives == 1 and size is not None and context.budget.covers(size, context.epochs):
        return "grid", f"the budget covers all {size} combinations"
    why = _why_trained_whole(context)
    if why is None:
        return "asha", "the budget counts epochs or time, of which weak trials get few"
    return ("bayesian", why) if objectives == 1 else ("optuna", f"{objectives} objectives, and {why}")


def _why_trained_whole(context: Context) -> str | None:
    """Returns why no trial should be stopped early, if none should."""
    if context.budget.counts_trials(context.epochs):
        return "the budget counts trials"
    if context.parts > 1:
        return "trials of several trainings are not judged by their epochs"
    if not context.per_epoch:
        return "no objective is known before a trial has ended"
    if context.epochs < FEWEST_EPOCHS:
        return f"trials of {context.epochs} epochs are too short to be stopped early"
    if not context.resumes:
        return "a `fit` of the model's own cannot pause"
    return None
