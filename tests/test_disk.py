"""A disk that is full: the driver waits, trials fail with a clear cause, and nothing is lost."""

import errno
import threading
from pathlib import Path

import optuna
import pytest

from hpsearch import disk
from hpsearch.disk import is_full, patiently
from hpsearch.driver import End
from hpsearch.journal import open_storage
from hpsearch.listener import Listener
from hpsearch.testing.searching import ToySearch
from hpsearch.trial import FailureKind, TrialState


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(disk, "RETRY_S", 0.05)


def test_an_action_is_repeated_until_there_is_room():
    errors = [OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "quota"), None]
    told = []

    def action():
        error = errors.pop(0)
        if error is not None:
            raise error
        return "done"

    assert patiently(action, told.append) == "done"
    assert [error.errno for error in told] == [errno.ENOSPC]


def test_other_errors_are_not_waited_for():
    def action():
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        patiently(action, lambda _: pytest.fail("it was told of a full disk"))
    assert not is_full(OSError("without a number"))


def test_a_journal_on_a_full_disk_waits_and_holds_no_half_record(small_disk):
    told = []
    journal = small_disk.path / "study.journal"
    study = optuna.create_study(storage=open_storage(journal, told.append), study_name="s")
    small_disk.fill()
    threading.Timer(0.5, small_disk.free).start()
    trial = study.ask()
    trial.set_user_attr("note", "x" * 10_000)  # there is room for half of it
    study.tell(trial, 1.0)
    assert len(told) == 1
    again = optuna.load_study(storage=open_storage(journal), study_name="s")
    assert [t.value for t in again.trials] == [1.0]


class _FillsTheDisk(Listener):
    """Fills it when two trials have ended, and frees it some time later."""

    def __init__(self, small_disk, seconds):
        self.said, self.before, self._disk, self._seconds = [], set(), small_disk, seconds

    def on_trial_finished(self, trial, best):
        if len(self.before) == 2:
            return
        self.before.add(trial.number)
        if len(self.before) == 2:
            self._disk.fill()
            threading.Timer(self._seconds, self._disk.free).start()

    def on_message(self, text):
        self.said.append(text)


@pytest.mark.parametrize("slots", [1, 2])
def test_a_search_whose_disk_is_full_for_a_while_goes_on(small_disk, tmp_path, slots):
    undisturbed = ToySearch(tmp_path / "undisturbed", trials=6)
    undisturbed.run()
    search = ToySearch(small_disk.path / "s", trials=6, slots=slots)
    listener = _FillsTheDisk(small_disk, 1.0)
    assert search.run(listener) is End.TRIALS
    trials = search.study.trials
    assert [t.number for t in trials] == list(range(6))
    # What a trial itself could not write meanwhile made it fail.
    causes = {t.failure.cause.split(":")[0] for t in trials if t.failure}
    assert causes <= {"OSError"}
    assert {t.number for t in trials if t.state is TrialState.COMPLETE} >= listener.before
    assert any(text.startswith("There is no room left on the disk") for text in listener.said)
    if slots == 1:
        assert search.points() == undisturbed.points()


def test_a_trial_that_cannot_write_fails_with_a_clear_cause_and_the_search_goes_on(small_disk):
    def writes_too_much(spec, _params):
        if spec.number == 1:
            model = Path(spec.folder) / "model.keras"
            try:
                model.write_bytes(b"\0" * 2**23)
            finally:
                model.unlink()  # as what appears whole or not at all does

    search = ToySearch(small_disk.path / "s", trials=3, toy={"fate": writes_too_much})
    assert search.run() is End.TRIALS
    trials = search.study.trials
    assert [t.state.value for t in trials] == ["COMPLETE", "FAILED", "COMPLETE"]
    assert trials[1].failure.kind is FailureKind.ERROR
    assert trials[1].failure.cause == "OSError: [Errno 28] No space left on device"
