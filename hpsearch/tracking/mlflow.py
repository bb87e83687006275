"""The MLflow tracker: a parent run for the study, a child run for each trial.

    prepare           begins to open the store, which takes seconds if it is new, in a thread of its own
    open_study        now, on the caller's thread: an address that does not work is an error here
    all other calls   a value for the sender's thread; microseconds, whatever the server does
    crown             waits for its version
    close             waits for the rest, within a limit

Only `mlflow.MlflowClient` with explicit run ids is used: MLflow's global "active run" belongs to the user.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

from hpsearch.errors import TrackingError, fault
from hpsearch.tracking import Champion, StudyRecord
from hpsearch.tracking.messages import Best, Close, Crown, Files, Finish, Interrupt, Message, Start
from hpsearch.tracking.s3 import is_of_s3
from hpsearch.tracking.sender import STUDY, Sender
from hpsearch.tracking.store import connect, explained, one_line, resolve
from hpsearch.tracking.study_run import StudyRun
from hpsearch.trial import Epoch, Failure, Result, TrialSpec, TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("hpsearch.tracking")

_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""What else MLflow's interface guesses at: that it holds trained models, and no LLM's traces."""


class MlflowTracker:
    """Sends the records of one study to MLflow.

    Args:
        uri: Where to: `sqlite:///mlflow.db`, `http://host:5000`, or any other address that MLflow knows.
        experiment: Name of the MLflow experiment that holds the runs.
        close_timeout_s: How long `close`, and `crown`, wait in vain, in seconds: as long as records arrive,
            they go on.

    Raises:
        TrackingError: No records can be kept at `uri`.

    Example:
        >>> tracker = MlflowTracker("sqlite:///mlflow.db", "digits")
        >>> tracker.open_study(record)
        >>> tracker.start_trial(spec)  # MLflow shows the run a moment later
    """

    def __init__(self, uri: str, experiment: str, *, close_timeout_s: float = 60.0) -> None:
        self._store = resolve(uri)
        self._experiment = experiment
        self._close_timeout_s = close_timeout_s
        self._study: StudyRun | None = None
        self._sender: Sender[Message] | None = None
        self._client: Future[MlflowClient] | None = None

    def prepare(self) -> None:
        """Begins to open the store while the caller does other things; `open_study` tells how it went."""
        thread = ThreadPoolExecutor(1, "hpsearch-mlflow")
        self._client = thread.submit(connect, self._store)
        thread.shutdown(wait=False)

    def open_study(self, record: StudyRecord) -> None:
        """Creates the study's run, or continues it. Called once, before all others.

        Raises:
            TrackingError: The store cannot be reached or written.
        """
        client = connect(self._store) if self._client is None else self._client.result()
        try:
            self._study = StudyRun(client, self._experiment_id(client), record)
            self._study.open()
        except TrackingError:
            raise
        except Exception as error:
            raise explained(error, self._store) from None
        self._sender = Sender(
            self._deliver,
            is_outage=is_outage,
            to=f"MLflow at {self._store.shown}",
            explain=one_line,
        )

    def start_trial(self, spec: TrialSpec) -> None:
        """Opens the trial's run, or reopens it; records the hyperparameters in `spec`."""
        self._put(spec.number, Start(spec))

    def log_epoch(self, number: int, epoch: Epoch) -> None:
        """Records one epoch. During a long outage epochs may wait in the trial's `history.csv` instead."""
        self._put(number, epoch)

    def finish_trial(self, spec: TrialSpec, state: TrialState, outcome: Result | Failure) -> bool:
        """Closes the trial's run: missing epochs, final metrics, files, model, or the cause of failure."""
        if self._study is not None:
            run = self._study.trials.runs.get(spec.number)
            if run is not None and run.is_complete and run.state == state:
                return False
        self._put(spec.number, Finish(spec, state, outcome))
        return True

    def interrupt_trial(self, number: int) -> None:
        """Marks the trial's run as stopped for now (status KILLED)."""
        self._put(number, Interrupt())

    def log_best(self, number: int, metrics: Mapping[str, float], trials: Mapping[str, int]) -> None:
        """Records the best trial so far on the study's run, at the step of the number of ended trials."""
        self._put(STUDY, Best(number, dict(metrics), dict(trials)))

    def crown(self, champion: Champion, name: str) -> str | None:
        """Registers the champion's model as a version of `name`; the same champion keeps its version.

        Returns:
            The version; None if MLflow did not answer in time or refused, with the cause in the log.
        """
        version: Future[str] = Future()
        if self._sender is None or not self._put(STUDY, Crown(champion, name, version)):
            return None
        self._sender.drain(self._close_timeout_s)
        if not version.done():
            version.cancel()
            logger.warning("The champion is not registered yet; the next run of the study does it.")
        try:
            return version.result(timeout=0)
        except (CancelledError, TimeoutError):
            return None

    def log_files(self, paths: Sequence[str]) -> None:
        """Adds files to the study's run, in the folder `report`; they replace earlier ones."""
        self._put(STUDY, Files(tuple(paths)))

    def finish_study(self, *, interrupted: bool) -> None:
        """Closes the study's run: FINISHED, or KILLED if it was interrupted."""
        self._put(STUDY, Close(interrupted))

    def close(self) -> Sequence[str]:
        """Waits until everything is sent, or nothing was for `close_timeout_s` seconds. Safe to call twice.

        Returns:
            What was not sent, a line each. The next run of the study sends it again.
        """
        if self._sender is None:
            return ()
        unsent = self._sender.close(self._close_timeout_s)
        self._sender = None
        return unsent

    def _put(self, key: int, message: Message) -> bool:
        if self._sender is None:
            return False
        return self._sender.put(key, message, may_drop=isinstance(message, Epoch))

    def _deliver(self, key: int, messages: Sequence[Message]) -> None:
        if self._study is None:
            return
        if key == STUDY:
            self._study.deliver(messages)
        else:
            self._study.trials.deliver(key, messages)

    def _experiment_id(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self._experiment)
        if found is None:
            root = self._store.artifact_root
            location = None if root is None else (root / quote(self._experiment, safe=" ")).as_uri()
            try:
                return str(client.create_experiment(self._experiment, location, tags=_EXPERIMENT_TAGS))
            except MlflowException:  # another process was faster
                found = client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackingError(
                fault(
                    "tracking.experiment",
                    f"the MLflow experiment `{self._experiment}` was deleted",
                    advice="Restore it (`mlflow experiments restore`), or name another.",
                )
            )
        return str(found.experiment_id)


def is_outage(error: Exception) -> bool:
    """Whether an error will pass: no answer, a busy database, a full disk; not a request MLflow refuses."""
    status = getattr(error, "get_http_status_code", None)
    if status is not None:
        return status() not in (400, 404, 405, 409, 413, 422)
    if isinstance(error, FileNotFoundError):  # of ours: it is gone
        return False
    return isinstance(error, OSError) or is_of_s3(error)
