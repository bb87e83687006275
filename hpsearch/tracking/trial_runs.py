"""The runs of a study's trials: what each message means in MLflow.

Everything here may be done twice. What a run already holds is read once, when the study is opened or the
run is found again, and not sent again; the status is written last, so a run that is FINISHED or FAILED is
complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeGuard

from hpsearch.parts import spreads
from hpsearch.tracking import StudyRecord
from hpsearch.tracking.entities import Names, origin, to_dataset, to_metrics, to_params, to_tags
from hpsearch.tracking.history import (
    BEST,
    TrialRun,
    arrived,
    log_series,
    missing_epochs,
    read_history,
    series,
)
from hpsearch.tracking.messages import Finish, Interrupt, Message, Start
from hpsearch.tracking.models import log_model
from hpsearch.tracking.notes import NOTE, run_link, trial_note
from hpsearch.tracking.part_runs import PartRuns
from hpsearch.tracking.system import read_samples
from hpsearch.trial import MODEL_FILE, SYSTEM_FILE, Epoch, Result, TrialSpec, TrialState, Value

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Param, Run, RunTag

_ALWAYS_KEPT = ("params.json", "history.csv", "log.txt")


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
        self._parts = PartRuns(client, experiment_id, record, names)
        self._trials = Path(record.folder) / "trials"
        self._tried: set[int] = set()
        self.runs: dict[int, TrialRun] = {}

    def find(self) -> None:
        """Finds the runs that earlier processes made."""
        self._take(self._search(""))

    def deliver(self, number: int, messages: Sequence[Message]) -> None:
        """Writes what happened to a trial; neighbouring epochs go in one request.

        Of a trial that has ended already the run is made with all its tags, and the rest goes in one request:
        MLflow writes a request's tags one by one.
        """
        epochs: list[Epoch] = []
        ended = next((message for message in messages if isinstance(message, Finish)), None)
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
                case Start(spec, at_s) if ended is not None and number not in self.runs:
                    run = self.run(number, at_s, self._last_tags(ended))
                    if not run.is_complete:
                        self._client.log_inputs(run.run_id, datasets=[to_dataset(self._record.data)])
                case Start(spec, at_s):
                    self._start(spec, at_s)
                case Interrupt(at_s) if self.run(number, at_s).status == "RUNNING":
                    self._parts.interrupt(number, at_s)
                    self._end(self.run(number, at_s), "KILLED", at_s)
        self._log_epochs(number, epochs)

    def model_id(self, number: int, keras_file: str, at_s: float) -> str:
        """Returns the trial's LoggedModel, made of `keras_file` if there is none."""
        run = self.run(number, at_s)
        if run.model_id is None:
            run.model_id = log_model(
                self._client, self._experiment_id, run.run_id, Path(keras_file), self._record, run.params
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
            run.status = run.state = run.tags["hpsearch.state"] = "RUNNING"
        self._client.log_inputs(run.run_id, datasets=[to_dataset(self._record.data)])
        params = _missing_params(run, spec.params)
        note = trial_note(spec, self._study, self._record.objectives)
        tags = _missing_tags(run, {"hpsearch.seed": spec.seed, "hpsearch.folder": spec.folder, NOTE: note})
        self._client.log_batch(run.run_id, params=params, tags=tags)
        run.params.update((param.key, param.value) for param in params)
        run.tags.update((tag.key, tag.value) for tag in tags)

    def _log_epochs(self, number: int, epochs: Sequence[Epoch]) -> None:
        if not epochs:
            return
        run = self.run(number, epochs[0].ended_at_s)
        self._parts.log_epochs(number, run.run_id, epochs)
        own = [epoch for epoch in epochs if epoch.part is None]
        log_series(self._client, run, missing_epochs(self._client, run, own), self._names)
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

    def _finish(self, message: Finish, epochs: Sequence[Epoch]) -> None:
        """Writes how a trial ended; the epochs that came with that go in the same request."""
        spec, state, outcome, at_s = message.spec, message.state, message.outcome, message.at_s
        run = self.run(spec.number, at_s)
        if run.is_complete and run.state == state:
            return
        folder = Path(spec.folder)
        self._parts.log_epochs(spec.number, run.run_id, epochs)
        own = [epoch for epoch in epochs if epoch.part is None]
        epochs = missing_epochs(self._client, run, [*own, *read_history(folder / "history.csv")])
        files = set(_ALWAYS_KEPT)
        final: dict[str, float] = {}
        if isinstance(outcome, Result):
            params = _missing_params(run, {**spec.params, **outcome.params})
            files |= set(outcome.files)
            self._parts.finish(spec.number, run.run_id, outcome.params, folder, outcome.parts, at_s)
            final = {BEST + name: value for name, value in outcome.metrics.items()}
            for name, spread in spreads(outcome.parts).items():
                final |= {f"{name}_std": spread.std, f"{name}_se": spread.error}
            final |= {"epochs": outcome.epochs, "best_epoch": outcome.best_epoch}
            final["duration_s"] = outcome.duration_s
            run.feasible = not outcome.broken
            for name, value in outcome.facts.items():
                if _is_number(value):
                    final.setdefault(name, float(value))
            if MODEL_FILE in outcome.files and (folder / MODEL_FILE).exists():
                known = run.params | {param.key: param.value for param in params}
                run.model_id = log_model(
                    self._client, self._experiment_id, run.run_id, folder / MODEL_FILE, self._record, known
                )
        else:
            self._parts.fail(spec.number, folder, at_s)
            params = _missing_params(run, spec.params)
            if outcome.detail:
                self._client.log_text(run.run_id, outcome.detail, "failure.txt")
        self._log_files(run, folder, sorted(files - {MODEL_FILE}))
        self._log_samples(spec.number)
        metrics = to_metrics(final, self._names, step=0, at_s=at_s, model_id=run.model_id)
        metrics = [metric for metric in metrics if not _same(run.metrics.get(metric.key), metric.value)]
        tags = _missing_tags(run, self._last_tags(message))
        self._client.log_batch(
            run.run_id, metrics=[*series(epochs, self._names), *metrics], params=params, tags=tags
        )
        run.params.update((param.key, param.value) for param in params)
        run.tags.update((tag.key, tag.value) for tag in tags)
        run.metrics.update((metric.key, metric.value) for metric in metrics)
        arrived(self._client, run).update(each.number for each in epochs)
        run.state = str(state)
        self._end(run, "FAILED" if state is TrialState.FAILED else "FINISHED", at_s)

    def _log_files(self, run: TrialRun, folder: Path, names: Sequence[str]) -> None:
        """Sends those files of a folder that are there. The client would ask for the whole run first."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        there = [name for name in names if (folder / name).is_file()]
        if not there:
            return
        artifacts = get_artifact_repository(run.artifact_uri, tracking_uri=self._client.tracking_uri)
        for name in there:
            where = str(Path(name).parent)
            artifacts.log_artifact(str(folder / name), None if where == "." else where)

    def _last_tags(self, message: Finish) -> dict[str, object]:
        """Returns the tags of a trial that has ended."""
        spec, state, outcome = message.spec, message.state, message.outcome
        tags: dict[str, object] = {
            "hpsearch.state": str(state),
            "hpsearch.seed": spec.seed,
            "hpsearch.folder": spec.folder,
            "hpsearch.attempts": spec.attempt,
            NOTE: trial_note(spec, self._study, self._record.objectives, state, outcome),
        }
        if isinstance(outcome, Result):
            facts = {name: value for name, value in outcome.facts.items() if not _is_number(value)}
            tags |= {f"hpsearch.{name}": value for name, value in facts.items()}
            if outcome.constraints:
                tags["hpsearch.feasible"] = str(not outcome.broken).lower()
                tags["hpsearch.broken"] = ", ".join(outcome.broken) or None
            return tags
        return tags | {
            "hpsearch.failure_kind": str(outcome.kind),
            "hpsearch.failure_cause": outcome.cause,
        }

    def _end(self, run: TrialRun, status: str, at_s: float) -> None:
        self._client.set_terminated(run.run_id, status, end_time=int(at_s * 1000))
        run.status = status

    def run(self, number: int, at_s: float, tags: Mapping[str, object] = MappingProxyType({})) -> TrialRun:
        """Returns the trial's run, made if there is none, then with these tags beside its own."""
        if number not in self.runs and number in self._tried:
            # An attempt failed, yet the server may have made the run before the answer was lost.
            self._take(self._search(f" and tags.`hpsearch.trial` = '{number}'"))
        if number not in self.runs:
            self._tried.add(number)
            first = {
                "mlflow.parentRunId": self._parent_id,
                **origin(),
                "hpsearch.kind": "trial",
                "hpsearch.study": self._record.name,
                "hpsearch.study_id": self._record.id,
                "hpsearch.trial": number,
                "hpsearch.state": str(TrialState.RUNNING),
            }
            written = {tag.key: tag.value for tag in to_tags({**first, **tags})}
            run = self._client.create_run(
                self._experiment_id,
                start_time=int(at_s * 1000),
                tags=written,
                run_name=f"trial-{number:04d}",
            )
            self.runs[number] = TrialRun(run.info.run_id, run.info.artifact_uri, tags=written)
        return self.runs[number]

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
                artifact_uri=run.info.artifact_uri,
                status=run.info.status,
                state=tags.get("hpsearch.state", ""),
                params=dict(run.data.params),
                tags=dict(tags),
                metrics=dict(run.data.metrics),
                epochs=None,
                feasible=tags.get("hpsearch.feasible") != "false",
                is_champion=tags.get("hpsearch.champion") == "true",
            )


def _missing_params(run: TrialRun, values: Mapping[str, Value]) -> list[Param]:
    return [param for param in to_params(values, Names()) if param.key not in run.params]


def _missing_tags(run: TrialRun, values: Mapping[str, object]) -> list[RunTag]:
    return [tag for tag in to_tags(values) if run.tags.get(tag.key) != tag.value]


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))
