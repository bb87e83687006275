"""The study's run in a few lines of Markdown, which MLflow shows above everything else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpsearch.tracking import StudyRecord
from hpsearch.tracking.entities import TAG_LENGTH, Names, shorten
from hpsearch.tracking.notes import run_link, version_link
from hpsearch.tracking.registry import ALIAS, Registration
from hpsearch.trial import TrialState

if TYPE_CHECKING:
    from hpsearch.tracking.history import TrialRun

LINES = 10


def leaderboard(
    record: StudyRecord,
    runs: Mapping[int, TrialRun],
    counts: Mapping[str, int],
    experiment_id: str,
    names: Names,
    champion: Registration | None,
) -> str:
    """Writes the best complete trials, best first, infeasible ones last, each with a link to its run.

    Args:
        record: Of the study.
        runs: By trial.
        counts: Trials by state.
        experiment_id: For the links.
        names: How metrics are called in MLflow.
        champion: The registered model, once there is one.
    """
    columns = [names.fit(f"best_{metric}") for metric in record.objectives]
    errors = [names.fit(f"{metric}_se") for metric in record.objectives]
    sign = -1.0 if next(iter(record.objectives.values())) == "maximize" else 1.0

    def cost(number: int) -> tuple[bool, float]:
        value = sign * runs[number].metrics.get(columns[0], math.inf)
        return not runs[number].feasible, math.inf if math.isnan(value) else value

    complete = [number for number, run in runs.items() if run.state == TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda number: (cost(number), number))[:LINES]
    objectives = ", ".join(f"{metric} ({direction})" for metric, direction in record.objectives.items())
    known = ", ".join(f"{count} {state.lower()}" for state, count in counts.items() if count)
    if infeasible := sum(not run.feasible for run in runs.values()):
        known += f", {infeasible} of them infeasible"
    lines = [
        f"**{record.strategy}** search for {objectives} on **{record.data.name}**: {known or 'no'} trials"
    ]
    if champion is not None:
        link = version_link(champion.name, champion.version)
        lines += ["", f"Champion: trial {champion.trial}, {link}, `models:/{champion.name}@{ALIAS}`"]
    if ranked:
        lines += ["", "| # | trial | " + " | ".join(columns) + " | epochs | seconds | hyperparameters |"]
        lines += ["| --- " * (len(columns) + 5) + "|"]
    for place, number in enumerate(ranked, start=1):
        run = runs[number]
        values = [f"{run.metrics.get(column, math.nan):.4f}" for column in columns]
        values = [
            f"{value} ± {run.metrics[error]:.4f}" if error in run.metrics else value
            for value, error in zip(values, errors, strict=True)
        ]
        epochs, seconds = (run.metrics.get(name, math.nan) for name in ("epochs", "duration_s"))
        params = ", ".join(f"{name}={_brief(value)}" for name, value in run.params.items())
        link = run_link(f"trial-{number:04d}", experiment_id, run.run_id)
        rank = str(place) if run.feasible else "infeasible"
        cells = [rank, link, *values, f"{epochs:.0f}", f"{seconds:.1f}", _cell(shorten(params, 300))]
        lines.append("| " + " | ".join(cells) + " |")
    return shorten("\n".join(lines), TAG_LENGTH)


def _brief(text: str) -> str:
    """Returns a number with few digits, any other text as it is."""
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
