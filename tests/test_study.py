import multiprocessing
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest

from hpsearch.errors import StudyError
from hpsearch.journal import at_once, open_storage, write_out
from hpsearch.ranking import pareto_front
from hpsearch.study import STUDY_FACTS, Study, TrialView, rank
from hpsearch.study_folder import StudyFolder, find_study
from hpsearch.trial import Failure, FailureKind, Result, TrialState
from hpsearch.trial_record import TRIAL_OUTCOME, record_outcome


def _trial(number, *values, state=TrialState.COMPLETE):
    return TrialView(number, state, {}, values, {}, 1, 1, 1.0, None)


@pytest.fixture
def folder(tmp_path):
    folder = StudyFolder(tmp_path / "digits")
    folder.create()
    return folder


def _search(folder, outcomes, objectives=None):
    objectives = objectives or {"val_accuracy": "maximize"}
    study = optuna.create_study(
        storage=open_storage(folder.journal), study_name=folder.name, directions=list(objectives.values())
    )
    study.set_user_attr(STUDY_FACTS, {"objectives": objectives})
    for outcome in outcomes:
        trial = study.ask()
        trial.suggest_int("units", 1, 8)
        trial.set_user_attr(TRIAL_OUTCOME, record_outcome(outcome, trial.params, spans=[(1.0, 3.0)]))
        if isinstance(outcome, Failure):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, [outcome.metrics[metric] for metric in objectives])
    return study


def test_a_study_reads_back_what_its_trials_left(folder):
    good = Result({"units": 4}, {"val_accuracy": 0.9, "loss": 0.1}, epochs=5, best_epoch=3, duration_s=1.5)
    bad = Failure(FailureKind.NAN, "the loss became nan at epoch 2")
    _search(folder, [good, bad])

    study = Study(folder)
    first, second = study.trials

    assert (first.state, first.params, first.values) == (TrialState.COMPLETE, {"units": 4}, (0.9,))
    assert (first.epochs, first.best_epoch, first.duration_s) == (5, 3, 1.5)
    assert (second.state, second.failure, second.duration_s) == (TrialState.FAILED, bad, 2.0)
    assert [t.number for t in study.best] == [0]
    assert study.state == "interrupted"  # no champion was written


def test_the_ranking_follows_the_direction_and_ties_go_to_the_earlier_trial():
    trials = (_trial(0, 0.2), _trial(1, 0.9), _trial(2, 0.9), _trial(3, state=TrialState.FAILED))
    assert [t.number for t in rank(trials, {"f1": "maximize"})] == [1, 2, 0]
    assert [t.number for t in rank(trials, {"loss": "minimize"})] == [0, 1, 2]


def test_the_pareto_front_comes_first_in_the_ranking():
    trials = (_trial(0, 0.9, 30.0), _trial(1, 0.8, 10.0), _trial(2, 0.85, 40.0), _trial(3, 0.8, 10.0))
    objectives = {"f1": "maximize", "latency_ms": "minimize"}
    assert [t.number for t in pareto_front(trials, objectives)] == [0, 1, 3]
    assert [t.number for t in rank(trials, objectives)] == [0, 1, 3, 2]


def test_a_second_driver_is_refused_and_told_who_holds_the_study(folder):
    with folder.lock():
        assert folder.is_locked()
        with (
            pytest.raises(StudyError, match=r"study digits: is being searched.*received pid \d+ on"),
            folder.lock(),
        ):
            pass
    assert not folder.is_locked()


HOLDER = """
import sys, time
from pathlib import Path
from hpsearch.study_folder import StudyFolder
with StudyFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def _held_elsewhere(folder, seconds):
    command = [sys.executable, "-c", HOLDER, str(folder.path), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_driver_may_wait_and_says_once_for_whom(folder):
    said = []
    with _held_elsewhere(folder, 1.5) as holder, folder.lock(said.append):
        assert holder.wait(5) == 0
    assert said == [f"pid {holder.pid} on {socket.gethostname()}"]


def test_ctrl_c_ends_the_waiting(folder):
    with _held_elsewhere(folder, 60), pytest.raises(KeyboardInterrupt), folder.lock(_press_ctrl_c):
        pass


def _press_ctrl_c(_holder):
    threading.Timer(0.2, signal.raise_signal, (signal.SIGINT,)).start()


def _hold_and_die(path):
    with StudyFolder(Path(path)).lock():
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_killed_driver_is_free(folder):
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(str(folder.path),))
    process.start()
    process.join()
    assert process.exitcode == -9
    with folder.lock():
        pass


def test_epochs_are_written_with_the_next_record_or_when_somebody_asks(folder, monkeypatch):
    monkeypatch.setattr("hpsearch.journal.FLUSH_S", 3600.0)
    study = optuna.create_study(storage=open_storage(folder.journal), study_name=folder.name)

    def in_file():
        return Study(folder).trials[-1].number, folder.journal.read_text().count("intermediate_value")

    trial = study.ask()
    trial.report(0.5, 1)
    trial.report(0.4, 2)
    assert in_file() == (0, 0)
    trial.set_user_attr("note", 1)
    assert in_file() == (0, 2)
    trial.report(0.3, 3)
    assert study.get_trials()[0].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.3}
    assert in_file() == (0, 3)
    trial.report(0.2, 4)
    write_out(study)
    assert in_file() == (0, 4)


def test_a_pruner_sees_the_epoch_that_it_is_asked_about(folder, monkeypatch):
    monkeypatch.setattr("hpsearch.journal.FLUSH_S", 3600.0)
    pruner = optuna.pruners.ThresholdPruner(upper=1.0)
    study = optuna.create_study(storage=open_storage(folder.journal), study_name=folder.name, pruner=pruner)
    trial = study.ask()
    trial.report(2.0, 1)
    with at_once(study):
        assert trial.should_prune()


def test_a_journal_cut_short_by_a_crash_is_mended(folder):
    _search(folder, [Result({"units": 1}, {"val_accuracy": 0.5}, 1, 1, 1.0)])
    with open(folder.journal, "ab") as file:
        file.write(b'{"op_code":4,"worker_id":"half a li')
    lock = folder.journal.with_name("study.journal.lock")
    lock.symlink_to(folder.journal)  # what a driver killed while it wrote leaves behind

    study = optuna.load_study(study_name=folder.name, storage=open_storage(folder.journal))
    study.tell(study.ask(), 0.7)

    assert [t.values for t in Study(folder).optuna.get_trials()] == [[0.5], [0.7]]


def test_an_unwritable_workdir_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"workdir: cannot write to .*file/x; expected a folder.*--workdir"):
        StudyFolder(tmp_path / "file" / "x").create()


def test_studies_are_found_by_name_by_folder_and_by_age(tmp_path):
    for name in ("digits", "mnist"):
        folder = StudyFolder(tmp_path / name)
        folder.create()
        folder.journal.write_text("")
    import os

    os.utime(tmp_path / "digits" / "study.journal", (1, 1))
    assert find_study("digits", tmp_path).name == "digits"
    assert find_study(str(tmp_path / "digits"), tmp_path).name == "digits"
    assert find_study(None, tmp_path).name == "mnist"
    with pytest.raises(
        StudyError, match=r"there is no study `digit`; expected one of digits, mnist.*`digits`"
    ):
        find_study("digit", tmp_path)


def test_an_empty_workdir_says_how_to_start(tmp_path):
    with pytest.raises(StudyError, match=r"no study has been started here.*hpsearch run FILE"):
        find_study(None, tmp_path)
