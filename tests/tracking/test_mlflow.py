import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.code_version import CodeVersion
from hpsearch.errors import TrackingError
from hpsearch.testing.trackers import METRIC, epoch
from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.mlflow import MlflowTracker
from hpsearch.tracking.registry import model_name
from hpsearch.tracking.store import connect, resolve
from hpsearch.trial import (
    SYSTEM_FILE,
    DataSummary,
    Epoch,
    EvaluationResult,
    ExportResult,
    Failure,
    FailureKind,
    Latency,
    Result,
    Speed,
    TrialSpec,
    TrialState,
)


@pytest.fixture
def record(tmp_path):
    data = DataSummary(
        name="digits",
        digest="0f" * 8,
        task="classification",
        sizes={"train": 1077, "validation": 360, "test": 360},
        shapes={"x": "(64,) float32", "y": "() int64"},
    )
    return StudyRecord(
        name="digits_mlp",
        id="0f3a",
        folder=str(tmp_path / "study"),
        experiment="name: digits_mlp\n",
        strategy="random",
        objectives={METRIC: "maximize"},
        settings={"search.trials": 20},
        data=data,
        versions={"python": "3.11.7", "keras": "3.15.0"},
        code=CodeVersion("abc123", "main", "https://me:geheim@host/x.git", dirty=True),
        diff="-before\n+after\n",
        space='{"units": [16, 32]}',
    )


@pytest.fixture
def tracker(uri, record):
    tracker = MlflowTracker(uri, "digits")
    tracker.open_study(record)
    yield tracker
    tracker.close()


@pytest.fixture
def see(uri):
    return See(uri)


class See:
    """MLflow's own client on the store."""

    def __init__(self, uri):
        self.uri = uri
        self.client = connect(resolve(uri))

    @property
    def runs(self):
        experiment = self.client.get_experiment_by_name("digits").experiment_id
        return {run.info.run_name: run for run in self.client.search_runs([experiment])}

    def files(self, name, path=None):
        return {f.path for f in self.client.list_artifacts(self.runs[name].info.run_id, path)}


def spec_of(record, number, **params):
    folder = Path(record.folder) / "trials" / f"{number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    return TrialSpec(number, params, seed=number + 100, folder=str(folder))


def finish(tracker, record, number, value, *, files=(), **params):
    spec = spec_of(record, number, **params)
    for name in files:
        (Path(spec.folder) / name).write_text(name)
    facts = {"parameters": 2410, "backend": "tensorflow"}
    result = Result(params, {METRIC: value}, 3, 2, 1.5, facts=facts, files=tuple(files))
    tracker.start_trial(spec)
    tracker.finish_trial(spec, TrialState.COMPLETE, result)
    return spec


def test_the_study_tells_what_was_asked_for(tracker, see, record):
    tracker.close()
    run = see.runs["digits_mlp"]
    assert run.data.params == {
        "strategy": "random",
        "objective": f"{METRIC} (maximize)",
        "search.trials": "20",
    }
    tags = run.data.tags
    assert tags["hpsearch.kind"] == "study"
    assert (tags["hpsearch.study"], tags["hpsearch.study_id"]) == ("digits_mlp", "0f3a")
    assert tags["hpsearch.folder"] == record.folder
    assert tags["hpsearch.version.keras"] == "3.15.0"
    code = {name: text for name, text in tags.items() if name.startswith("mlflow.source.git.")}
    assert code == {
        "mlflow.source.git.commit": "abc123",
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.repoURL": "https://***@host/x.git",
        "mlflow.source.git.dirty": "true",
    }
    [dataset] = [entry.dataset for entry in run.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest) == ("digits", "0f" * 8)
    assert json.loads(dataset.profile)["train"] == 1077
    assert see.files("digits_mlp") == {"code.diff", "experiment.yaml", "space.json"}


