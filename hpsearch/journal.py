"""The file that holds a study: Optuna's journal, append-only, one JSON document a line."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.disk import patiently

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

FLUSH_S = 0.5
"""Records of running trials are flushed to the disk at most so often; a trial's beginning and end always.

A flush takes 3 to 10 ms, taking the lock up to 1, and a trial of ten epochs writes 16 records. All but the
epochs are in the file at once. An epoch that ends within this time after another record is written with the
next one, by `write_out`, or as soon as somebody asks for the study. What is lost with the process, or in a
power cut, are the last epochs of trials that run, which they report again when they go on.
"""


def open_storage(journal: Path, on_full: Callable[[OSError], None] = lambda _: None) -> BaseStorage:
    """Opens a study's journal for the driver, which holds the lock; mends what a crash left behind.

    Args:
        journal: The file.
        on_full: Called when the disk is full; the storage then waits for room.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
    from optuna.storages.journal._storage import JournalOperation

    of_running_trial = {
        JournalOperation.SET_TRIAL_PARAM,
        JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
        JournalOperation.SET_TRIAL_USER_ATTR,
        JournalOperation.SET_TRIAL_SYSTEM_ATTR,
    }
    lock = JournalFileSymlinkLock(str(journal))  # others may write too: optuna-dashboard its notes

    class PatientBackend(JournalFileBackend):
        flushed_s = -math.inf

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            may_wait = all(log["op_code"] in of_running_trial for log in logs)
            patiently(partial(self._append_whole, text.encode(), may_wait=may_wait), on_full)

        def _append_whole(self, text: bytes, *, may_wait: bool) -> None:
            lock.acquire()
            try:
                size = journal.stat().st_size
                try:
                    self._append(text, flush=not may_wait or time.monotonic() - self.flushed_s >= FLUSH_S)
                except OSError:
                    os.truncate(journal, size)  # there may have been room for half a line
                    raise
            finally:
                lock.release()

        def _append(self, text: bytes, *, flush: bool) -> None:
            with open(journal, "ab") as file:
                file.write(text)
                if flush:
                    file.flush()
                    os.fsync(file.fileno())
                    self.flushed_s = time.monotonic()

    class WholeStorage(JournalStorage):
        held: list[dict[str, Any]] | None = None
        reports: Sequence[dict[str, Any]] = ()
        """Epochs that are not written yet."""
        wrote_s = -math.inf

        def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
            log = self._log(op_code, extra_fields)
            if self.held is None:
                self._append(log)
            else:
                self.held.append(log)

        def _log(self, op_code: int, fields: Mapping[str, Any]) -> dict[str, Any]:
            return {"op_code": op_code, "worker_id": self._replay_result.worker_id, **fields}

        def _append(self, *logs: dict[str, Any]) -> None:
            self._backend.append_logs([*self.reports, *logs])
            self.reports, self.wrote_s = (), time.monotonic()

        def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
            if time.monotonic() - self.wrote_s >= FLUSH_S:
                super().set_trial_intermediate_value(trial_id, step, intermediate_value)
                return
            report = {"trial_id": trial_id, "step": step, "intermediate_value": intermediate_value}
            self.reports = (*self.reports, self._log(JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE, report))

        def write_out(self) -> None:
            if self.reports:
                self._append()

        def _sync_with_backend(self) -> None:
            self.write_out()
            super()._sync_with_backend()

        @contextmanager
        def at_once(self) -> Iterator[None]:
            self.held = []
            try:
                yield
            finally:
                held, self.held = self.held, None
                if held:
                    self._append(*held)

    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)  # of a driver that was killed
    if journal.exists():
        text = journal.read_bytes()
        if text and not text.endswith(b"\n"):  # half a line: the record that a crash cut short
            os.truncate(journal, text.rfind(b"\n") + 1)
    return WholeStorage(PatientBackend(str(journal)))


def at_once(study: optuna.Study) -> AbstractContextManager[None]:
    """Writes what a block records in a study together, when the block ends: a crash leaves all of it or none.

    The block cannot read back what it records.
    """
    together: Callable[[], AbstractContextManager[None]] = getattr(study._storage, "at_once", nullcontext)
    return together()


def write_out(study: optuna.Study) -> None:
    """Writes the epochs of a study that are not in its journal yet."""
    write: Callable[[], None] = getattr(study._storage, "write_out", lambda: None)
    write()
