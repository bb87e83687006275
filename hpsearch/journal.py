"""The file that holds a study: Optuna's journal, append-only, one JSON document a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def open_storage(journal: Path) -> BaseStorage:
    """Opens a study's journal for the driver, which holds the lock; mends what a crash left behind."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)  # of a driver that was killed
    if journal.exists():
        text = journal.read_bytes()
        if text and not text.endswith(b"\n"):  # half a line: the record that a crash cut short
            with open(journal, "r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)
    return JournalStorage(JournalFileBackend(str(journal)))
