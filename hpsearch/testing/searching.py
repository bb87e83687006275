"""Searches of toy trials on disk: real study, real driver, real executor; `run` is one run of the driver."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from hpsearch import strategies
from hpsearch.driver import Search
from hpsearch.executors import Executor
from hpsearch.executors.inline import InlineExecutor
from hpsearch.executors.local import LocalExecutor
from hpsearch.experiment_checkpoints import CheckpointsSection
from hpsearch.experiment_failures import FailureSection
from hpsearch.experiment_search import StrategySection
from hpsearch.journal import open_storage
from hpsearch.listener import Listener
from hpsearch.objective import Direction, Objective
from hpsearch.plan import End, Plan
from hpsearch.policies import policies
from hpsearch.space import Override
from hpsearch.strategies import Context
from hpsearch.study import STUDY_FACTS, Study
from hpsearch.study_folder import StudyFolder
from hpsearch.testing import toys
from hpsearch.testing.memory_tracker import MemoryTracker, StudyView
from hpsearch.tracking import StudyRecord, Tracker
from hpsearch.trial import DataSummary

OBJECTIVE = "val_accuracy"


@dataclass
class ToySearch:
    """A study of toy trials: one slot runs in this process, several in processes of their own.

    Example:
        >>> search = ToySearch(tmp_path / "s", trials=5)
        >>> search.run()
        <End.TRIALS: 'trials'>
        >>> len(search.study.trials)
        5
    """

    path: Path
    strategy: str | Mapping[str, Any] = "random"
    space: str = "mixed"
    trials: int | None = 8
    slots: int = 1
    seed: int = 0
    objectives: Mapping[str, Direction] = field(default_factory=lambda: {OBJECTIVE: "maximize"})
    """`parameters` may be one."""
    toy: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `toys.toy_trial`."""
    overrides: Mapping[str, Override] = field(default_factory=dict)
    timeout_s: float | None = None
    total_epochs: int | None = None
    total_compute_s: float | None = None
    max_failures_in_a_row: int = 5
    on_failure: Mapping[str, Any] = field(default_factory=dict)
    trial_timeout_s: float | None = None
    silence_timeout_s: float | None = None
    checkpoints: Mapping[str, Any] = field(default_factory=dict)
    tracker: Tracker = field(default_factory=MemoryTracker)
    executor: Callable[[], Executor] | None = None
    """Default: inline for one slot, else local."""

    def __post_init__(self) -> None:
        self.path = Path(self.path)
        self.folder = StudyFolder(self.path)
        self.folder.create()

    def run(self, listener: Listener | None = None) -> End:
        """Runs the driver until it ends; returns why."""
        listener = listener or Listener()
        section = {"name": self.strategy} if isinstance(self.strategy, str) else self.strategy
        space = toys.space(self.space)
        strategy = strategies.create(
            StrategySection(**section),
            Context(
                space,
                tuple(self.objectives.values()),
                self.seed,
                self.toy.get("epochs", 3),
                constrained=bool({"most_units", "least_accuracy"} & self.toy.keys()),
            ),
        )
        plan = Plan(
            folder=self.folder,
            where="test",
            objectives=tuple(Objective(*each) for each in self.objectives.items()),
            overrides=self.overrides,
            seed=self.seed,
            trials=self.trials,
            timeout_s=self.timeout_s,
            max_failures_in_a_row=self.max_failures_in_a_row,
            on_failure=policies(FailureSection(**self.on_failure)),
            trial_timeout_s=self.trial_timeout_s,
            silence_timeout_s=self.silence_timeout_s,
            checkpoints=CheckpointsSection(**self.checkpoints),
            champion=(self.study.champion or {}).get("trial"),
            prunes=strategy.prunes,
            one_build_at_a_time=space.size() is not None,
            total_epochs=self.total_epochs,
            total_compute_s=self.total_compute_s,
        )
        executor = self._executor()
        with self.folder.lock():
            study = optuna.create_study(
                storage=open_storage(self.folder.journal, listener.on_full_disk),
                study_name=self.folder.name,
                directions=list(self.objectives.values()),
                sampler=strategy.sampler,
                pruner=strategy.pruner,
                load_if_exists=True,
            )
            facts = {"objectives": dict(self.objectives), "space": space.to_json()}
            study.set_user_attr(STUDY_FACTS, facts | {"data": asdict(self.record.data)})
            (self.path / "experiment.yaml").write_text(f"name: {self.folder.name}\n", encoding="utf-8")
            self.tracker.open_study(self.record)
            executor.start(partial(toys.toy_trial, space=self.space, **self.toy))
            try:
                exhausted, schedule = strategy.exhausted, strategy.schedule
                return Search(plan, study, executor, self.tracker, listener, exhausted, schedule).run()
            finally:
                executor.close()

    def _executor(self) -> Executor:
        if self.executor is not None:
            return self.executor()
        return InlineExecutor() if self.slots == 1 else LocalExecutor(slots=self.slots)

    @property
    def record(self) -> StudyRecord:
        """What a tracker is told of the study."""
        return StudyRecord(
            name=self.folder.name,
            id=f"toys of {self.folder.name}",
            folder=str(self.folder.path),
            experiment="",
            strategy=str(self.strategy),
            objectives=self.objectives,
            settings={},
            data=DataSummary("toys", "0", "classification", {}, {}),
            versions={},
        )

    @property
    def study(self) -> Study:
        """The study as it stands on disk."""
        return Study(self.folder)

    def points(self) -> list[str]:
        """Returns each trial's hyperparameters, as text that can be compared."""
        return [json.dumps(dict(trial.params), sort_keys=True) for trial in self.study.trials]


def assert_recorded(search: ToySearch, view: StudyView, trials: int) -> None:
    """Asserts that a tracker holds every trial of a search that has ended, whole and once."""
    assert sorted(view.runs) == list(range(trials))
    for trial in search.study.trials:
        run = view.runs[trial.number]
        assert (run.status, run.state) == ("FINISHED", "COMPLETE")
        assert run.params == {name: str(value) for name, value in trial.params.items()}
        assert [step for step, _ in run.series[OBJECTIVE]] == [1, 2, 3]
        assert run.best[OBJECTIVE] == trial.values[0]
    assert [step for step, _ in view.best] == list(range(1, trials + 1))
