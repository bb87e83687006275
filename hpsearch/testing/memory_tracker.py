"""A tracker that keeps everything in memory, and the view that every tracker's records are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.history import read_history
from hpsearch.trial import Epoch, Failure, Result, TrialSpec, TrialState, Value


@dataclass
class RunView:
    """A trial as the tracker shows it."""

    status: str = "RUNNING"
    """`RUNNING`, `FINISHED`, `FAILED` or `KILLED`: how the run ended."""
    state: str = "RUNNING"
    """A `TrialState`: how the trial ended."""
    params: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """(epoch, value) in the order of arrival, by metric."""
    best: dict[str, float] = field(default_factory=dict)
    """Metrics of the best epoch."""
    cause: str | None = None
    kind: str | None = None


@dataclass
class StudyView:
    """A study as the tracker shows it."""

    status: str = "RUNNING"
    runs: dict[int, RunView] = field(default_factory=dict)
    best: list[tuple[int, float]] = field(default_factory=list)
    """(ended trials, leading objective of the best)."""
    versions: dict[str, int] = field(default_factory=dict)
    """Trial by version of the registered model."""
    champion: str | None = None
    """The version that has the alias."""
    files: dict[str, str] = field(default_factory=dict)
    """Text by name, of the study's run."""


class MemoryTracker:
    """Keeps records in a `StudyView` that outlives it: give the same one to the tracker of a resumed search.

    Example:
        >>> tracker = MemoryTracker()
        >>> tracker.open_study(record)
        >>> tracker.start_trial(spec)
        >>> tracker.view.runs[spec.number].status
        'RUNNING'
    """

    def __init__(self, view: StudyView | None = None) -> None:
        self.view = view if view is not None else StudyView()
        self.calls: list[str] = []
        """Names of the methods called, in order."""
        self._metric = ""

    def open_study(self, record: StudyRecord) -> None:
        """Continues the view."""
        self.calls.append("open_study")
        self._metric = next(iter(record.objectives))
        self.view.status = "RUNNING"

    def start_trial(self, spec: TrialSpec) -> None:
        """Makes or reopens the trial's run."""
        self.calls.append("start_trial")
        run = self.view.runs.setdefault(spec.number, RunView())
        if run.status in ("FINISHED", "FAILED"):
            return
        run.status = "RUNNING"
        _add_params(run, spec.params)

    def log_epoch(self, number: int, epoch: Epoch) -> None:
        """Appends the epoch unless it is there."""
        self.calls.append("log_epoch")
        if epoch.part is None:  # it keeps no runs of parts
            _add_epoch(self.view.runs.setdefault(number, RunView()), epoch)

    def finish_trial(self, spec: TrialSpec, state: TrialState, outcome: Result | Failure) -> bool:
        """Closes the trial's run."""
        self.calls.append("finish_trial")
        run = self.view.runs.setdefault(spec.number, RunView())
        was_complete = run.status in ("FINISHED", "FAILED") and run.state == str(state)
        for epoch in read_history(Path(spec.folder) / "history.csv"):
            _add_epoch(run, epoch)
        _add_params(run, spec.params)
        if isinstance(outcome, Failure):
            run.cause, run.kind = outcome.cause, str(outcome.kind)
        else:
            _add_params(run, outcome.params)
            run.best = dict(outcome.metrics)
        run.status = "FAILED" if state is TrialState.FAILED else "FINISHED"
        run.state = str(state)
        return not was_complete

    def interrupt_trial(self, number: int) -> None:
        """Marks the trial's run as stopped."""
        self.calls.append("interrupt_trial")
        run = self.view.runs.setdefault(number, RunView())
        if run.status == "RUNNING":
            run.status = "KILLED"

    def log_files(self, paths: Sequence[str]) -> None:
        """Keeps their contents by name."""
        self.calls.append("log_files")
        there = [Path(path) for path in paths if Path(path).is_file()]
        self.view.files.update({path.name: path.read_text(errors="replace") for path in there})

    def log_best(self, number: int, metrics: Mapping[str, float], trials: Mapping[str, int]) -> None:
        """Appends the best value, unless one is there for as many ended trials."""
        self.calls.append("log_best")
        ended = sum(count for state, count in trials.items() if state != TrialState.RUNNING)
        if all(step != ended for step, _ in self.view.best):
            self.view.best.append((ended, metrics[self._metric]))

    def crown(self, champion: Champion, name: str) -> str | None:
        """Gives the champion a version."""
        self.calls.append("crown")
        known = {trial: version for version, trial in self.view.versions.items()}
        version = known.get(champion.trial, str(len(known) + 1))
        self.view.versions[version] = champion.trial
        self.view.champion = version
        return version

    def finish_study(self, *, interrupted: bool) -> None:
        """Closes the study."""
        self.calls.append("finish_study")
        self.view.status = "KILLED" if interrupted else "FINISHED"

    def close(self) -> Sequence[str]:
        """Has nothing left to send."""
        self.calls.append("close")
        return ()


def _add_params(run: RunView, params: Mapping[str, Value]) -> None:
    for name, value in params.items():
        run.params.setdefault(name, str(value))


def _add_epoch(run: RunView, epoch: Epoch) -> None:
    for name, value in epoch.metrics.items():
        series = run.series.setdefault(name, [])
        if all(step != epoch.number for step, _ in series):
            series.append((epoch.number, value))
