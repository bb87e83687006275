"""`sync`: what MLflow lacks is sent, nothing twice, and no worker is started."""

import dataclasses
import json
import os
import shutil

import optuna
import pytest

import hpsearch
from hpsearch import assemble
from hpsearch.cli.entry import call
from hpsearch.errors import StudyError
from hpsearch.experiment import Experiment
from hpsearch.journal import open_storage
from hpsearch.study import STUDY_FACTS
from hpsearch.study_folder import StudyFolder
from hpsearch.testing.searching import OBJECTIVE, ToySearch
from hpsearch.tracking.mlflow import MlflowTracker
from hpsearch.trial import Failure, FailureKind

MODEL = b"weights"


@pytest.fixture(scope="module")
def searched(template, tmp_path_factory):
    """A finished study of toys, as a search leaves it, and its records in MLflow."""
    home = tmp_path_factory.mktemp("searched")
    shutil.copy(template, home / "mlflow.db")
    search = ToySearch(home / "runs" / "small", trials=4)
    search.toy = {"fate": lambda spec, _: Failure(FailureKind.NAN, "diverged") if spec.number == 1 else None}
    search.run()
    folder, record = search.folder, search.record
    keys = ("id", "objectives", "versions", "strategy", "space")
    facts = {key: getattr(record, key) for key in keys}
    facts |= {"asked": {}, "data": dataclasses.asdict(record.data)}
    storage = open_storage(folder.journal)
    optuna.load_study(storage=storage, study_name="small").set_user_attr(STUDY_FACTS, facts)
    experiment = Experiment(name="small", model="linear", data="blobs", objective=OBJECTIVE)
    (folder.path / "experiment.yaml").write_text(experiment.to_yaml())
    best = search.study.best[0]
    for path in (folder.trial(best.number) / "model.keras", folder.champion / "small.tflite"):
        path.write_bytes(MODEL)
    (folder.champion / "samples.npz").write_bytes(b"samples")
    export = {"path": "champion/small.tflite", "format": "float32", "size_bytes": len(MODEL)}
    export |= {"largest_difference": 0.0, "mean_difference": 0.0, "agreement": 1.0, "samples": 8}
    champion = {
        "trial": best.number,
        "values": {OBJECTIVE: best.values[0]},
        "model": f"trials/{best.number:04d}/model.keras",
        "samples": "champion/samples.npz",
        "test": {"test_accuracy": 0.75},
        "files": ["samples.npz"],
        "exports": [export | {"ops": [], "notes": []}],
        "registered_as": "small",
        "version": None,
    }
    folder.champion_file.write_text(json.dumps(champion))
    assert search.study.state == "finished"
    report = hpsearch.sync(search.study, uri=f"sqlite:///{home}/mlflow.db")
    assert (report.missing, report.version, report.unsent) == ((0, 1, 2, 3), "1", ())
    return home