def test_no_password_gets_into_the_records(uri, see, record):
    address = "http://me:geheim@host:5000"
    tracker = MlflowTracker(uri, "digits")
    text = f"tracking: {{uri: '{address}'}}\n"
    settings = {"tracking.uri": address}
    tracker.open_study(replace(record, settings=settings, experiment=text, diff=f"+{text}"))
    tracker.close()
    run = see.runs["digits_mlp"]
    assert run.data.params["tracking.uri"] == "http://***@host:5000"
    [artifact] = Path(resolve(uri).artifact_root).rglob("experiment.yaml")
    assert artifact.read_text() == "tracking: {uri: 'http://***@host:5000'}\n"
    assert artifact.with_name("code.diff").read_text() == "+tracking: {uri: 'http://***@host:5000'}\n"


def test_what_a_worker_sampled_arrives_once(tracker, see, record):
    spec = spec_of(record, 7)
    file = Path(spec.folder) / SYSTEM_FILE

    def sample(step):
        metrics = {"cpu_utilization_percentage": 50.0 + step}
        return json.dumps({"step": step, "at_s": 100.0 + step, "metrics": metrics})

    file.write_text(f"{sample(0)}\nhalf a lin\n{sample(1)}\n{sample(2)[:20]}")
    tracker.start_trial(spec)
    tracker.log_epoch(7, epoch(1))
    tracker._sender.drain(30)
    run_id = see.runs["trial-0007"].info.run_id

    def arrived():
        history = see.client.get_metric_history(run_id, "system/cpu_utilization_percentage")
        return [(point.step, point.value, point.timestamp) for point in history]

    points = [(step, 50.0 + step, 100_000 + 1000 * step) for step in range(4)]
    assert arrived() == points[:2]
    file.write_text(
        "".join(f"{line}\n" for line in (sample(0), "half a lin", sample(1), sample(2), sample(3)))
    )
    result = Result({}, {METRIC: 0.5}, 1, 1, 1.0)
    tracker.finish_trial(spec, TrialState.COMPLETE, result)
    assert tracker.close() == []
    assert arrived() == points

    see.client.update_run(run_id, status="RUNNING")  # as if the answer to the last request had been lost
    again = MlflowTracker(see.uri, "digits")
    again.open_study(record)
    again.finish_trial(spec, TrialState.COMPLETE, result)
    assert again.close() == []
    assert arrived() == points
    assert see.runs["trial-0007"].info.status == "FINISHED"


def test_a_trial_is_the_studys_child_with_its_files(tracker, see, record):
    files = ("params.json", "history.csv", "curves.png", "confusion_matrix.png")
    spec = finish(tracker, record, 7, 0.9, files=files, units=32)
    (Path(spec.folder) / "log.txt").write_text("epoch 1")
    tracker.close()
    study, run = see.runs["digits_mlp"], see.runs["trial-0007"]
    tags = run.data.tags
    assert tags["mlflow.parentRunId"] == study.info.run_id
    assert (tags["hpsearch.trial"], tags["hpsearch.kind"]) == ("7", "trial")
    assert (tags["hpsearch.seed"], tags["hpsearch.folder"]) == ("107", spec.folder)
    assert tags["hpsearch.backend"] == "tensorflow"
    assert run.data.metrics == {
        f"best_{METRIC}": 0.9,
        "best_epoch": 2,
        "epochs": 3,
        "duration_s": 1.5,
        "parameters": 2410,
    }
    assert see.files("trial-0007") == {*files, "log.txt"}
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["digits"]


def test_a_failed_trial_leaves_its_log_and_traceback(tracker, see, record):
    spec = spec_of(record, 0)
    (Path(spec.folder) / "log.txt").write_text("the end of the output")
    tracker.start_trial(spec)
    failure = Failure(FailureKind.CRASH, "killed by signal 9", "Traceback: ...")
    tracker.finish_trial(spec, TrialState.FAILED, failure)
    tracker.close()
    run = see.runs["trial-0000"]
    assert see.files("trial-0000") == {"log.txt", "failure.txt"}
    study = see.runs["digits_mlp"].info
    link = f"#/experiments/{study.experiment_id}/runs/{study.run_id}?workflowType=machine_learning"
    assert run.data.tags["mlflow.note.content"] == (
        f"**Failed** (crash): killed by signal 9\n\nTrial 0 of the study [digits_mlp]({link})"
    )
    assert run.info.end_time is not None


