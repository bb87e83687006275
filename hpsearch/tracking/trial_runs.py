"""The runs of a study's trials: what each message means in MLflow.

Everything here may be done twice. What a run already holds is read once, when the study is opened or the
run is found again, and not sent again; the status is written last, so a run that is FINISHED or FAILED is
complete.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.tracking import StudyRecord
from hpsearch.tracking.entities import Names, origin, to_dataset, to_metrics, to_params, to_tags
from hpsearch.tracking.messages import Finish, Interrupt, Message, Start
from hpsearch.tracking.models import log_model
from hpsearch.tracking.notes import NOTE, run_link, trial_note
from hpsearch.trial import MODEL_FILE, SYSTEM_FILE, Epoch, Result, TrialSpec, TrialState, Value

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run

BEST = "best_"
"""Prefix of the metrics of a trial's best epoch. The plain name is the series over the epochs, of which
MLflow shows the last value: not the one the trial is judged by."""
SYSTEM = "system/"
"""Prefix of what MLflow's interface shows as system metrics."""
_ALWAYS_KEPT = ("params.json", "history.csv", "log.txt")


@dataclass
class TrialRun:
    """A trial's run, and what it is known to hold."""

    run_id: str
    status: str = "RUNNING"
    state: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """Last values, by MLflow's names."""
    epochs: set[int] | None = field(default_factory=set)
    """Those that arrived; None: not looked up yet."""
    samples_sent: int = 0
    """Bytes of `SYSTEM_FILE` that arrived; what is sent again is there once, being the same."""
    model_id: str | None = None
    is_champion: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self.status in ("FINISHED", "FAILED")


