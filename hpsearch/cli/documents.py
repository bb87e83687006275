"""Studies for programs: JSON documents and CSV. Numbers that JSON lacks (NaN, infinity) become null."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from hpsearch.conditions import value_of
from hpsearch.retention import disk_use

if TYPE_CHECKING:
    from hpsearch.checking import CheckReport
    from hpsearch.outlook import Preflight
    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView


def write_json(document: Any) -> None:
    """Prints one JSON document on stdout."""
    print(json.dumps(_finite(document), indent=2, ensure_ascii=False))


def trial_document(trial: TrialView, objectives: Mapping[str, str]) -> dict[str, Any]:
    """Describes one trial; `values` are those of the objectives."""
    failure = trial.failure
    return {
        "number": trial.number,
        "state": str(trial.state),
        "values": dict(zip(objectives, trial.values, strict=False)),
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        **_parts(trial),
        "epochs": trial.epochs,
        "best_epoch": trial.best_epoch,
        "duration_s": trial.duration_s,
        "started_at": trial.started_at.astimezone().isoformat() if trial.started_at else None,
        "failure": {"kind": str(failure.kind), "cause": failure.cause} if failure else None,
        "attempts": trial.attempts,
        "infeasible": trial.infeasible,
        "broken": list(trial.broken),
    }


def _parts(trial: TrialView) -> dict[str, Any]:
    """Describes the folds and repeats of a trial, if it has some."""
    if not trial.parts:
        return {}
    errors = {name: spread.error for name, spread in trial.spreads.items()}
    each = [{"name": part.part.name, **dataclasses.asdict(part)} for part in trial.parts]
    return {"standard_errors": errors, "parts": each}


def study_document(study: Study) -> dict[str, Any]:
    """Describes a study: how it stands, its best trials, its champion."""
    return {
        "study": study.name,
        "state": study.state,
        "folder": str(study.folder),
        "disk_bytes": dataclasses.asdict(disk_use(study.files)),
        "objectives": dict(study.objectives),
        "trials": counts(study),
        "infeasible": len(study.infeasible),
        "best": [trial_document(trial, study.objectives) for trial in study.best],
        "champion": study.champion,
    }


def check_document(report: CheckReport, ahead: Preflight | None = None) -> dict[str, Any]:
    """Describes what checking an experiment has shown."""
    found = {} if ahead is None else {"preflight": ahead.document}
    return found | {
        "objectives": {objective.metric: objective.direction for objective in report.objectives},
        "strategy": report.strategy.summary,
        "combinations": report.space.size(),
        "space": [parameter.to_config() for parameter in report.space.parameters],
        "metrics": list(report.probe.metrics),
        "parameters": report.probe.parameters,
        "flops": report.probe.flops,
        "data": dataclasses.asdict(report.probe.data),
        "versions": dict(report.probe.versions),
        "warnings": list(report.warnings),
    }


def write_columns_csv(shown: tuple[TrialView, ...], columns: tuple[str, ...], file: IO[str]) -> None:
    """Writes a line a trial: its number, and the columns asked for."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", *columns])
    writer.writerows([trial.number, *(value_of(trial, name) for name in columns)] for trial in shown)


def write_trials_csv(study: Study, shown: tuple[TrialView, ...], file: IO[str]) -> None:
    """Writes a line a trial: number, state, objectives, hyperparameters, epochs, time, failure."""
    names = param_names(study.trials)
    objectives = list(study.objectives)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["number", "state", *objectives, *names, "epochs", "best_epoch", "duration_s", "failure", "cause"]
    )
    for trial in shown:
        values = trial.values or (None,) * len(objectives)
        params = [trial.params.get(name) for name in names]
        failure = (str(trial.failure.kind), trial.failure.cause) if trial.failure else (None, None)
        course = (trial.epochs, trial.best_epoch, trial.duration_s)
        writer.writerow([trial.number, str(trial.state), *values, *params, *course, *failure])


def counts(study: Study) -> dict[str, int]:
    """Counts the trials in each state."""
    return dict(Counter(str(trial.state).lower() for trial in study.trials))


def param_names(trials: tuple[TrialView, ...]) -> list[str]:
    """Returns every hyperparameter some trial has, in the order of their first appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.params))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
