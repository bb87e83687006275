"""The runs of a trial's parts: folds and repeats, each a child of the trial's run with its own epochs.

As with trials, everything may be done twice: what a run holds is looked up when it is found again, and its
status is written last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.parts import PARTS_FOLDER
from hpsearch.tracking.entities import Names, origin, to_metrics, to_params, to_tags
from hpsearch.tracking.history import BEST, TrialRun, log_series, missing_epochs, read_history
from hpsearch.tracking.notes import NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from hpsearch.parts import Part, PartResult
    from hpsearch.tracking import StudyRecord
    from hpsearch.trial import Epoch, Value

_FILES = ("history.csv", "curves.png")


class PartRuns:
    """Writes the parts of the trials of one study.

    Args:
        client: Of the store.
        experiment_id: MLflow's experiment.
        record: Of the study.
        names: Makes metric names fit; shared with the trials' runs.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, record: StudyRecord, names: Names) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._record = record
        self._names = names
        self._runs: dict[int, dict[str, TrialRun]] = {}
        """By trial and part."""

    def log_epochs(self, trial: int, parent_id: str, epochs: Iterable[Epoch]) -> None:
        """Writes epochs of parts into their runs.

        Args:
            trial: Its number.
            parent_id: Its run.
            epochs: Each with its part.
        """
        by_part: dict[Part, list[Epoch]] = {}
        for epoch in epochs:
            if epoch.part is not None:
                by_part.setdefault(epoch.part, []).append(epoch)
        for part, own in by_part.items():
            run = self._run(trial, parent_id, part, own[0].ended_at_s)
            if run.is_complete:
                continue
            if run.status != "RUNNING":
                self._client.update_run(run.run_id, status="RUNNING")
                run.status = "RUNNING"
            log_series(self._client, run, missing_epochs(self._client, run, own), self._names)

    def finish(
        self,
        trial: int,
        parent_id: str,
        params: Mapping[str, Value],
        folder: Path,
        results: Sequence[PartResult],
        at_s: float,
    ) -> None:
        """Closes the runs of parts that ended: missing epochs, final metrics, hyperparameters, files.

        Args:
            trial: Its number.
            parent_id: Its run.
            params: Its hyperparameters.
            folder: Its folder.
            results: Of its parts.
            at_s: When it ended.
        """
        for result in results:
            place = folder / PARTS_FOLDER / result.part.name
            epochs = list(read_history(place / "history.csv"))
            ended_at_s = epochs[-1].ended_at_s if epochs else at_s
            run = self._run(trial, parent_id, result.part, ended_at_s - result.duration_s)
            if run.is_complete:
                continue
            for name in _FILES:
                if (place / name).is_file():
                    self._client.log_artifact(run.run_id, str(place / name))
            log_series(self._client, run, missing_epochs(self._client, run, epochs), self._names)
            final = {BEST + name: value for name, value in result.metrics.items()}
            final |= {
                "epochs": result.epochs,
                "best_epoch": result.best_epoch,
                "duration_s": result.duration_s,
            }
            metrics = to_metrics(final, self._names, step=0, at_s=ended_at_s)
            self._client.log_batch(
                run.run_id,
                metrics=[metric for metric in metrics if metric.key not in run.metrics],
                params=[param for param in to_params(params, Names()) if param.key not in run.params],
                tags=to_tags({"hpsearch.seed": result.seed, "hpsearch.kept": str(result.kept).lower()}),
            )
            self._end(run, "FINISHED", ended_at_s)

    def interrupt(self, trial: int, at_s: float) -> None:
        """Marks the runs of a trial's parts that are open as stopped for now."""
        for run in self._runs.get(trial, {}).values():
            if run.status == "RUNNING":
                self._end(run, "KILLED", at_s)

    def fail(self, trial: int, folder: Path, at_s: float) -> None:
        """Closes the runs of a trial's parts: one failed, and the trial with it."""
        for name, run in self._runs.get(trial, {}).items():
            if not run.is_complete:
                ended = (folder / PARTS_FOLDER / name / "result.json").is_file()
                self._end(run, "FINISHED" if ended else "FAILED", at_s)

    def _end(self, run: TrialRun, status: str, at_s: float) -> None:
        self._client.set_terminated(run.run_id, status, end_time=int(at_s * 1000))
        run.status = status

    def _run(self, trial: int, parent_id: str, part: Part, at_s: float) -> TrialRun:
        """Returns the part's run, made if there is none."""
        if trial not in self._runs:
            self._runs[trial] = {run.data.tags["hpsearch.part"]: _known(run) for run in self._search(trial)}
        runs = self._runs[trial]
        if part.name not in runs:
            tags = {
                "mlflow.parentRunId": parent_id,
                **origin(),
                "hpsearch.kind": "part",
                "hpsearch.study": self._record.name,
                "hpsearch.study_id": self._record.id,
                "hpsearch.trial": trial,
                "hpsearch.part": part.name,
                "hpsearch.fold": part.fold,
                "hpsearch.repeat": part.repeat,
                NOTE: f"{part.label.capitalize()} of trial {trial}",
            }
            try:
                run = self._client.create_run(
                    self._experiment_id,
                    start_time=int(at_s * 1000),
                    tags={tag.key: tag.value for tag in to_tags(tags)},
                    run_name=f"trial-{trial:04d}-{part.name}",
                )
            except Exception:
                del self._runs[trial]  # the server may have made it before the answer was lost: look again
                raise
            runs[part.name] = TrialRun(run.info.run_id)
        return runs[part.name]

    def _search(self, trial: int) -> Iterator[Run]:
        ours = f"tags.`hpsearch.study_id` = '{self._record.id}' and tags.`hpsearch.kind` = 'part'"
        ours += f" and tags.`hpsearch.trial` = '{trial}'"
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], ours, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def _known(run: Run) -> TrialRun:
    return TrialRun(
        run_id=run.info.run_id,
        status=run.info.status,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        epochs=None,
    )
