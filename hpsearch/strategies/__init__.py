"""How points are proposed, and which trials are stopped early: one strategy a file.

A strategy is a module of this folder with a function

    create(section: StrategySection, context: Context) -> Strategy

that raises a `StrategyError` where the experiment asks for what it cannot do. `StrategyContract` in
`hpsearch.testing.strategies` is its law; adding one is adding a file.

    auto        one of the others, by space and budget
    grid        every combination once, in order
    random      independent draws
    bayesian    a Gaussian process, ours or Keras Tuner's
    hyperband   random draws, the weak ones stopped early
    asha        many draws, of which the good ones go on from where they paused; brackets, and any sampler
    optuna      any sampler and pruner of Optuna: tpe, gp, cmaes, nsgaii, nsgaiii, qmc, random
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

from hpsearch.errors import StrategyError, did_you_mean, fault
from hpsearch.legs import Schedule
from hpsearch.space import Point, Space, encoded_point

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study

    from hpsearch.experiment_search import StrategySection
    from hpsearch.strategies.distinct import DistinctSampler


_BY_EPOCHS = ("asha", "hyperband")


@dataclass(frozen=True)
class Budget:
    """What ends a search; all None: the space."""

    trials: int | None = None
    total_epochs: int | None = None
    timeout_s: float | None = None
    total_compute_s: float | None = None

    def covers(self, trials: int, epochs: int) -> bool:
        """Returns whether it is enough for so many trials of so many epochs, as far as one can know."""
        enough = self.trials is None or trials <= self.trials
        enough = enough and (self.total_epochs is None or trials * epochs <= self.total_epochs)
        return enough and (not self._by_time or self.trials is not None)

    def counts_trials(self, epochs: int) -> bool:
        """Returns whether the number of trials will end the search, if each runs so many epochs."""
        if self.trials is None:
            return self.total_epochs is None and not self._by_time
        return self.total_epochs is None or self.trials * epochs <= self.total_epochs

    @property
    def _by_time(self) -> bool:
        return self.timeout_s is not None or self.total_compute_s is not None


@dataclass(frozen=True)
class Context:
    """What a strategy may know of the search."""

    space: Space
    """What the model declares, overrides applied."""
    directions: tuple[str, ...] = ("minimize",)
    """`minimize` or `maximize`, one for each objective."""
    seed: int = 0
    epochs: int = 1
    """The most a trial can run; its parts, if it has several."""
    budget: Budget = Budget()
    constrained: bool = False
    """Whether trials may turn out to be infeasible for breaking a constraint."""
    per_epoch: bool = True
    """Whether epochs report an objective, so that trials can be stopped early."""
    resumes: bool = True
    """Whether a trial that pauses goes on where it was; one with a `fit` of its own begins anew."""
    start: tuple[Point, ...] = ()
    """Points to try before all others, checked."""
    guests: tuple[Point, ...] = ()
    """Good points of earlier studies, to be tried in turn with the strategy's own."""
    where: str = "search.strategy"
    """Named in messages, e.g. `experiments/mnist.yaml: search.strategy`."""
    parts: int = 1
    """Trainings of a trial, folds and repeats: when one has ended, the mean so far is what a pruner sees."""


@dataclass(frozen=True)
class Strategy:
    """A study's sampler and pruner."""

    sampler: DistinctSampler
    pruner: BasePruner
    summary: str
    """In a few words, e.g. `optuna: tpe, median pruner`."""
    warnings: tuple[str, ...] = ()
    """What a person should know before the search begins."""
    schedule: Schedule | None = None
    """Has trials pause and go on, if it does."""

    @property
    def prunes(self) -> bool:
        """Whether trials may be stopped early."""
        from optuna.pruners import NopPruner

        return not isinstance(self.pruner, NopPruner)

    def exhausted(self, study: Study) -> bool:
        """Returns whether every combination was tried, or is being tried by a running trial.

        Ask again when a trial has ended: a running one may declare more hyperparameters, and then
        something is left to try.
        """
        return self.sampler.exhausted(study)


def names() -> tuple[str, ...]:
    """Returns the name of every strategy."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(name for name in modules if hasattr(import_module(f"{__name__}.{name}"), "create"))


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy an experiment asks for.

    Args:
        section: `search.strategy` of the experiment.
        context: The space, the objectives' directions, the seed and the epochs of the search.

    Raises:
        StrategyError: There is no such strategy, it has no such option, or it does not fit the space or
            the objectives.
    """
    if section.name not in names():
        message = fault(
            f"{context.where}.name",
            "unknown strategy",
            expected="one of " + ", ".join(f"`{name}`" for name in names()),
            received=section.name,
            advice=did_you_mean(section.name, names()),
        )
        raise StrategyError(message)
    if context.parts > 1 and section.name in _BY_EPOCHS:
        message = fault(
            f"{context.where}.name",
            f"compares trials by epochs, and a trial here is {context.parts} trainings, folds or repeats",
            expected="`auto`, `bayesian`, `random`, `grid`, or `optuna` with a pruner, which stops a trial "
            "after one of its trainings",
            received=section.name,
            advice="Or leave `evaluation` out.",
        )
        raise StrategyError(message)
    from hpsearch.strategies.beginning import Beginning

    strategy: Strategy = import_module(f"{__name__}.{section.name}").create(section, context)
    start = [encoded_point(context.space, point) for point in context.start]
    guests = [encoded_point(context.space, point) for point in context.guests]
    strategy.sampler.begin(Beginning(start, guests))
    if not guests:
        return strategy
    return replace(strategy, summary=f"{strategy.summary}, {len(guests)} points of earlier studies")
