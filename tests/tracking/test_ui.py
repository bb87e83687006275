"""A real MLflow server: the interface, and an outage in the middle of a search. One start-up is shared."""

import os
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from hpsearch.errors import TrackingError, UsageError
from hpsearch.testing.trackers import METRIC, TrackerContract, epoch
from hpsearch.tracking.mlflow import MlflowTracker
from hpsearch.tracking.ui import command, open_ui
from hpsearch.trial import TrialState


@pytest.mark.slow
class TestMlflowTrackerOnAServer(TrackerContract):
    """The contract over HTTP: each test has its own MLflow experiment and registered model."""

    @pytest.fixture(autouse=True)
    def _server(self, server, read_study, request):
        self._server, self._read, self._name = server, read_study, request.node.name

    @pytest.fixture
    def store(self):
        return self._server.uri

    def make(self, store):
        return MlflowTracker(store, self._name)

    def read(self, store):
        return self._read(store, self._name)

    def test_an_outage_loses_and_repeats_nothing(self, store, record, opened):
        """The server is killed in the middle of a trial and started again; everything arrives, once."""
        first, second = self.spec(record, 0, units=32), self.spec(record, 1, units=64)
        opened.start_trial(first)
        opened.log_epoch(0, epoch(1))
        opened._sender.drain(30)
        assert self.read(store).runs[0].series[METRIC] == [(1, 0.5)]

        self._server.stop(signal.SIGTERM)
        assert not self._server.is_listening()
        begin_s = time.perf_counter()
        for number in (2, 3):
            opened.log_epoch(0, epoch(number))
        opened.finish_trial(first, TrialState.COMPLETE, self.result(first, 0.5))
        self.complete(opened, second, 0.7)
        opened.log_best(1, {METRIC: 0.7}, {"COMPLETE": 2})
        opened.finish_study(interrupted=False)
        assert time.perf_counter() - begin_s < 0.1
        assert not opened._sender.drain(1.0)

        self._server.start()
        assert opened.close() == []
        view = self.read(store)
        assert (view.status, view.best) == ("FINISHED", [(2, 0.7)])
        for number, value in ((0, 0.5), (1, 0.7)):
            run = view.runs[number]
            assert (run.status, run.state) == ("FINISHED", "COMPLETE")
            assert run.series[METRIC] == [(1, value), (2, value), (3, value)]

    def test_the_interface_answers(self, store):
        with urlopen(store) as page:
            assert page.status == 200
            assert b"MLflow" in page.read()
        assert f"MLflow shows sqlite:///{self._server.database} at {store}" in self._server.output.read_text()


def test_no_records_no_interface(tmp_path):
    with pytest.raises(TrackingError, match=r"there are no records at .*/mlflow\.db"):
        open_ui(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_port_that_is_taken_is_an_error_when_it_was_asked_for(uri):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} of 127\.0\.0\.1 cannot be used.*--port"):
            open_ui(uri, port=port)


def test_a_server_has_its_own_interface():
    said = []
    open_ui("http://me:geheim@host:5000", say=said.append)
    assert said == ["The records are on a server that has the interface: http://***@host:5000"]


def test_the_line_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(scripts), prepend=os.pathsep)
    assert command("sqlite:///mlflow.db") == "hpsearch ui"
    assert command(f"sqlite:///{tmp_path}/mlflow.db") == "hpsearch ui"
    assert command("sqlite:////a b/x.db") == "hpsearch ui --uri 'sqlite:////a b/x.db'"
    monkeypatch.setenv("PATH", "/usr/bin")  # not activated: a line that works from any folder
    expected = f"{shlex.quote(str(scripts / 'hpsearch'))} ui --uri sqlite:///{tmp_path}/mlflow.db"
    assert command("sqlite:///mlflow.db") == expected
    assert command("http://host:5000") == "open http://host:5000"