def test_a_trial_says_how_it_stands_and_links_to_its_study(tracker, see, record):
    spec = spec_of(record, 3)
    tracker.start_trial(spec)
    tracker._sender.drain(10)
    link = f"Trial 3 of the study [digits_mlp](#/experiments/1/runs/{see.runs['digits_mlp'].info.run_id}?"
    assert see.runs["trial-0003"].data.tags["mlflow.note.content"].startswith(link)
    result = Result({}, {METRIC: 0.98765}, 3, 2, 0.5, pruned=True)
    tracker.finish_trial(spec, TrialState.PRUNED, result)
    tracker.close()
    note = see.runs["trial-0003"].data.tags["mlflow.note.content"]
    assert note.startswith(f"**Pruned** after 3 epochs: {METRIC} 0.9877 in epoch 2.\n\n{link}")


def test_epochs_have_their_own_time(tracker, see, record):
    tracker.start_trial(spec_of(record, 0))
    tracker.log_epoch(0, Epoch(1, {"loss": 0.5}, 1_700_000_001.5))
    tracker.close()
    [point] = see.client.get_metric_history(see.runs["trial-0000"].info.run_id, "loss")
    assert (point.step, point.timestamp) == (1, 1_700_000_001_500)


def test_strange_and_many_names_and_values_arrive(tracker, see, record):
    params = {f"layer_{n}": n for n in range(250)} | {"note": "x" * 9000, "f(x)": True}
    tracker.start_trial(spec_of(record, 0, **params))
    metrics = {f"class_{n}/f1": n / 3000 for n in range(2500)}
    metrics |= {"loss": math.nan, "grad@1": math.inf}
    tracker.log_epoch(0, Epoch(1, metrics, 1_700_000_000.0))
    assert tracker.close() == []
    data = see.runs["trial-0000"].data
    assert len(data.params) == 252
    assert (data.params["layer_249"], data.params["f_x_"], len(data.params["note"])) == ("249", "True", 6000)
    assert len(data.metrics) == 2502
    assert data.metrics["class_2499/f1"] == 2499 / 3000
    assert math.isnan(data.metrics["loss"])
    assert data.metrics["grad_1"] > 1e300


def test_the_leaderboard_ranks_and_links(tracker, see, record):
    for number, value in enumerate((0.7, 0.9, 0.8)):
        finish(tracker, record, number, value, units=2**number)
    pruned = spec_of(record, 3)
    tracker.start_trial(pruned)
    tracker.finish_trial(pruned, TrialState.PRUNED, Result({}, {METRIC: 0.99}, 1, 1, 0.5, pruned=True))
    tracker.log_best(1, {METRIC: 0.9}, {"RUNNING": 0, "COMPLETE": 3, "PRUNED": 1, "FAILED": 0})
    tracker.finish_study(interrupted=False)
    tracker.close()
    runs = see.runs
    study = runs["digits_mlp"]
    note = study.data.tags["mlflow.note.content"]
    assert "3 complete, 1 pruned trials" in note
    order = [note.index(f"trial-{number:04d}") for number in (1, 2, 0)]
    assert order == sorted(order)
    assert "trial-0003" not in note
    assert f"(#/experiments/{study.info.experiment_id}/runs/{runs['trial-0001'].info.run_id}?" in note
    assert "| 0.9000 | 3 | 1.5 | units=2 |" in note
    assert study.data.metrics == {
        f"best_{METRIC}": 0.9,
        "trials_complete": 3,
        "trials_pruned": 1,
        "trials_failed": 0,
    }
    assert study.data.tags["hpsearch.best_trial"] == "1"


