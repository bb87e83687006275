"""MLflow's store goes away in the middle of a search, in every way it can: the search goes on, and in the
end everything is there, once."""

import os
import shutil
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from hpsearch.driver import End
from hpsearch.listener import Listener
from hpsearch.testing.searching import ToySearch, assert_recorded
from hpsearch.tracking.mlflow import MlflowTracker

TRIALS = 8


class _At(Listener):
    """Does something when a trial has ended."""

    def __init__(self, number, action):
        self._number, self._action = number, action

    def on_trial_finished(self, trial, best):
        if trial.number == self._number:
            self._action()


def _search(path, uri, name, **settings):
    tracker = MlflowTracker(uri, name, close_timeout_s=10)
    return ToySearch(path / name, trials=TRIALS, toy={"pause_s": 0.05}, tracker=tracker, **settings)


@pytest.mark.slow
def test_a_database_locked_by_another_process_for_some_seconds(tmp_path, uri, read_study):
    database = uri.removeprefix("sqlite:///")
    other = sqlite3.connect(database, isolation_level=None, check_same_thread=False)

    def lock():
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(5.5, other.execute, ("COMMIT",)).start()  # MLflow itself waits for 5 s

    search = _search(tmp_path, uri, "locked")
    began_s = time.monotonic()
    assert search.run(_At(2, lock)) is End.TRIALS
    assert time.monotonic() - began_s < 6  # training did not wait for it
    assert search.tracker.close() == []
    assert_recorded(search, read_study(uri, "locked"), TRIALS)


@pytest.mark.parametrize("within_the_search", [True, False])
def test_a_database_on_a_full_disk(tmp_path, template, small_disk, read_study, within_the_search):
    database = small_disk.path / "mlflow.db"
    shutil.copy(template, database)
    uri = f"sqlite:///{database}"
    search = _search(tmp_path, uri, "full")

    def fill():
        small_disk.fill()
        if within_the_search:
            threading.Timer(1.0, small_disk.free).start()

    assert search.run(_At(2, fill)) is End.TRIALS
    if within_the_search:
        assert search.tracker.close() == []
    else:
        search.tracker._close_timeout_s = 1.0
        assert search.tracker.close()  # it says what it could not send
        small_disk.free()
        search.tracker = MlflowTracker(uri, "full", close_timeout_s=10)
        assert search.run() is End.TRIALS  # a search that resumes with nothing left to do
        assert search.tracker.close() == []
    assert_recorded(search, read_study(uri, "full"), TRIALS)


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_and_comes_back(tmp_path, server, read_study):
    def kill():
        server.stop(signal.SIGKILL)
        threading.Timer(1.0, server.start).start()

    search = _search(tmp_path, server.uri, "killed server", slots=2)
    assert search.run(_At(2, kill)) is End.TRIALS
    deadline_s = time.monotonic() + 60
    while not server.is_listening() and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert search.tracker.close() == []
    assert_recorded(search, read_study(server.uri, "killed server"), TRIALS)


def test_an_artifact_folder_that_cannot_be_written_for_a_while(tmp_path, uri, read_study):
    """As a full or unmounted artifact store: files wait with the records."""
    runs = Path(uri.removeprefix("sqlite:///")).parent / "mlruns"
    search = _search(tmp_path, uri, "artifacts")

    def block():
        os.rename(runs, f"{runs}.away")
        runs.write_text("not a folder")

    def unblock():
        runs.unlink()
        os.rename(f"{runs}.away", runs)

    def block_for_a_second():
        deadline_s = time.monotonic() + 30
        while not runs.exists() and time.monotonic() < deadline_s:  # the first records are on their way
            time.sleep(0.05)
        block()
        threading.Timer(1.5, unblock).start()

    search.toy = {
        **search.toy,
        "fate": lambda spec, _params: (Path(spec.folder) / "params.json").write_text("{}") and None,
    }
    assert search.run(_At(1, block_for_a_second)) is End.TRIALS
    assert search.tracker.close() == []
    view = read_study(uri, "artifacts")
    assert_recorded(search, view, TRIALS)
    assert len(list(runs.rglob("params.json"))) == TRIALS