class TrialRuns:
    """Writes the trials of one study.

    Args:
        client: Of the store.
        experiment_id: MLflow's experiment.
        parent_id: The study's run.
        record: Of the study.
        names: Makes metric names fit; shared with the study's run.
    """

    def __init__(
        self, client: MlflowClient, experiment_id: str, parent_id: str, record: StudyRecord, names: Names
    ) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._parent_id = parent_id
        self._record = record
        self._names = names
        self._study = run_link(record.name, experiment_id, parent_id)
        self._trials = Path(record.folder) / "trials"
        self._tried: set[int] = set()
        self.runs: dict[int, TrialRun] = {}

    def find(self) -> None:
        """Finds the runs that earlier processes made."""
        self._take(self._search(""))

    def deliver(self, number: int, messages: Sequence[Message]) -> None:
        """Writes what happened to a trial; neighbouring epochs go in one request."""
        epochs: list[Epoch] = []
        for message in messages:
            if isinstance(message, Epoch):
                epochs.append(message)
                continue
            if isinstance(message, Finish):
                self._finish(message, epochs)
                epochs = []
                continue
            self._log_epochs(number, epochs)
            epochs = []
            match message:
                case Start(spec, at_s):
                    self._start(spec, at_s)
                case Interrupt(at_s) if self.run(number, at_s).status == "RUNNING":
                    self._end(self.run(number, at_s), "KILLED", at_s)
        self._log_epochs(number, epochs)

    def model_id(self, number: int, keras_file: str, at_s: float) -> str:
        """Returns the trial's LoggedModel, made of `keras_file` if there is none."""
        run = self.run(number, at_s)
        if run.model_id is None:
            run.model_id = log_model(
                self._client, self._experiment_id, run.run_id, Path(keras_file), self._record
            )
        return run.model_id

    def mark_champion(self, number: int) -> None:
        """Tags the trial's run as the champion's, and no other."""
        for other, run in self.runs.items():
            if run.is_champion != (other == number):
                self._client.set_tag(run.run_id, "hpsearch.champion", str(other == number).lower())
                run.is_champion = other == number

    def _start(self, spec: TrialSpec, at_s: float) -> None:
        run = self.run(spec.number, at_s)
        if run.is_complete:  # sent again by a search that resumes
            return
        if run.status != "RUNNING":
            self._client.update_run(run.run_id, status="RUNNING")
            self._client.set_tag(run.run_id, "hpsearch.state", str(TrialState.RUNNING))
            run.status, run.state = "RUNNING", "RUNNING"
        self._client.log_inputs(run.run_id, datasets=[to_dataset(self._record.data)])
        params = _missing_params(run, spec.params)
        note = trial_note(spec, self._study, self._record.objectives)
        tags = to_tags({"hpsearch.seed": spec.seed, "hpsearch.folder": spec.folder, NOTE: note})
        self._client.log_batch(run.run_id, params=params, tags=tags)
        run.params.update((param.key, param.value) for param in params)

    def _log_epochs(self, number: int, epochs: Sequence[Epoch]) -> None:
        if not epochs:
            return
        run = self.run(number, epochs[0].ended_at_s)
        new = self._missing_epochs(run, epochs)
        if metrics := self._series(new):
            self._client.log_batch(run.run_id, metrics=metrics)
            self._arrived(run).update(each.number for each in new)
        self._log_samples(number)

    def _log_samples(self, number: int) -> None:
        """Sends what the trial's worker has sampled meanwhile."""
        run = self.runs[number]
        samples, end = read_samples(self._trials / f"{number:04d}" / SYSTEM_FILE, run.samples_sent)
        if metrics := [
            metric
            for step, at_s, values in samples
            for metric in to_metrics(values, self._names, step=step, at_s=at_s)
        ]:
            self._client.log_batch(run.run_id, metrics=metrics)
        run.samples_sent = end

    def _missing_epochs(self, run: TrialRun, epochs: Sequence[Epoch]) -> list[Epoch]:
        arrived = self._arrived(run)
        new = {e.number: e for e in reversed(epochs) if e.number not in arrived}  # the first report counts
        return sorted(new.values(), key=lambda epoch: epoch.number)

    def _series(self, epochs: Sequence[Epoch]) -> list[Metric]:
        return [
            metric
            for epoch in epochs
            for metric in to_metrics(epoch.metrics, self._names, step=epoch.number, at_s=epoch.ended_at_s)
        ]

    def _finish(self, message: Finish, epochs: Sequence[Epoch]) -> None:
        """Writes how a trial ended; the epochs that came with that go in the same request."""
        spec, state, outcome, at_s = message.spec, message.state, message.outcome, message.at_s
        run = self.run(spec.number, at_s)
        if run.is_complete and run.state == state:
            return
        folder = Path(spec.folder)
        epochs = self._missing_epochs(run, [*epochs, *read_history(folder / "history.csv")])
        tags: dict[str, object] = {"hpsearch.state": str(state), "hpsearch.seed": spec.seed}
        tags["hpsearch.folder"] = spec.folder
        tags["hpsearch.attempts"] = spec.attempt
        tags[NOTE] = trial_note(spec, self._study, self._record.objectives, state, outcome)
        files = set(_ALWAYS_KEPT)
        final: dict[str, float] = {}
        if isinstance(outcome, Result):
            params = _missing_params(run, {**spec.params, **outcome.params})
            files |= set(outcome.files)
            final = {BEST + name: value for name, value in outcome.metrics.items()}
            final |= {"epochs": outcome.epochs, "best_epoch": outcome.best_epoch}
            final["duration_s"] = outcome.duration_s
            for name, value in outcome.facts.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    final.setdefault(name, value)
                else:
                    tags[f"hpsearch.{name}"] = value
            if MODEL_FILE in outcome.files and (folder / MODEL_FILE).exists():
                run.model_id = log_model(
                    self._client, self._experiment_id, run.run_id, folder / MODEL_FILE, self._record
                )
        else:
            params = _missing_params(run, spec.params)
            tags["hpsearch.failure_kind"] = str(outcome.kind)
            tags["hpsearch.failure_cause"] = outcome.cause
            if outcome.detail:
                self._client.log_text(run.run_id, outcome.detail, "failure.txt")
        for name in sorted(files - {MODEL_FILE}):
            if (folder / name).is_file():
                where = str(Path(name).parent)
                self._client.log_artifact(run.run_id, str(folder / name), None if where == "." else where)
        self._log_samples(spec.number)
        metrics = to_metrics(final, self._names, step=0, at_s=at_s, model_id=run.model_id)
        metrics = [metric for metric in metrics if not _same(run.metrics.get(metric.key), metric.value)]
        self._client.log_batch(
            run.run_id, metrics=[*self._series(epochs), *metrics], params=params, tags=to_tags(tags)
        )
        run.params.update((param.key, param.value) for param in params)
        run.metrics.update((metric.key, metric.value) for metric in metrics)
        self._arrived(run).update(each.number for each in epochs)
        run.state = str(state)
        self._end(run, "FAILED" if state is TrialState.FAILED else "FINISHED", at_s)

    def _end(self, run: TrialRun, status: str, at_s: float) -> None:
        self._client.set_terminated(run.run_id, status, end_time=int(at_s * 1000))
        run.status = status

    def run(self, number: int, at_s: float) -> TrialRun:
        """Returns the trial's run, made if there is none."""
        if number not in self.runs and number in self._tried:
            # An attempt failed, yet the server may have made the run before the answer was lost.
            self._take(self._search(f" and tags.`hpsearch.trial` = '{number}'"))
        if number not in self.runs:
            self._tried.add(number)
            tags = {
                "mlflow.parentRunId": self._parent_id,
                **origin(),
                "hpsearch.kind": "trial",
                "hpsearch.study": self._record.name,
                "hpsearch.study_id": self._record.id,
                "hpsearch.trial": number,
                "hpsearch.state": str(TrialState.RUNNING),
            }
            run = self._client.create_run(
                self._experiment_id,
                start_time=int(at_s * 1000),
                tags={tag.key: tag.value for tag in to_tags(tags)},
                run_name=f"trial-{number:04d}",
            )
            self.runs[number] = TrialRun(run.info.run_id)
        return self.runs[number]

    def _arrived(self, run: TrialRun) -> set[int]:
        if run.epochs is None:
            series = [name for name in run.metrics if not name.startswith((BEST, SYSTEM))]
            histories = [self._client.get_metric_history(run.run_id, name) for name in series]
            run.epochs = {metric.step for history in histories for metric in history}
        return run.epochs

    def _search(self, more: str) -> Iterator[Run]:
        ours = f"tags.`hpsearch.study_id` = '{self._record.id}' and tags.`hpsearch.kind` = 'trial'"
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], ours + more, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _take(self, runs: Iterator[Run]) -> None:
        for run in runs:
            tags = run.data.tags
            self.runs[int(tags["hpsearch.trial"])] = TrialRun(
                run_id=run.info.run_id,
                status=run.info.status,
                state=tags.get("hpsearch.state", ""),
                params=dict(run.data.params),
                metrics=dict(run.data.metrics),
                epochs=None,
                is_champion=tags.get("hpsearch.champion") == "true",
            )


