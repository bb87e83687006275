"""The file that holds a study: Optuna's journal, append-only, one JSON document a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.disk import patiently

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def open_storage(journal: Path, on_full: Callable[[OSError], None] = lambda _: None) -> BaseStorage:
    """Opens a study's journal for the driver, which holds the lock; mends what a crash left behind.

    Args:
        journal: The file.
        on_full: Called when the disk is full; the storage then waits for room.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class PatientBackend(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            patiently(partial(self._append_whole, logs), on_full)

        def _append_whole(self, logs: list[dict[str, Any]]) -> None:
            size = journal.stat().st_size
            try:
                super().append_logs(logs)
            except OSError:
                os.truncate(journal, size)  # there may have been room for half a line
                raise

    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)  # of a driver that was killed
    if journal.exists():
        text = journal.read_bytes()
        if text and not text.endswith(b"\n"):  # half a line: the record that a crash cut short
            os.truncate(journal, text.rfind(b"\n") + 1)
    return JournalStorage(PatientBackend(str(journal)))