def test_a_minimised_objective_ranks_the_other_way(uri, see, record):
    tracker = MlflowTracker(uri, "digits")
    tracker.open_study(replace(record, objectives={METRIC: "minimize"}))
    for number, value in enumerate((0.7, 0.9, math.nan)):
        finish(tracker, record, number, value)
    tracker.finish_study(interrupted=False)
    tracker.close()
    note = see.runs["digits_mlp"].data.tags["mlflow.note.content"]
    order = [note.index(f"trial-{number:04d}") for number in (0, 1, 2)]
    assert order == sorted(order)


def test_settings_that_changed_are_told_apart_from_those_of_the_beginning(tracker, uri, see, record):
    tracker.close()
    later = MlflowTracker(uri, "digits")
    later.open_study(replace(record, settings={"search.trials": 40, "search.timeout_s": 60}))
    later.close()
    data = see.runs["digits_mlp"].data
    assert (data.params["search.trials"], data.params["search.timeout_s"]) == ("20", "60")
    assert data.tags["hpsearch.changed.search.trials"] == "40"


def test_the_champion_is_registered_with_what_was_tested_and_exported(tracker, see, record):
    spec = finish(tracker, record, 1, 0.9, files=("model.keras",))
    folder = Path(record.folder) / "champion"
    folder.mkdir()
    exported = ("digits-float32.tflite", "digits-float32.tflite.json", "digits-int8.tflite")
    for name in ("test_predictions.csv", *exported):
        (folder / name).write_text(name)
    whole = ExportResult(
        str(folder / exported[0]), "float32", 4096, 1e-7, 1e-8, 1.0, 100, ("ADD",), scores={"f1": 0.9}
    )
    speed = Speed((Latency(1, True, 0.5, 0.6),))
    small = ExportResult(
        str(folder / exported[2]), "int8", 1024, 0.1, 0.1, 0.99, 100, ("ADD",), (), {}, {"f1": 0.897}, speed
    )
    metrics = {"test_accuracy": 0.88, "test_f1_class_0": 0.7}
    tested = EvaluationResult(metrics, str(folder / "samples.npz"), files=("test_predictions.csv",))
    model = str(Path(spec.folder) / "model.keras")
    champion = Champion(1, {METRIC: 0.9}, model, tested, [whole, small])
    assert tracker.crown(champion, "team/digits") == "1"
    tracker.finish_study(interrupted=False)
    tracker.close()
    version = see.client.get_model_version_by_alias("team-digits", "champion")
    study, run = see.runs["digits_mlp"], see.runs["trial-0001"]
    assert (version.run_id, version.status) == (run.info.run_id, "READY")
    assert version.tags["test_accuracy"] == "0.88"
    assert "test_f1_class_0" not in version.tags  # a page of hundreds of tags says nothing
    assert version.description.startswith("Trial 1 of the study [digits_mlp](#/experiments/")
    assert f"/runs/{study.info.run_id}?" in version.description
    assert "): val_accuracy 0.9. On the test data: test_accuracy 0.88." in version.description
    assert "int8 is 4.0x smaller, -0.3 points of f1." in version.description
    assert study.data.metrics["test_accuracy"] == 0.88
    assert study.data.metrics["export_int8_size_kib"] == 1
    assert study.data.metrics["export_int8_latency_ms"] == 0.5
    assert study.data.metrics["export_int8_f1"] == 0.897
    assert study.data.tags["hpsearch.champion_trial"] == "1"
    assert run.data.tags["hpsearch.champion"] == "true"
    assert see.files("digits_mlp", "export") == {f"export/{name}" for name in exported}
    assert see.files("digits_mlp", "test") == {"test/test_predictions.csv"}
    [model] = see.client.search_logged_models([run.info.experiment_id])
    assert (model.source_run_id, model.status, model.name) == (run.info.run_id, "READY", "model")
    artifacts = see.client.list_logged_model_artifacts(model.model_id, "export")
    assert {file.path for file in artifacts} == {f"export/{name}" for name in exported}
    assert {metric.key for metric in model.metrics} >= {f"best_{METRIC}", "test_accuracy"}
    assert "team-digits version 1" in study.data.tags["mlflow.note.content"]