@pytest.fixture
def here(searched, tmp_path, monkeypatch):
    """A copy of the finished search; no executor may be made."""
    folder = tmp_path / "copy"
    shutil.copytree(searched, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("hpsearch.executors.create", lambda *_, **__: pytest.fail("a worker was started"))
    return folder


def _held(name="mlflow.db"):
    """Returns what MLflow holds of the study: runs by trial (None: the study's own), versions."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{os.getcwd()}/{name}")
    experiment = client.get_experiment_by_name("small")
    runs = {}
    for run in client.search_runs([experiment.experiment_id]):
        trial = run.data.tags.get("hpsearch.trial")
        key = None if trial is None else int(trial)
        assert key not in runs, "recorded twice"
        points = {name: len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics}
        files = sorted(item.path for item in client.list_artifacts(run.info.run_id))
        params = {name: value for name, value in run.data.params.items() if name != "tracking.uri"}
        runs[key] = (run.info.status, params, points, files)
    versions = [(v.version, v.aliases) for v in client.search_model_versions("name = 'small'")]
    return runs, versions


def _sync(capsys, *options, code=0):
    assert call(["sync", *options]) == code
    return capsys.readouterr().out.splitlines()


def test_nothing_is_sent_twice(here, capsys):
    # The copy's folder is another: links to files of the first are not compared.
    before = _held()
    lines = _sync(capsys)
    assert lines == [
        f"small to MLflow at sqlite:///{here}/mlflow.db",
        "trials: 4 were there already, 0 were not",
        "champion: registered, version 1",
        "All is there.",
    ]
    assert _held() == before


def test_a_lost_database_is_filled_again(here, template, capsys):
    before = _held()
    shutil.copy(template, "mlflow.db")
    assert _sync(capsys)[1:3] == [
        "trials: 0 were there already, 4 were not: 0, 1, 2, 3",
        "champion: registered, version 1",
    ]
    runs, versions = _held()
    assert runs.keys() == before[0].keys() == {None, 0, 1, 2, 3}
    assert {key: run[:2] for key, run in runs.items()} == {key: run[:2] for key, run in before[0].items()}
    assert [runs[n] for n in range(4)] == [before[0][n] for n in range(4)]
    assert runs[None][2] == before[0][None][2]  # the best after each trial, the test metrics
    assert versions == before[1]
    assert _sync(capsys)[1] == "trials: 4 were there already, 0 were not"
    assert _held() == (runs, versions)


def test_one_lost_run_is_sent_alone(here, capsys):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    [run] = client.search_runs([experiment.experiment_id], "tags.`hpsearch.trial` = '1'")
    client.delete_run(run.info.run_id)
    report = hpsearch.sync(hpsearch.open_study("small"))
    assert (report.missing, report.there, report.unsent) == ((1,), 3, ())
    assert _held()[0].keys() == {None, 0, 1, 2, 3}


def test_to_another_store(here, template, capsys):
    shutil.copy(template, "other.db")
    document = json.loads("\n".join(_sync(capsys, "--uri", "sqlite:///other.db", "--json")))
    assert document["missing"] == [0, 1, 2, 3]
    assert _held("other.db")[0].keys() == {None, 0, 1, 2, 3}


def test_the_report_is_sent(here, template):
    from mlflow import MlflowClient

    study = hpsearch.open_study("small")
    study.files.report.parent.mkdir()
    for name in ("report.html", "history.png"):
        (study.files.report.parent / name).write_text("seen")
    shutil.copy(template, "mlflow.db")
    assert hpsearch.sync(study).unsent == ()
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    [run] = client.search_runs(["1"], "tags.`hpsearch.kind` = 'study'")
    sent = {item.path for item in client.list_artifacts(run.info.run_id, "report")}
    assert sent == {"report/report.html", "report/history.png"}


def test_a_store_that_does_not_answer_is_exit_code_1(here, capsys):
    assert call(["sync", "--uri", "http://127.0.0.1:9"]) == 1
    assert "tracking.uri: http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


def test_what_is_refused_is_told_and_exit_code_1(here, template, capsys, monkeypatch):
    from mlflow import MlflowClient

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    shutil.copy(template, "mlflow.db")
    monkeypatch.setattr(MlflowClient, "create_run", _only_once(MlflowClient.create_run, full))
    monkeypatch.setattr(MlflowTracker.__init__, "__kwdefaults__", {"close_timeout_s": 0.5})
    lines = _sync(capsys, code=1)
    assert "not sent: 1 records of trial 0" in lines
    assert lines[-1] == "The same command tries again."
    monkeypatch.undo()
    os.chdir(here)
    assert _sync(capsys)[-1] == "All is there."


def _only_once(first, then):
    calls = []

    def either(*arguments, **options):
        calls.append(1)
        return (first if len(calls) == 1 else then)(*arguments, **options)

    return either


def test_a_study_that_is_searched_now_is_refused(here):
    folder = StudyFolder(here / "runs" / "small")
    with folder.lock(), pytest.raises(StudyError, match="is being searched by another process"):
        hpsearch.sync(hpsearch.open_study("small"))


def test_a_champion_that_was_never_registered_is(here, template, capsys):
    file = here / "runs" / "small" / "champion.json"
    record = json.loads(file.read_text())
    shutil.copy(template, "mlflow.db")
    file.write_text(json.dumps(record | {"version": None}))
    assert "champion: registered, version 1" in _sync(capsys)
    assert json.loads(file.read_text()) == record


def test_a_champion_that_was_tested_and_no_more_is_left_to_the_search(here, capsys):
    """The driver was killed between the test evaluation and the export."""
    file = here / "runs" / "small" / "champion.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in record.items() if k not in ("version", "registered_as")}))
    assert not any(line.startswith("champion") for line in _sync(capsys))
    experiment = Experiment.load(here / "runs" / "small" / "experiment.yaml")
    assert not assemble._is_done(experiment, StudyFolder(here / "runs" / "small"))