def read_history(path: Path) -> Iterator[Epoch]:
    """Reads a trial's `history.csv`: a column `epoch`, optionally `ended_at_s`, one for each metric.

    Nothing is read from a file that is missing or malformed: it is a second source, not the first.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        fallback_s = path.stat().st_mtime
        for row in rows:
            number = int(float(row.pop("epoch")))
            ended_at_s = float(row.pop("ended_at_s", None) or fallback_s)
            yield Epoch(number, {name: _number(text) for name, text in row.items() if text}, ended_at_s)
    except (OSError, ValueError, KeyError, csv.Error):
        return


def read_samples(path: Path, offset: int) -> tuple[list[tuple[int, float, dict[str, float]]], int]:
    """Reads the whole lines of a trial's `SYSTEM_FILE` from a byte on.

    Returns:
        Step, Unix time and values of each sample; where the next ones will begin.
    """
    samples = []
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            lines = file.read().rpartition(b"\n")[0]
    except OSError:
        return [], offset
    for line in lines.splitlines():
        with suppress(ValueError, KeyError, TypeError):  # cut short by the death of a worker
            sample = json.loads(line)
            values = {SYSTEM + name: float(value) for name, value in sample["metrics"].items()}
            samples.append((int(sample["step"]), float(sample["at_s"]), values))
    return samples, offset + len(lines) + bool(lines)


def _number(text: Any) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _missing_params(run: TrialRun, values: Mapping[str, Value]) -> list[Param]:
    return [param for param in to_params(values, Names()) if param.key not in run.params]


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))
