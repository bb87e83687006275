"""What MLflow's interface shows as a description: Markdown that links a study, its trials and its model."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from hpsearch.parts import described, spreads
from hpsearch.trial import Failure, Result, TrialSpec, TrialState

NOTE = "mlflow.note.content"
"""The tag that holds a run's description."""
_VIEW = "?workflowType=machine_learning"
"""MLflow's interface has two halves: this one has runs, models and charts, the other is for LLMs."""


def run_link(text: str, experiment_id: str, run_id: str) -> str:
    """Returns a link to a run's page."""
    return f"[{text}](#/experiments/{experiment_id}/runs/{run_id}{_VIEW})"


def version_link(name: str, version: str) -> str:
    """Returns a link to the page of a registered model's version."""
    return f"[{name} version {version}](#/models/{quote(name)}/versions/{version}{_VIEW})"


def trial_note(
    spec: TrialSpec,
    study: str,
    objectives: Mapping[str, str],
    state: TrialState = TrialState.RUNNING,
    outcome: Result | Failure | None = None,
) -> str:
    """Writes how a trial went, and where its study is.

    Args:
        spec: Of the trial.
        study: The link to its study's run.
        objectives: Direction by metric.
        state: How it ended.
        outcome: What it gave. Default: it is running.

    Example:
        >>> trial_note(spec, "[digits](#/...)", {"val_accuracy": "maximize"}, TrialState.PRUNED, result)
        '**Pruned** after 3 epochs: val_accuracy 0.91 in epoch 2.\n\nTrial 7 of the study [digits](#/...)'
    """
    about = f"Trial {spec.number} of the study {study}"
    if outcome is None:
        return about
    if isinstance(outcome, Failure):
        often = f", after {spec.attempt} attempts" if spec.attempt > 1 else ""
        return f"**Failed** ({outcome.kind}{often}): {outcome.cause}\n\n{about}"
    spread = spreads(outcome.parts)
    values = [
        f"{name} {outcome.metrics[name]:.4g}" + (f" ± {spread[name].error:.2g}" if name in spread else "")
        for name in objectives
        if name in outcome.metrics
    ]
    where = f"in epoch {outcome.best_epoch}"
    if outcome.parts:
        where = f"over {described(outcome.parts)}"
    found = f": {', '.join(values)} {where}" if values else ""
    epochs = "1 epoch" if outcome.epochs == 1 else f"{outcome.epochs} epochs"
    broken = f" Infeasible: not {', '.join(outcome.broken)}." if outcome.broken else ""
    return f"**{state.capitalize()}** after {epochs}{found}.{broken}\n\n{about}"
