"""The law of trackers as tests.

Subclass `TrackerContract` and say how a tracker is made and how its records are read back:

    class TestMyTracker(TrackerContract):
        @pytest.fixture
        def store(self, tmp_path): ...
        def make(self, store): return MyTracker(store)
        def read(self, store): return StudyView(...)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from hpsearch.code_version import CodeVersion
from hpsearch.testing.memory_tracker import StudyView
from hpsearch.tracking import Champion, StudyRecord, Tracker
from hpsearch.trial import (
    DataSummary,
    Epoch,
    EvaluationResult,
    Failure,
    FailureKind,
    Result,
    TrialSpec,
    TrialState,
    Value,
)

METRIC = "val_accuracy"


def epoch(number: int, value: float = 0.5) -> Epoch:
    """Returns an epoch that measured `value`."""
    return Epoch(number, {"loss": 1.0 - value, METRIC: value}, 1_700_000_000.0 + number)


class TrackerContract(ABC):
    """What every tracker must do."""

    @abstractmethod
    @pytest.fixture
    def store(self, tmp_path: Path) -> Any:
        """Where records go: whatever `make` and `read` need."""

    @abstractmethod
    def make(self, store: Any) -> Tracker:
        """Returns a new tracker over the store, as a new process would have it."""

    @abstractmethod
    def read(self, store: Any) -> StudyView:
        """Returns what the store holds of the study."""

    @pytest.fixture
    def record(self, tmp_path: Path) -> StudyRecord:
        return StudyRecord(
            name="digits_mlp",
            id="0f3a",
            folder=str(tmp_path / "study"),
            experiment="name: digits_mlp\n",
            strategy="random",
            objectives={METRIC: "maximize"},
            settings={"search.trials": 20, "training.epochs": 3},
            data=DataSummary(
                name="digits",
                digest="0123456789abcdef",
                task="classification",
                sizes={"train": 1077, "validation": 360, "test": 360},
                shapes={"x": "(64,) float32", "y": "() int64"},
                class_names=tuple("0123456789"),
            ),
            versions={"python": "3.11.7", "keras": "3.15.0", "backend": "tensorflow"},
            code=CodeVersion("0" * 40),
        )

    @pytest.fixture
    def opened(self, store: Any, record: StudyRecord) -> Tracker:
        tracker = self.make(store)
        tracker.open_study(record)
        return tracker

    def spec(self, record: StudyRecord, number: int, **params: Value) -> TrialSpec:
        folder = Path(record.folder) / "trials" / f"{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        return TrialSpec(number, params, seed=number, folder=str(folder))

    def result(self, spec: TrialSpec, value: float = 0.9, *, pruned: bool = False, **late: Value) -> Result:
        params = {**spec.params, **late}
        metrics = {METRIC: value, "loss": 1.0 - value}
        return Result(params, metrics, epochs=3, best_epoch=2, duration_s=1.5, pruned=pruned)

    def complete(self, tracker: Tracker, spec: TrialSpec, value: float = 0.9) -> None:
        tracker.start_trial(spec)
        for number in (1, 2, 3):
            tracker.log_epoch(spec.number, epoch(number, value))
        tracker.finish_trial(spec, TrialState.COMPLETE, self.result(spec, value))

    def test_a_trial_is_recorded_whole(self, store: Any, record: StudyRecord, opened: Tracker) -> None:
        self.complete(opened, self.spec(record, 7, units=32, optimizer="adam"), 0.9)
        opened.close()
        run = self.read(store).runs[7]
        assert (run.status, run.state) == ("FINISHED", "COMPLETE")
        assert run.params == {"units": "32", "optimizer": "adam"}
        assert run.series[METRIC] == [(1, 0.9), (2, 0.9), (3, 0.9)]
        assert run.best[METRIC] == 0.9

    def test_a_running_trial_shows_its_parameters_and_epochs(
        self, store: Any, record: StudyRecord, opened: Tracker
    ) -> None:
        opened.start_trial(self.spec(record, 0, units=32))
        opened.log_epoch(0, epoch(1))
        opened.close()
        run = self.read(store).runs[0]
        assert (run.status, run.params, run.series[METRIC]) == ("RUNNING", {"units": "32"}, [(1, 0.5)])

    def test_a_repeated_epoch_is_ignored(self, store: Any, record: StudyRecord, opened: Tracker) -> None:
        spec = self.spec(record, 0)
        opened.start_trial(spec)
        for number, value in ((1, 0.1), (2, 0.2), (1, 0.7), (2, 0.2)):
            opened.log_epoch(0, epoch(number, value))
        opened.close()
        assert self.read(store).runs[0].series[METRIC] == [(1, 0.1), (2, 0.2)]

    def test_everything_sent_twice_is_there_once(
        self, store: Any, record: StudyRecord, opened: Tracker
    ) -> None:
        for tracker in (opened, self.make(store)):
            tracker.open_study(record)
            self.complete(tracker, self.spec(record, 0, units=32))
            tracker.log_best(0, {METRIC: 0.9}, {"COMPLETE": 1})
            tracker.finish_study(interrupted=False)
            tracker.close()
        view = self.read(store)
        assert list(view.runs) == [0]
        assert view.runs[0].series[METRIC] == [(1, 0.9), (2, 0.9), (3, 0.9)]
        assert (view.runs[0].status, view.status, view.best) == ("FINISHED", "FINISHED", [(1, 0.9)])

    def test_files_of_the_study_replace_earlier_ones(
        self, store: Any, record: StudyRecord, opened: Tracker, tmp_path: Path
    ) -> None:
        page, picture = tmp_path / "report.html", tmp_path / "history.png"
        for text in ("early", "late"):
            page.write_text(text)
            picture.write_text(f"{text} picture")
            opened.log_files([str(page), str(picture)])
            opened.log_files([str(tmp_path / "gone.png")])
        opened.finish_study(interrupted=False)
        opened.close()
        assert self.read(store).files == {"report.html": "late", "history.png": "late picture"}

    def test_an_interrupted_trial_goes_on_in_its_run(
        self, store: Any, record: StudyRecord, opened: Tracker
    ) -> None:
        spec = self.spec(record, 0, units=32)
        opened.start_trial(spec)
        opened.log_epoch(0, epoch(1, 0.1))
        opened.interrupt_trial(0)
        opened.finish_study(interrupted=True)
        opened.close()
        stopped = self.read(store)
        assert (stopped.status, stopped.runs[0].status) == ("KILLED", "KILLED")

        tracker = self.make(store)
        tracker.open_study(record)
        tracker.start_trial(spec)
        for number in (1, 2):  # it repeats the first epoch
            tracker.log_epoch(0, epoch(number, 0.2))
        tracker.close()
        going = self.read(store)
        assert (going.status, going.runs[0].status) == ("RUNNING", "RUNNING")
        assert going.runs[0].series[METRIC] == [(1, 0.1), (2, 0.2)]
        assert list(going.runs) == [0]

    def test_finish_alone_brings_what_never_arrived(
        self, store: Any, record: StudyRecord, opened: Tracker
    ) -> None:
        spec = self.spec(record, 3, units=8)
        history = f"epoch,ended_at_s,loss,{METRIC}\n1,1700000001.0,0.9,0.1\n2,1700000002.0,0.8,0.2\n"
        (Path(spec.folder) / "history.csv").write_text(history)
        opened.finish_trial(spec, TrialState.COMPLETE, self.result(spec, 0.2))
        opened.close()
        run = self.read(store).runs[3]
        assert run.series[METRIC] == [(1, 0.1), (2, 0.2)]
        assert (run.status, run.params) == ("FINISHED", {"units": "8"})

    def test_a_failed_trial_tells_its_cause(self, store: Any, record: StudyRecord, opened: Tracker) -> None:
        spec = self.spec(record, 0, units=32)
        opened.start_trial(spec)
        opened.log_epoch(0, epoch(1))
        opened.finish_trial(spec, TrialState.FAILED, Failure(FailureKind.NAN, "the loss is nan in epoch 2"))
        opened.close()
        run = self.read(store).runs[0]
        assert (run.status, run.state) == ("FAILED", "FAILED")
        assert (run.kind, run.cause) == ("nan", "the loss is nan in epoch 2")
        assert run.series[METRIC] == [(1, 0.5)]

    def test_a_pruned_trial_has_not_failed(self, store: Any, record: StudyRecord, opened: Tracker) -> None:
        spec = self.spec(record, 0)
        opened.start_trial(spec)
        opened.finish_trial(spec, TrialState.PRUNED, self.result(spec, 0.3, pruned=True))
        opened.close()
        run = self.read(store).runs[0]
        assert (run.status, run.state, run.cause) == ("FINISHED", "PRUNED", None)

    def test_trials_running_side_by_side_keep_apart(
        self, store: Any, record: StudyRecord, opened: Tracker
    ) -> None:
        specs = [self.spec(record, number, units=number) for number in range(3)]
        for spec in specs:
            opened.start_trial(spec)
        for number in (1, 2, 3):
            for spec in specs:
                opened.log_epoch(spec.number, epoch(number, spec.number / 10))
        for spec in reversed(specs):
            opened.finish_trial(spec, TrialState.COMPLETE, self.result(spec, spec.number / 10))
        opened.close()
        for number, run in self.read(store).runs.items():
            assert run.params == {"units": str(number)}
            assert run.series[METRIC] == [(step, number / 10) for step in (1, 2, 3)]

    def test_parameters_may_come_later(self, store: Any, record: StudyRecord, opened: Tracker) -> None:
        opened.start_trial(self.spec(record, 0))
        opened.start_trial(self.spec(record, 0, units=32))
        spec = self.spec(record, 0, units=32, dropout=0.5)
        opened.finish_trial(spec, TrialState.COMPLETE, self.result(spec, late=True))
        opened.close()
        assert self.read(store).runs[0].params == {"units": "32", "dropout": "0.5", "late": "True"}

    def test_the_same_champion_keeps_its_version(
        self, store: Any, record: StudyRecord, opened: Tracker
    ) -> None:
        specs = [self.spec(record, number) for number in range(2)]
        for spec in specs:
            (Path(spec.folder) / "model.keras").write_bytes(b"weights")
            self.complete(opened, spec)

        def crowned(tracker: Tracker, spec: TrialSpec) -> str | None:
            model = Path(spec.folder) / "model.keras"
            tested = EvaluationResult({"test_accuracy": 0.88}, str(model.with_name("samples.npz")))
            return tracker.crown(Champion(spec.number, {METRIC: 0.9}, str(model), tested), "digits")

        assert crowned(opened, specs[0]) == crowned(opened, specs[0]) == "1"
        opened.close()
        later = self.make(store)
        later.open_study(record)
        assert crowned(later, specs[0]) == "1"
        assert crowned(later, specs[1]) == "2"
        later.close()
        view = self.read(store)
        assert (view.versions, view.champion) == ({"1": 0, "2": 1}, "2")

    def test_closing_twice_is_harmless(self, opened: Tracker) -> None:
        assert list(opened.close()) == []
        assert list(opened.close()) == []
