"""The study's own run: what was asked for, how the search went, who is best, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING

from hpsearch.tracking import StudyRecord
from hpsearch.tracking.entities import Names, origin, to_dataset, to_metrics, to_params, to_tags
from hpsearch.tracking.history import BEST
from hpsearch.tracking.leaderboard import leaderboard
from hpsearch.tracking.messages import Best, Close, Crown, Files, Message
from hpsearch.tracking.notes import NOTE, run_link
from hpsearch.tracking.registry import Registration, export_metrics, register, upload_champion
from hpsearch.tracking.store import masked
from hpsearch.tracking.trial_runs import TrialRuns
from hpsearch.trial import TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TRIALS = "trials_"
"""Prefix of the counts of trials by state."""
REPORT = "report"
"""Folder of the files about the study among its run's artifacts."""
_COUNTED = "trials_complete"


class StudyRun:
    """Writes the parent run of one study and, through `trials`, those of its trials.

    Args:
        client: Of the store.
        experiment_id: MLflow's experiment.
        record: Of the study.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, record: StudyRecord) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._record = record
        self._names = Names()
        self._counts: dict[str, int] = {}
        self._champion: Registration | None = None
        self._note = ""
        self._metrics: dict[str, float] = {}
        self._steps: set[int] = set()
        self.run_id = ""
        self.trials = TrialRuns(client, experiment_id, "", record, self._names)

    def open(self) -> None:
        """Makes the run or continues it, and learns what it and the trials' runs hold already."""
        run = self._find()
        if run is None:
            run = self._client.create_run(
                self._experiment_id,
                run_name=self._record.name,
                tags={tag.key: tag.value for tag in to_tags(self._identity())},
            )
        elif run.info.status != "RUNNING":
            self._client.update_run(run.info.run_id, status="RUNNING")
        self.run_id = run.info.run_id
        self._note = run.data.tags.get(NOTE, "")
        self._metrics = dict(run.data.metrics)
        if _COUNTED in self._metrics:
            self._steps = {metric.step for metric in self._client.get_metric_history(self.run_id, _COUNTED)}
        known = {str(state): self._metrics.get(TRIALS + state.lower()) for state in TrialState}
        self._counts = {state: int(count) for state, count in known.items() if count is not None}
        self.trials = TrialRuns(self._client, self._experiment_id, self.run_id, self._record, self._names)
        self.trials.find()
        self._describe(run.data.params)

    def deliver(self, messages: Sequence[Message]) -> None:
        """Writes what happened to the study."""
        bests = [message for message in messages if isinstance(message, Best)]
        if bests:
            self._log_bests(bests)
        for message in messages:
            if isinstance(message, Crown):
                version = self._crown(message)
                with suppress(InvalidStateError):  # nobody waits any more, or it is delivered again
                    message.version.set_result(version)
        for path in dict.fromkeys(p for m in messages if isinstance(m, Files) for p in m.paths):
            with suppress(FileNotFoundError):  # replaced meanwhile by others
                self._client.log_artifact(self.run_id, path, REPORT)
        self._write_note()
        for message in messages:
            if isinstance(message, Close):
                status = "KILLED" if message.interrupted else "FINISHED"
                self._client.set_terminated(self.run_id, status, end_time=int(message.at_s * 1000))

    def _find(self) -> Run | None:
        mine = f"tags.`hpsearch.study_id` = '{self._record.id}' and tags.`hpsearch.kind` = 'study'"
        return next(iter(self._client.search_runs([self._experiment_id], mine, max_results=1)), None)

    def _identity(self) -> Mapping[str, object]:
        record = self._record
        return {
            **origin(),
            **{name: masked(value) for name, value in record.code.tags.items() if value},
            "hpsearch.kind": "study",
            "hpsearch.study": record.name,
            "hpsearch.study_id": record.id,
        }

    def _describe(self, known: Mapping[str, str]) -> None:
        record = self._record
        objectives = ", ".join(f"{name} ({direction})" for name, direction in record.objectives.items())
        settings = {"strategy": record.strategy, "objective": objectives}
        settings |= {name: masked(str(value)) for name, value in record.settings.items()}
        tags: dict[str, object] = {
            **self._identity(),
            "hpsearch.folder": record.folder,
            "hpsearch.strategy": record.strategy,
            "hpsearch.objective": objectives,
            **{f"hpsearch.version.{name}": text for name, text in record.versions.items()},
        }
        params = to_params(settings, Names())
        for param in params:  # MLflow's parameters never change; a study that goes on may have new settings
            if known.get(param.key, param.value) != param.value:
                tags[f"hpsearch.changed.{param.key}"] = param.value
        new = [param for param in params if param.key not in known]
        self._client.log_batch(self.run_id, params=new, tags=to_tags(tags))
        self._client.log_inputs(self.run_id, datasets=[to_dataset(record.data)])
        self._client.log_text(self.run_id, masked(record.experiment), "experiment.yaml")
        if record.diff is not None:
            self._client.log_text(self.run_id, masked(record.diff), "code.diff")
        if record.space:
            self._client.log_text(self.run_id, record.space, "space.json")

    def _log_bests(self, messages: Sequence[Best]) -> None:
        metrics = []
        for message in messages:
            self._counts = {str(s): n for s, n in message.trials.items() if s != TrialState.RUNNING}
            ended = sum(self._counts.values())
            if ended in self._steps:
                continue
            self._steps.add(ended)
            values = {BEST + name: value for name, value in message.metrics.items()}
            values |= {TRIALS + state.lower(): count for state, count in self._counts.items()}
            metrics += to_metrics(values, self._names, step=ended, at_s=message.at_s)
        try:
            tags = to_tags({"hpsearch.best_trial": messages[-1].trial})
            self._client.log_batch(self.run_id, metrics=metrics, tags=tags)
        except Exception:
            self._steps -= {metric.step for metric in metrics}
            raise

    def _crown(self, message: Crown) -> str:
        run = self.trials.run(message.champion.trial, message.at_s)
        model_id = self.trials.model_id(message.champion.trial, message.champion.model, message.at_s)
        upload_champion(self._client, self.run_id, model_id, message.champion)
        evaluation = message.champion.evaluation
        numbers = {**(evaluation.metrics if evaluation else {}), **export_metrics(message.champion)}
        metrics = to_metrics(numbers, self._names, step=0, at_s=message.at_s, model_id=model_id)
        new = [metric for metric in metrics if self._metrics.get(metric.key) != metric.value]
        if new:
            self._client.log_batch(self.run_id, metrics=new)
            self._metrics.update((metric.key, metric.value) for metric in new)
        study = run_link(self._record.name, self._experiment_id, self.run_id)
        self._champion = register(self._client, message, self._record, run.run_id, model_id, study)
        self.trials.mark_champion(message.champion.trial)
        tags = {"hpsearch.champion_trial": message.champion.trial, "hpsearch.champion_run": run.run_id}
        self._client.log_batch(self.run_id, tags=to_tags(tags))
        return self._champion.version

    def _write_note(self) -> None:
        note = leaderboard(
            self._record, self.trials.runs, self._counts, self._experiment_id, self._names, self._champion
        )
        if note != self._note:
            self._client.set_tag(self.run_id, NOTE, note)
            self._note = note
