"""A study on disk: its folder and its lock.

<workdir>/<study>/
    study.journal      the Optuna study: append-only, one JSON document a line
    study.lock         held by the driver while it runs; names its process
    experiment.yaml    what was asked for
    code.diff          what of the user's code was not committed, where there is git
    preflight.json     what was found out about the space and the export while the search ran
    champion.json      the trial that was selected, its test metrics and exported files
    champion/          what the test evaluation wrote; the exported files
    latencies/         what a file of each structure takes to run, where trials are to be deployed
    trials/0007/       what one trial needs to go on, and what it left
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hpsearch.errors import StudyError, did_you_mean, fault
from hpsearch.trial import MODEL_FILE


@dataclass(frozen=True)
class StudyFolder:
    """Where a study keeps its files."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The Optuna study's file."""
        return self.path / "study.journal"

    @property
    def code_diff(self) -> Path:
        """What of the user's code was not committed."""
        return self.path / "code.diff"

    @property
    def preflight(self) -> Path:
        """What its pre-flight found."""
        return self.path / "preflight.json"

    @property
    def champion_file(self) -> Path:
        """What was selected."""
        return self.path / "champion.json"

    @property
    def champion(self) -> Path:
        """Folder of the test evaluation and the exported files."""
        return self.path / "champion"

    @property
    def latencies(self) -> Path:
        """Folder of what files take to run, by their structure."""
        return self.path / "latencies"

    @property
    def report(self) -> Path:
        """The page of the report; its pictures are beside it."""
        return self.path / "report" / "report.html"

    def report_files(self) -> list[str]:
        """Returns the report's page and its pictures; none if there is no report."""
        page = self.report
        return [str(page), *map(str, sorted(page.parent.glob("*.png")))] if page.is_file() else []

    def trial(self, number: int) -> Path:
        """Folder of one trial."""
        return self.path / "trials" / f"{number:04d}"

    def log(self, number: int) -> Path:
        """What one trial writes to standard output and error."""
        return self.trial(number) / "log.txt"

    def model(self, number: int) -> Path:
        """The model of one trial's best epoch."""
        return self.trial(number) / MODEL_FILE

    def create(self) -> None:
        """Makes the folder.

        Raises:
            StudyError: It cannot be written.
        """
        try:
            (self.path / "trials").mkdir(parents=True, exist_ok=True)
            self.champion.mkdir(exist_ok=True)
            probe = self.path / f".write-test-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StudyError(
                fault(
                    "workdir",
                    f"cannot write to {self.path}",
                    expected="a folder that can be created and written",
                    received=f"{type(error).__name__}: {error.strerror}",
                    advice="Name another with `--workdir`.",
                )
            ) from None

    @contextmanager
    def lock(self, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Holds the study for one driver; the kernel gives it back however the driver ends.

        Args:
            on_wait: Called once with the name of the process that holds it, which is then waited for.
                Default: it is an error that another process holds it.

        Raises:
            StudyError: Another process holds it.
        """
        with open(self.path / "study.lock", "a+", encoding="utf-8") as file:
            if not _locks(file):
                file.seek(0)
                holder = file.read().strip() or "another process"
                if on_wait is None:
                    raise StudyError(
                        fault(
                            f"study {self.name}",
                            "is being searched by another process",
                            received=holder,
                            advice="Wait for it (`--wait`), stop it, or give this search another `name`.",
                        )
                    )
                on_wait(holder)
                while not _locks(file):
                    time.sleep(0.5)
            file.truncate(0)
            file.write(f"pid {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def is_locked(self) -> bool:
        """Whether a driver is at work."""
        try:
            with open(self.path / "study.lock", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def study_of(trial: Path) -> StudyFolder:
    """Returns the study that a trial's folder belongs to."""
    return StudyFolder(trial.parents[1])


def find_study(name: str | None, workdir: Path) -> StudyFolder:
    """Finds a study by name, by its folder, or the one that changed last.

    Raises:
        StudyError: There is none.
    """
    if name is not None and Path(name).is_dir() and (Path(name) / "study.journal").exists():
        return StudyFolder(Path(name).resolve())
    found = {p.parent.name: p for p in sorted(workdir.glob("*/study.journal"))}
    if name is None and found:
        return StudyFolder(max(found.values(), key=lambda p: p.stat().st_mtime).parent.resolve())
    if name is not None and name in found:
        return StudyFolder(found[name].parent.resolve())
    what = "no study has been started here" if name is None else f"there is no study `{name}`"
    advice = did_you_mean(name or "", found) or "Start one with `hpsearch run FILE`, or name its `--workdir`."
    raise StudyError(
        fault(
            f"workdir {workdir}",
            what,
            expected=f"one of {', '.join(found)}" if found else None,
            advice=advice,
        )
    )


def _locks(file: IO[str]) -> bool:
    """Tries to lock a file, for half a second: who only looks whether it is locked has it for an instant."""
    for attempt in range(10):
        if attempt:
            time.sleep(0.05)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False
