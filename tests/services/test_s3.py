"""Artifacts in S3: through MLflow's server, with a password, or sent there by the search; S3 goes away."""

import json
import secrets
from dataclasses import dataclass

import numpy as np
import pytest

import hpsearch
from hpsearch.driver import End
from hpsearch.errors import TrackingError
from hpsearch.testing.searching import ToySearch, assert_recorded
from hpsearch.tracking.mlflow import MlflowTracker

from .conftest import HOW, MlflowServer, Outage, with_password

pytestmark = pytest.mark.slow

TRIALS = 8
PASSWORD = secrets.token_hex(12)


@dataclass(frozen=True)
class Habit:
    """One of the two ways in which teams keep artifacts in S3."""

    server: MlflowServer
    prefix: str
    """Of the objects' keys in the bucket."""
    environment: dict[str, str]
    """What a client has."""


@pytest.fixture(scope="module")
def habits(tmp_path_factory, s3):
    pytest.importorskip("flask_wtf", reason=f"mlflow[auth] is not installed; {HOW}")
    folders = {name: tmp_path_factory.mktemp(name) for name in ("proxied", "direct")}
    proxied = MlflowServer(
        folders["proxied"],
        f"sqlite:///{folders['proxied']}/mlflow.db",
        "--artifacts-destination=s3://records/proxied",
        "--app-name=basic-auth",
        **s3.environment,
        **with_password(folders["proxied"], PASSWORD),
    )
    direct = MlflowServer(
        folders["direct"],
        f"sqlite:///{folders['direct']}/mlflow.db",
        "--default-artifact-root=s3://records/direct",
        "--no-serve-artifacts",
    )
    login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    found = {
        "proxied": Habit(proxied, "proxied/", login),  # no word of S3
        "direct": Habit(direct, "direct/", s3.environment),
    }
    for habit in found.values():
        habit.server.launch()
    for habit in found.values():
        habit.server.wait()
    yield found
    for habit in found.values():
        habit.server.stop()


@pytest.fixture(params=["proxied", "direct"])
def habit(request, habits, monkeypatch):
    found = habits[request.param]
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.server.uri)
    return found


@pytest.fixture(scope="module")
def searched(tmp_path_factory, habits):
    """A search through the server."""
    habit = habits["proxied"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in habit.environment.items():
            patch.setenv(name, value)
        return hpsearch.search(
            hpsearch.Experiment(
                name="searched",
                workdir=str(tmp_path_factory.mktemp("searched")),
                model={"name": "mlp", "options": {"max_layers": 1}},
                data="blobs",
                objective="val_accuracy",
                search={"strategy": "random", "trials": 2},
                training={"epochs": 2},
                tracking={"uri": habit.server.uri},
            )
        )


def test_everything_is_in_the_bucket_and_no_secret(s3, habit, searched, capfd):
    import mlflow.keras
    from mlflow import MlflowClient

    if habit.prefix == "direct/":
        assert hpsearch.sync(searched, uri=habit.server.uri).unsent == ()
    client = MlflowClient()
    experiment = client.get_experiment_by_name("searched")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["hpsearch.kind"] for run in runs) == ["study", "trial", "trial"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    prefix = f"{habit.prefix}{experiment.experiment_id}/"
    keys = s3.keys(prefix)
    for run in runs:
        files = {key.partition("/artifacts/")[2] for key in keys if key.startswith(run.info.run_id)}
        if run.data.tags["hpsearch.kind"] == "study":
            assert {"experiment.yaml", "space.json"} <= files
            assert "report/report.html" in files
            assert any(file.startswith("export/") and file.endswith(".tflite") for file in files)
            continue
        assert {"history.csv", "params.json", "log.txt", "curves.png", "confusion_matrix.png"} <= files
        [output] = client.get_run(run.info.run_id).outputs.model_outputs
        assert f"models/{output.model_id}/artifacts/data/model.keras" in keys
        assert f"models/{output.model_id}/artifacts/MLmodel" in keys

    champion = mlflow.keras.load_model("models:/searched@champion")
    rows = np.random.default_rng(0).normal(size=(5, *champion.input_shape[1:])).astype("float32")
    assert np.array_equal(champion.predict(rows, verbose=0), searched.load_model().predict(rows, verbose=0))

    said = capfd.readouterr()
    told = json.dumps([run.to_dictionary() for run in runs]) + said.out + said.err
    written = [file.read_bytes() for file in searched.folder.rglob("*") if file.is_file()]
    written += [s3.content(prefix + key) for key in keys]
    for secret in (PASSWORD, s3.key, s3.environment["AWS_ACCESS_KEY_ID"]):
        assert secret not in told
        assert not any(secret.encode() in content for content in written)


def test_an_outage_in_the_middle_loses_and_doubles_nothing(tmp_path, s3, habit, read_study, caplog):
    name = f"away-{habit.prefix.strip('/')}"
    tracker = MlflowTracker(habit.server.uri, name, close_timeout_s=60)
    toy = {"pause_s": 0.1, "model_bytes": 1000}
    search = ToySearch(tmp_path / name, trials=TRIALS, slots=2, toy=toy, tracker=tracker)
    outage = Outage(s3, 1, 2.5)
    assert search.run(outage) is End.TRIALS
    assert outage.trials_during >= 4  # the search went on without it
    outage.wait()
    assert tracker.close() == []
    assert "does not answer; the search goes on" in caplog.text
    assert "refuses" not in caplog.text

    assert_recorded(search, read_study(habit.server.uri, name), TRIALS)
    files = [key.partition("/artifacts/")[2] for key in s3.keys(_place(habit, name))]
    assert files.count("history.csv") == files.count("data/model.keras") == TRIALS


def test_a_bucket_that_is_not_there_is_told(tmp_path, habits, monkeypatch, s3):
    habit = habits["direct"]
    for name, value in habit.environment.items():
        monkeypatch.setenv(name, value)
    from mlflow import MlflowClient

    MlflowClient(habit.server.uri).create_experiment("lost", "s3://no-such-bucket/lost")
    said = r"keeps artifacts in S3, which does not take them.*NoSuchBucket.*Check the bucket, MLFLOW_S3_"
    with pytest.raises(TrackingError, match=said):
        MlflowTracker(habit.server.uri, "lost").open_study(ToySearch(tmp_path / "lost").record)


def _place(habit, experiment):
    """Returns what the keys of an experiment's objects begin with."""
    from mlflow import MlflowClient

    found = MlflowClient(habit.server.uri).get_experiment_by_name(experiment)
    return f"{habit.prefix}{found.experiment_id}/"
