"""The runs of a trial's folds: of trials that are cut off, that fail, and of records that are sent twice."""

from pathlib import Path

import pytest

from hpsearch.parts import PARTS_FOLDER, PartResult, parts_of
from hpsearch.testing.trackers import METRIC
from hpsearch.tracking import StudyRecord
from hpsearch.tracking.mlflow import MlflowTracker
from hpsearch.tracking.store import connect, resolve
from hpsearch.trial import DataSummary, Epoch, Failure, FailureKind, Result, TrialSpec, TrialState

PARTS = parts_of(2, 1)


@pytest.fixture
def record(tmp_path):
    data = DataSummary("digits", "0f", "classification", {"train": 10}, {"x": "(64,) float32"})
    given = {
        "name": "d",
        "id": "0f",
        "folder": str(tmp_path / "study"),
        "experiment": "",
        "strategy": "random",
    }
    return StudyRecord(**given, objectives={METRIC: "maximize"}, settings={}, data=data, versions={})


@pytest.fixture
def spec(record):
    folder = Path(record.folder) / "trials" / "0003"
    for part in PARTS:
        (folder / PARTS_FOLDER / part.name).mkdir(parents=True)
    return TrialSpec(3, {"units": 8}, seed=1, folder=str(folder))


@pytest.fixture
def open_tracker(uri, record):
    made = []

    def make():
        tracker = MlflowTracker(uri, "digits")
        tracker.open_study(record)
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker.close()


def runs(uri):
    """Returns the runs by their names, with the steps of the metric that they hold."""
    client = connect(resolve(uri))
    [experiment] = client.search_experiments(filter_string="name = 'digits'")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    steps = {name: client.get_metric_history(run.info.run_id, METRIC) for name, run in found.items()}
    return found, {name: [point.step for point in points] for name, points in steps.items()}


def epoch(number, part=None):
    return Epoch(number, {METRIC: 0.1 * number}, 1_700_000_000.0 + number, part)


def result():
    parts = tuple(
        PartResult(part, part.number, {METRIC: 0.5 + 0.1 * part.number}, 2, 2, 1.0, kept=part.number == 2)
        for part in PARTS
    )
    return Result({"units": 8}, {METRIC: 0.65}, 4, 0, 2.0, parts=parts)


def history(spec, part):
    rows = f"epoch,{METRIC}\n1,0.1\n2,0.2\n"
    (Path(spec.folder) / PARTS_FOLDER / part.name / "history.csv").write_text(rows)


def test_a_part_is_seen_while_it_trains_and_goes_on_in_its_run(open_tracker, uri, spec):
    tracker = open_tracker()
    tracker.start_trial(spec)
    tracker.log_epoch(3, epoch(1, PARTS[0]))
    tracker.interrupt_trial(3)
    tracker.close()
    found, steps = runs(uri)
    assert found["trial-0003-fold-1"].info.status == "KILLED"
    assert found["trial-0003-fold-1"].data.tags["mlflow.parentRunId"] == found["trial-0003"].info.run_id
    assert (steps["trial-0003-fold-1"], steps["trial-0003"]) == ([1], [])

    tracker = open_tracker()
    tracker.start_trial(spec)
    for each in (epoch(1, PARTS[0]), epoch(2, PARTS[0]), epoch(1), epoch(1, PARTS[1])):
        tracker.log_epoch(3, each)
    for part in PARTS:
        history(spec, part)
    tracker.finish_trial(spec, TrialState.COMPLETE, result())
    tracker.close()
    found, steps = runs(uri)
    assert {run.info.status for name, run in found.items() if name != "d"} == {"FINISHED"}
    assert steps == {"d": [], "trial-0003": [1], "trial-0003-fold-1": [1, 2], "trial-0003-fold-2": [1, 2]}
    assert found["trial-0003-fold-2"].data.tags["hpsearch.kept"] == "true"
    assert found["trial-0003-fold-2"].data.metrics[f"best_{METRIC}"] == pytest.approx(0.7)
    assert found["trial-0003"].data.metrics[f"{METRIC}_se"] == pytest.approx(0.05)
    assert f"{METRIC} 0.65 ± 0.05 over 2 folds" in found["trial-0003"].data.tags["mlflow.note.content"]

    tracker = open_tracker()
    assert tracker.finish_trial(spec, TrialState.COMPLETE, result()) is False


def test_of_a_trial_that_fails_the_part_that_did_is_told_from_those_that_had_ended(open_tracker, uri, spec):
    tracker = open_tracker()
    tracker.start_trial(spec)
    for each in (epoch(1, PARTS[0]), epoch(1), epoch(1, PARTS[1])):
        tracker.log_epoch(3, each)
    (Path(spec.folder) / PARTS_FOLDER / "fold-1" / "result.json").write_text("{}")
    tracker.finish_trial(spec, TrialState.FAILED, Failure(FailureKind.NAN, "fold 2: the loss is nan"))
    tracker.close()
    found, _ = runs(uri)
    assert found["trial-0003-fold-1"].info.status == "FINISHED"
    assert found["trial-0003-fold-2"].info.status == found["trial-0003"].info.status == "FAILED"
