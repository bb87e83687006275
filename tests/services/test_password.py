"""MLflow's server with passwords: ours come from the environment, and wrong ones are told as such."""

import secrets

import pytest

from hpsearch.driver import End
from hpsearch.errors import TrackingError
from hpsearch.testing.searching import ToySearch
from hpsearch.tracking.mlflow import MlflowTracker

from .conftest import HOW, MlflowServer, with_password

pytestmark = pytest.mark.slow

PASSWORD = secrets.token_hex(12)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("flask_wtf", reason=f"mlflow[auth] is not installed; {HOW}")
    folder = tmp_path_factory.mktemp("server")
    login = with_password(folder, PASSWORD)
    server = MlflowServer(folder, f"sqlite:///{folder}/mlflow.db", "--app-name=basic-auth", **login)
    server.start()
    yield server
    server.stop()


def test_credentials_of_the_environment_are_used(tmp_path, server, read_study, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    search = ToySearch(tmp_path / "digits", trials=1, tracker=MlflowTracker(server.uri, "digits"))
    assert search.run() is End.TRIALS
    assert search.tracker.close() == []
    view = read_study(server.uri)
    assert sorted(view.runs) == [0]
    assert {run.status for run in view.runs.values()} == {"FINISHED"}


@pytest.mark.parametrize("password", [None, "wr0ng-secret"])
def test_wrong_credentials_are_told_and_none_shown(tmp_path, server, monkeypatch, password):
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    said = (
        rf"{server.uri} refuses these credentials.*Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )
    with pytest.raises(TrackingError, match=said) as error:
        MlflowTracker(server.uri, "digits").open_study(ToySearch(tmp_path / "digits").record)
    assert password is None or password not in str(error.value)
