"""The file that holds a study: Optuna's journal, append-only, one JSON document a line."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
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

A flush takes 3 to 10 ms, and a trial of ten epochs writes 16 records. They are in the file at once, so that
nothing is lost with a process. What a power cut takes are the last epochs of trials that run, which they
report again when they go on.
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

        def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
            if self.held is None:
                super()._write_log(op_code, extra_fields)
                return
            self.held.append({"op_code": op_code, "worker_id": self._replay_result.worker_id, **extra_fields})

        @contextmanager
        def at_once(self) -> Iterator[None]:
            self.held = []
            try:
                yield
            finally:
                held, self.held = self.held, None
                if held:
                    self._backend.append_logs(held)

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
