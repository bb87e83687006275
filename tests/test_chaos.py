"""A search whose workers and driver are killed again and again, at random moments of a seeded clock."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from hpsearch.errors import StudyError
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import FailureKind, TrialState

DRIVER = """
import os, sys
from pathlib import Path
from hpsearch.executors.local import LocalExecutor
from hpsearch.testing.searching import ToySearch

path, strategy, trials, slots, uri = sys.argv[1:]

def leave_pid(spec, _params):
    Path(spec.folder, "pid").write_text(str(os.getpid()))

search = ToySearch(Path(path), strategy, trials=int(trials), slots=int(slots), max_failures_in_a_row=99)
search.toy = {"pause_s": 0.05, "fate": leave_pid}
search.executor = lambda: LocalExecutor(int(slots))
if uri:
    from hpsearch.tracking.mlflow import MlflowTracker
    search.tracker = MlflowTracker(uri, "chaos")
search.run()
search.tracker.finish_study(interrupted=False)
print(list(search.tracker.close()))
"""


class Chaos:
    """Runs the driver of a search and kills what it can.

    Args:
        search: What is searched.
        uri: MLflow's address; empty for no records.
        seed: Of the moments and the victims.
        driver_share: How many of the kills are the driver's.
    """

    def __init__(self, search, uri, seed, driver_share):
        self.killed = dict.fromkeys(range(search.trials), 0)
        self.drivers = 0
        self._search, self._uri, self._share = search, uri, driver_share
        self._random = random.Random(seed)
        self._output = search.path.parent / "driver.txt"
        self._driver = None

    @property
    def kills(self):
        return self.drivers + sum(self.killed.values())

    def play(self, kills, *, once):
        """Kills until there were enough, or the search has ended; then lets it end.

        Args:
            kills: How many.
            once: Whether to spare a trial that runs for the second time.
        """
        self._start()
        try:
            while self.kills < kills and self._driver.poll() is None:
                time.sleep(self._random.uniform(0.02, 0.25))
                if not (running := self._running(once=once)):
                    continue
                if self._random.random() < self._share:
                    self._driver.kill()
                    self._driver.wait()
                    self.drivers += 1
                    self._start()
                else:
                    self._kill(self._random.choice(running))
            assert self._driver.wait(240) == 0, self._output.read_text()
        finally:
            self._driver.kill()
            self._driver.wait()

    def _kill(self, number):
        """Kills the worker of a trial, unless it has gone on to the next one."""
        folder = self._search.folder.trial(number)
        with suppress(OSError, ValueError):  # it is gone already
            pid = int((folder / "pid").read_text())
            os.kill(pid, signal.SIGSTOP)
            done = (folder / "history.csv").exists()
            os.kill(pid, signal.SIGCONT if done else signal.SIGKILL)
            self.killed[number] += not done

    def _start(self):
        search = self._search
        arguments = [search.path, search.strategy, search.trials, search.slots, self._uri]
        with open(self._output, "a") as output:
            command = [sys.executable, "-c", DRIVER, *map(str, arguments)]
            self._driver = subprocess.Popen(command, stdout=output, stderr=output)

    def _running(self, *, once):
        """Returns the trials that train now."""
        try:
            trials = self._search.study.trials
        except (StudyError, OSError):  # not begun
            return []
        return [
            t.number
            for t in trials
            if not t.finished
            and _is_alive(self._search.folder.trial(t.number) / "pid")
            and not (once and (t.attempts > 1 or self.killed[t.number]))
        ]


def _is_alive(file):
    try:
        os.kill(int(file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


@pytest.mark.slow
def test_thirty_kills_change_nothing_of_what_a_search_finds(tmp_path):
    undisturbed = ToySearch(tmp_path / "undisturbed" / "s", "optuna", trials=40)
    undisturbed.run()
    search = ToySearch(tmp_path / "chaos" / "s", "optuna", trials=40)
    chaos = Chaos(search, "", seed=1, driver_share=0.3)
    chaos.play(30, once=True)
    assert chaos.kills >= 20
    assert chaos.drivers >= 3
    trials = search.study.trials
    assert [t.number for t in trials] == list(range(40))
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 40
    assert {t.number: t.attempts for t in trials if t.attempts > 1 + chaos.killed[t.number]} == {}
    assert sum(t.attempts == 2 for t in trials) >= 5
    assert search.points() == undisturbed.points()
    assert [t.number for t in search.study.best] == [t.number for t in undisturbed.study.best]


@pytest.mark.slow
def test_three_slots_and_mlflow_under_kills_hold_every_trial_once(tmp_path, template, read_study):
    shutil.copy(template, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    search = ToySearch(tmp_path / "chaos" / "s", trials=40, slots=3)
    chaos = Chaos(search, uri, seed=2, driver_share=0.2)
    chaos.play(25, once=False)
    assert chaos.kills >= 15
    trials = search.study.trials
    assert [t.number for t in trials] == list(range(40))
    for trial in trials:
        if trial.state is TrialState.FAILED:  # it was killed in each of its two attempts
            assert (trial.failure.kind, trial.attempts) == (FailureKind.CRASH, 2)
            assert chaos.killed[trial.number] >= 2
        else:
            assert trial.state is TrialState.COMPLETE
    view = read_study(uri, "chaos")
    assert view.status == "FINISHED"
    assert sorted(view.runs) == list(range(40))
    for trial in trials:
        run = view.runs[trial.number]
        assert (run.state, run.status != "FAILED") == (str(trial.state), trial.state is TrialState.COMPLETE)
        assert run.params == {name: str(value) for name, value in trial.params.items()}
        if trial.state is TrialState.COMPLETE:
            assert [step for step, _ in run.series["val_accuracy"]] == [1, 2, 3]
    assert [step for step, _ in view.best][-1] == 40
    assert len(view.best) == len(dict(view.best))
