import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hpsearch.errors import TrackingError
from hpsearch.tracking.store import connect, masked, resolve


def refusal(uri):
    with pytest.raises(TrackingError) as caught:
        connect(resolve(uri))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def web():
    """A web server that is not MLflow; with `/private` in its path it asks for a password."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401 if "/private" in self.path else 404)
            self.end_headers()
            self.wfile.write(b"<html>no</html>")

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_relative_path_does_not_move_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = resolve("sqlite:///runs/mlflow.db?timeout=30")
    assert store.database == tmp_path / "runs" / "mlflow.db"
    assert store.uri == f"sqlite:///{tmp_path}/runs/mlflow.db?timeout=30"
    assert store.artifact_root == tmp_path / "runs" / "mlruns"


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "", "file:///tmp/mlruns"])
def test_folders_are_refused_with_the_way_out(uri):
    with pytest.raises(
        TrackingError, match=r"tracking.uri: MLflow no longer writes to plain folders"
    ) as caught:
        resolve(uri)
    assert "sqlite:///mlflow.db" in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://mlflow.db"])
def test_sqlite_without_a_file_is_refused(uri):
    with pytest.raises(TrackingError, match=r"names no SQLite file.*sqlite:///relative/path\.db"):
        resolve(uri)


def test_a_scheme_nobody_knows():
    assert "ftp://host/x is an address that MLflow does not know" in refusal("ftp://host/x")


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    text = refusal(f"sqlite:///{tmp_path}/file/mlflow.db")
    assert f"{tmp_path}/file/mlflow.db cannot be written" in text
    assert "--set tracking.uri=" in text


def test_a_folder_in_place_of_the_file(tmp_path):
    assert "cannot be written: Is a directory" in refusal(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing like a database")
    assert "is not a SQLite database" in refusal(f"sqlite:///{tmp_path}/notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "nothing like a database"


def test_a_dead_server_is_an_error_within_seconds():
    begin_s = time.monotonic()
    text = refusal("http://127.0.0.1:9")
    assert time.monotonic() - begin_s < 5
    assert "http://127.0.0.1:9 cannot be reached; received Connection refused." in text
    assert "Start the server" in text


def test_a_dead_database_server_is_an_error_within_seconds():
    begin_s = time.monotonic()
    text = refusal("postgresql://me:geheim@127.0.0.1:9/mlflow")
    assert time.monotonic() - begin_s < 5
    assert "cannot be reached" in text
    assert "geheim" not in text


def test_a_server_that_is_not_mlflow(web):
    assert f"http://{web} is no MLflow server" in refusal(f"http://{web}")


def test_wrong_credentials_are_named_but_not_shown(web, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "geheim")
    text = refusal(f"http://me:geheim@{web}/private")
    assert f"http://***@{web}/private refuses these credentials" in text
    assert "MLFLOW_TRACKING_TOKEN" in text
    assert "geheim" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:pw@host/db", "postgresql://***@host/db"),
        ("see http://me:p%40w@host:1/x now", "see http://***@host:1/x now"),
        ("mysql://host/db?user=me&password=pw&x=1", "mysql://host/db?user=me&password=***&x=1"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
    ],
)
def test_secrets_are_masked(text, expected):
    assert masked(text) == expected


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_a_secret_in_the_environment_is_masked(monkeypatch, name):
    monkeypatch.setenv(name, "abcdef12")
    assert masked("Bearer abcdef12") == "Bearer ***"


def test_the_users_own_settings_stand(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
    connect(resolve(uri))
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "4"


@pytest.mark.slow
def test_six_processes_may_initialise_a_store_together(tmp_path):
    code = """
import os, sys
import mlflow.store.tracking.sqlalchemy_store
from hpsearch.tracking.store import connect, resolve

children = []
for n in range(6):  # forked, so that they all begin at once and MLflow is imported once
    child = os.fork()
    if child == 0:
        connect(resolve(sys.argv[1])).create_experiment(f"e{n}")
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run([sys.executable, "-c", code, uri], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    names = {experiment.name for experiment in connect(resolve(uri)).search_experiments()}
    assert names == {"Default", *(f"e{n}" for n in range(6))}
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
