"""What people look at. A tracker receives values and sends them somewhere; `TrackerContract` is its law:

- every call is idempotent: a search that resumes sends again what may be missing, nothing appears twice;
- no call blocks training or raises for an outage once `open_study` has succeeded;
- after `close` everything that could be sent is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hpsearch.code_version import CodeVersion
from hpsearch.trial import (
    DataSummary,
    Epoch,
    EvaluationResult,
    ExportResult,
    Failure,
    Result,
    TrialSpec,
    TrialState,
    Value,
)


@dataclass(frozen=True)
class StudyRecord:
    """What is known of a study before its first trial."""

    name: str
    id: str
    """Unique to the study, kept over resumes."""
    folder: str
    """`<workdir>/<study>`, absolute."""
    experiment: str
    """The experiment file's text (YAML)."""
    strategy: str
    objectives: Mapping[str, str]
    """Direction (`minimize`, `maximize`) by metric; the first leads."""
    settings: Mapping[str, Value]
    """Flattened settings of the experiment, logged as the parent run's parameters."""
    data: DataSummary
    versions: Mapping[str, str]
    code: CodeVersion = field(default_factory=CodeVersion)
    diff: str | None = None
    """What of the user's code was not committed; empty if it has been meanwhile."""
    space: str = ""
    """What is searched, as JSON; kept beside the experiment when it is not empty."""


@dataclass(frozen=True)
class Champion:
    """The trial that was selected, its model, its test metrics and exported files."""

    trial: int
    metrics: Mapping[str, float]
    model: str
    """The `.keras` file, absolute."""
    evaluation: EvaluationResult | None = None
    exports: Sequence[ExportResult] = field(default_factory=tuple)


class Tracker(Protocol):
    """Receives the records of one study."""

    def open_study(self, record: StudyRecord) -> None:
        """Creates the study's parent run, or continues it.

        Raises:
            TrackingError: The store cannot be reached or written.
        """

    def start_trial(self, spec: TrialSpec) -> None:
        """Opens the trial's run, or reopens it after an interruption; records the hyperparameters known.

        May be called again when more hyperparameters are known.
        """

    def log_epoch(self, number: int, epoch: Epoch) -> None:
        """Records one epoch; a repeated epoch is ignored."""

    def finish_trial(self, spec: TrialSpec, state: TrialState, outcome: Result | Failure) -> bool:
        """Closes the trial's run with its final metrics, files, or the cause of its failure.

        Enough by itself: epochs that never arrived are taken from `history.csv` in the trial's folder, so
        a search that resumes calls it once for every finished trial and nothing is missing.

        Returns:
            Whether anything had to be sent.
        """

    def interrupt_trial(self, number: int) -> None:
        """Marks the trial's run as stopped for now; `start_trial` may reopen it."""

    def log_best(self, number: int, metrics: Mapping[str, float], trials: Mapping[str, int]) -> None:
        """Records on the parent run the best trial so far, and how many trials are in each state."""

    def crown(self, champion: Champion, name: str) -> str | None:
        """Registers the champion as a version of model `name`, alias `champion`.

        The one call that waits for an answer.

        Returns:
            The version; None if it could not be registered now (calling again will).
        """

    def log_files(self, paths: Sequence[str]) -> None:
        """Adds files to the parent run's artifacts, in the folder `report`; they replace earlier ones."""

    def finish_study(self, *, interrupted: bool) -> None:
        """Closes the parent run."""

    def close(self) -> Sequence[str]:
        """Waits, within a limit, until everything is sent. Safe to call twice.

        Returns:
            What could not be sent, a line each; the next run of the study sends it again.
        """
