"""A search without training, played to its end: strategy, driver and study are real, time is not."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import create_autospec

import optuna

from hpsearch import strategies
from hpsearch.driver import Search
from hpsearch.experiment_checkpoints import CheckpointsSection
from hpsearch.experiment_failures import FailureSection
from hpsearch.experiment_search import StrategySection
from hpsearch.listener import Listener
from hpsearch.objective import Objective
from hpsearch.plan import End, Plan
from hpsearch.policies import policies
from hpsearch.strategies import Budget, Context
from hpsearch.strategies.expectation import Expectation
from hpsearch.study_folder import StudyFolder
from hpsearch.testing.simulation import Curves, SimulatedExecutor, VirtualClock
from hpsearch.tracking import Tracker
from hpsearch.trial import Epoch, Value

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from hpsearch.space import Space


@dataclass(frozen=True)
class Moment:
    """An epoch of a search, in the order in which epochs ended."""

    cost: int
    """Epochs trained until then, by all trials."""
    at_s: float
    """On the virtual clock."""
    trial: int
    epoch: int
    value: float


class _Course(Listener):
    """Notes each epoch when it is trained; a trial that goes on reports the earlier ones again."""

    def __init__(self, executor: SimulatedExecutor, clock: VirtualClock, metric: str) -> None:
        self.moments: list[Moment] = []
        self._executor, self._clock, self._metric = executor, clock, metric

    def on_epoch(self, number: int, epoch: Epoch) -> None:
        if self._executor.trained > len(self.moments):
            value = epoch.metrics[self._metric]
            self.moments.append(
                Moment(self._executor.trained, self._clock.now_s, number, epoch.number, value)
            )


@dataclass
class SimulatedSearch:
    """One search over learning curves.

    Example:
        >>> search = SimulatedSearch(curves, space, "asha", metric="accuracy", epochs=50, total_epochs=250)
        >>> search.run()
        <End.EPOCHS: 'epochs'>
        >>> search.best_at(cost=100).value
        0.91
    """

    curves: Curves
    space: Space
    strategy: str | Mapping[str, Any]
    metric: str
    epochs: int
    """The most a trial can run."""
    direction: Literal["minimize", "maximize"] = "maximize"
    others: Mapping[str, Literal["minimize", "maximize"]] = field(default_factory=dict)
    """Further objectives, by metric."""
    trials: int | None = None
    total_epochs: int | None = None
    timeout_s: float | None = None
    total_compute_s: float | None = None
    patience: int | None = None
    min_improvement: float | None = None
    slots: int = 1
    seed: int = 0
    startup_s: float = 0.0
    start: Sequence[Mapping[str, Value]] = ()
    """Points to try first."""
    guests: Sequence[Mapping[str, Value]] = ()
    """Good points of earlier studies."""
    storage: BaseStorage | None = None
    """Default: memory."""
    moments: Sequence[Moment] = field(default_factory=list)
    study: Study | None = None

    def run(self) -> End:
        """Runs the driver until it ends; returns why."""
        section = {"name": self.strategy} if isinstance(self.strategy, str) else self.strategy
        budget = Budget(self.trials, self.total_epochs, self.timeout_s, self.total_compute_s)
        objectives = {self.metric: self.direction, **self.others}
        context = Context(self.space, tuple(objectives.values()), self.seed, self.epochs, budget)
        context = replace(context, start=tuple(self.start), guests=tuple(self.guests))
        strategy = strategies.create(StrategySection(**section), context)
        clock = VirtualClock()
        executor = SimulatedExecutor(
            self.curves,
            clock=clock,
            metric=self.metric,
            slots=self.slots,
            maximize=self.direction == "maximize",
            startup_s=self.startup_s,
        )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        course = _Course(executor, clock, self.metric)
        self.study = optuna.create_study(
            storage=self.storage or optuna.storages.InMemoryStorage(),
            study_name="simulated",
            directions=list(objectives.values()),
            sampler=strategy.sampler,
            pruner=strategy.pruner,
            load_if_exists=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            plan = Plan(
                folder=StudyFolder(Path(folder)),
                where="simulation",
                objectives=tuple(Objective(*each) for each in objectives.items()),
                overrides={},
                seed=self.seed,
                trials=self.trials,
                timeout_s=self.timeout_s,
                max_failures_in_a_row=5,
                on_failure=policies(FailureSection()),
                trial_timeout_s=None,
                silence_timeout_s=None,
                checkpoints=CheckpointsSection(),
                champion=None,
                prunes=strategy.prunes,
                one_build_at_a_time=self.space.size() is not None,
                total_epochs=self.total_epochs,
                total_compute_s=self.total_compute_s,
                patience=self.patience,
            )
            tracker = create_autospec(Tracker, instance=True)
            exhausted, schedule = strategy.exhausted, strategy.schedule
            search = Search(
                plan, self.study, executor, tracker, course, exhausted, schedule, clock, self._settled
            )
            end = search.run()
        self.moments = course.moments
        return end

    def _settled(self, study: Study) -> bool:
        if self.min_improvement is None:
            return False
        return self._expectation.is_settled(study, self.min_improvement)

    @cached_property
    def _expectation(self) -> Expectation:
        return Expectation(self.space, self.epochs)

    def best_at(self, cost: int) -> Moment:
        """Returns the best epoch among those of the first `cost`: what the search would give then."""
        sign = 1.0 if self.direction == "maximize" else -1.0
        return max((m for m in self.moments if m.cost <= cost), key=lambda m: sign * m.value)
