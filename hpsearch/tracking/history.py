"""The epochs of a run: which arrived in MLflow, and which are still to be sent."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.tracking.entities import Names, to_metrics
from hpsearch.tracking.system import SYSTEM
from hpsearch.trial import Epoch

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BEST = "best_"
"""Prefix of the metrics of a trial's best epoch. The plain name is the series over the epochs, of which
MLflow shows the last value: not the one the trial is judged by."""


@dataclass
class TrialRun:
    """The run of a trial or of its part, and what it is known to hold."""

    run_id: str
    artifact_uri: str = ""
    """Where its files go; empty for a part, which has none."""
    status: str = "RUNNING"
    state: str = "RUNNING"
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """Last values, by MLflow's names."""
    epochs: set[int] | None = field(default_factory=set)
    """Those that arrived; None: not looked up yet."""
    samples_sent: int = 0
    """Bytes of `SYSTEM_FILE` that arrived; what is sent again is there once, being the same."""
    feasible: bool = True
    """Whether it breaks no constraint, as far as is known."""
    model_id: str | None = None
    is_champion: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self.status in ("FINISHED", "FAILED")


def log_series(client: MlflowClient, run: TrialRun, epochs: Sequence[Epoch], names: Names) -> None:
    """Writes epochs that did not arrive yet."""
    if metrics := series(epochs, names):
        client.log_batch(run.run_id, metrics=metrics)
        arrived(client, run).update(each.number for each in epochs)


def missing_epochs(client: MlflowClient, run: TrialRun, epochs: Sequence[Epoch]) -> list[Epoch]:
    """Returns those that did not arrive yet, by number; of equal ones the first report counts."""
    there = arrived(client, run)
    new = {epoch.number: epoch for epoch in reversed(epochs) if epoch.number not in there}
    return sorted(new.values(), key=lambda epoch: epoch.number)


def series(epochs: Sequence[Epoch], names: Names) -> list[Metric]:
    """Returns MLflow's metrics of some epochs."""
    return [
        metric
        for epoch in epochs
        for metric in to_metrics(epoch.metrics, names, step=epoch.number, at_s=epoch.ended_at_s)
    ]


def arrived(client: MlflowClient, run: TrialRun) -> set[int]:
    """Returns the numbers of the epochs that a run holds; they are looked up once."""
    if run.epochs is None:
        known = [name for name in run.metrics if not name.startswith((BEST, SYSTEM))]
        histories = [client.get_metric_history(run.run_id, name) for name in known]
        run.epochs = {metric.step for history in histories for metric in history}
    return run.epochs


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


def _number(text: Any) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
