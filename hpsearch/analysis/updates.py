"""The report, kept up to date while a search runs: made in a process of its own, which nothing waits for."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from hpsearch.listener import Listener
from hpsearch.study_folder import StudyFolder
from hpsearch.tracking import Tracker
from hpsearch.trial_view import TrialView

EVERY_S = 300.0
"""Least time between two updates: a report takes seconds, and its page is 5 MB."""
LONGEST_S = 180.0
"""How long the last one is waited for."""
NICENESS = 10


class ReportUpdates(Listener):
    """Has the report made anew after trials that end, at most every five minutes, and sent to the tracker.

    Args:
        study: Where its files are.
        tracker: Receives the files.
        every_s: Least time between two reports.
    """

    def __init__(self, study: StudyFolder, tracker: Tracker, every_s: float = EVERY_S) -> None:
        self._study = study
        self._tracker = tracker
        self._every_s = every_s
        self._begun_s = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def on_trial_finished(self, trial: TrialView, best: TrialView | None) -> None:  # noqa: ARG002
        """Sends a report that is ready, and begins another if it is time."""
        if self._process is not None and self._process.poll() is not None:
            self._send()
        if self._process is None and time.monotonic() - self._begun_s >= self._every_s:
            self._begin()

    def finish(self) -> Path | None:
        """Makes the last report, waits for it and sends it.

        Returns:
            The page; None if it could not be made: `hpsearch report` says why.
        """
        self.stop()
        self._begin()
        if self._process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LONGEST_S)
        return self._send()

    def stop(self) -> None:
        """Ends a report that is being made."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _begin(self) -> None:
        self._begun_s = time.monotonic()
        command = [sys.executable, "-m", "hpsearch", "report", str(self._study.path), "--json"]
        with suppress(OSError):  # a report is not worth the search
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            with suppress(psutil.Error):
                psutil.Process(self._process.pid).nice(NICENESS)

    def _send(self) -> Path | None:
        """Sends what the process has made, if it is done."""
        process, self._process = self._process, None
        if process is None or process.poll() is None:
            if process is not None:
                process.kill()
                process.wait()
            return None
        files = self._study.report_files()
        if process.returncode != 0 or not files:
            return None
        self._tracker.log_files(files)
        return self._study.report