@pytest.mark.parametrize(("name", "fitted"), [("a/b:c", "a-b-c"), ("digits", "digits"), ("..", "model")])
def test_names_of_registered_models(name, fitted):
    assert model_name(name) == fitted


def test_a_crown_that_is_refused_is_no_exception(tracker, record, caplog):
    finish(tracker, record, 1, 0.9)
    assert tracker.crown(Champion(1, {METRIC: 0.9}, "/nowhere/model.keras"), "digits") is None
    assert "The champion is not registered" in caplog.text


def test_a_record_mlflow_refuses_does_not_take_the_trial_with_it(tracker, uri, see, record, caplog):
    spec = spec_of(record, 0, units=32)
    tracker.start_trial(spec)
    tracker.log_epoch(0, Epoch(1, {"loss": "not a number"}, 1.0))
    tracker.log_epoch(0, epoch(2))
    tracker.finish_trial(spec, TrialState.COMPLETE, Result({}, {METRIC: 0.9}, 2, 2, 1.0))
    [unsent] = tracker.close()
    assert unsent.startswith("a record of trial 0: ")
    run = see.runs["trial-0000"]
    assert (run.info.status, run.data.metrics[METRIC]) == ("FINISHED", 0.5)


def test_a_deleted_experiment_is_named(tracker, uri, see, record):
    tracker.close()
    see.client.delete_experiment(see.client.get_experiment_by_name("digits").experiment_id)
    with pytest.raises(TrackingError, match=r"the MLflow experiment `digits` was deleted.*restore"):
        MlflowTracker(uri, "digits").open_study(record)


def test_a_dead_server_is_an_error_when_the_study_opens(record):
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        MlflowTracker("http://127.0.0.1:9", "digits").open_study(record)


def test_without_open_study_nothing_is_sent_and_nothing_raises(uri, record):
    tracker = MlflowTracker(uri, "digits")
    tracker.start_trial(spec_of(record, 0))
    tracker.finish_study(interrupted=True)
    assert tracker.close() == ()


def test_a_relative_store_stays_where_it_was_named(template, record, tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy(template, "mlflow.db")
    tracker = MlflowTracker("sqlite:///mlflow.db", "digits")
    monkeypatch.chdir(tmp_path / "there")
    tracker.open_study(record)
    finish(tracker, record, 0, 0.9, files=("curves.png",))
    tracker.close()
    assert list((tmp_path / "there").iterdir()) == []
    assert list((tmp_path / "here" / "mlruns").rglob("curves.png"))


def test_the_drivers_calls_cost_microseconds(tracker, record):
    specs = [spec_of(record, number, units=32) for number in range(20)]
    values = {f"metric_{n}": 0.5 for n in range(8)}
    begin_s = time.perf_counter()
    for spec in specs:
        tracker.start_trial(spec)
        for number in range(1, 51):
            tracker.log_epoch(spec.number, Epoch(number, values, 1_700_000_000.0))
        tracker.finish_trial(spec, TrialState.COMPLETE, Result({}, values, 50, 50, 1.0))
    assert (time.perf_counter() - begin_s) / (20 * 52) < 1e-3
    assert tracker.close() == []


def test_importing_and_making_a_tracker_imports_no_mlflow(tmp_path):
    code = (
        "import sys\n"
        "from hpsearch.tracking.mlflow import MlflowTracker\n"
        "from hpsearch.tracking import ui\n"
        "MlflowTracker('sqlite:///mlflow.db', 'digits')\n"
        "print(sorted({'mlflow', 'pandas', 'sqlalchemy', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    assert list(tmp_path.iterdir()) == []
