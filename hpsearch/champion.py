"""Selection: the best trial is evaluated once on the test data, exported, registered and written down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpsearch.errors import ExportError, SearchError, fault
from hpsearch.executors import Executor, Report, Suggest
from hpsearch.experiment import Experiment
from hpsearch.export import formats
from hpsearch.exporting import export_job, refusal
from hpsearch.files import write_text
from hpsearch.policies import MOST_INTERRUPTIONS
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder
from hpsearch.tracking import Champion, Tracker
from hpsearch.trial import (
    DataSummary,
    Epoch,
    Evaluation,
    EvaluationResult,
    ExportResult,
    Failure,
    FailureKind,
    Job,
    Outcome,
)
from hpsearch.trial_view import TrialView

JOB_KEY = -1
"""Key of a job that is no trial."""


def crown(
    experiment: Experiment,
    study: Study,
    folder: StudyFolder,
    data: DataSummary,
    executor: Executor,
    tracker: Tracker,
) -> None:
    """Evaluates the selected trial on the test data, exports and registers it, and writes `champion.json`.

    A model sees the test data once: if the best trial is the one already evaluated, its numbers stand.

    Raises:
        SearchError: The evaluation failed.
        ExportError: The exported file disagrees with Keras; everything else is recorded all the same.
    """
    best = study.selected
    record = dict(study.champion or {})
    if record.get("trial") != best.number:
        record = {"trial": best.number, "values": dict(zip(study.objectives, best.values, strict=True))}
        record |= _evaluate(best, folder, executor)
        _write(folder, record)
    failures: dict[str, Failure] = {}
    for fmt in experiment.export.formats:
        if any(each["format"] == fmt and Path(each["path"]).exists() for each in record["exports"]):
            continue
        target = folder.champion / f"{folder.name}-{fmt}{formats.find(fmt).suffix}"
        job = export_job(experiment, folder, data, best.number, record["samples"], target, fmt)
        outcome = run_job(executor, job, log=folder.champion / "export.txt")
        if isinstance(outcome, ExportResult):
            others = [each for each in record["exports"] if each["format"] != fmt]
            record["exports"] = [*others, dataclasses.asdict(outcome)]
        elif isinstance(outcome, Failure):
            failures[fmt] = outcome
    record["registered_as"] = experiment.export.register_as or experiment.name
    _write(folder, record)
    register(study, folder, tracker)
    if failures:
        raise ExportError(
            refusal(
                folder.name,
                best.number,
                failures,
                advice=f"The search and its records are complete. The log: {folder.champion / 'export.txt'}.",
            )
        )


def register(study: Study, folder: StudyFolder, tracker: Tracker) -> str | None:
    """Has the champion registered, unless it was not tested and exported yet; notes the version.

    Returns:
        The version; None if it is not registered now.
    """
    record = dict(study.champion or {})
    if "registered_as" not in record:
        return None
    version = tracker.crown(_champion(record), record["registered_as"])
    _write(folder, record | {"version": version})
    return version


def run_job(
    executor: Executor,
    job: Job,
    *,
    log: Path,
    on_epoch: Callable[[Epoch], None] | None = None,
    timeout_s: float | None = None,
) -> Outcome:
    """Runs one job that is no trial, and waits for its outcome; again, if its machine is lost.

    `on_epoch` sees what it reports.
    """
    log.unlink(missing_ok=True)
    for _ in range(MOST_INTERRUPTIONS):
        executor.submit(JOB_KEY, job, log=str(log), timeout_s=timeout_s)
        outcome = _await_outcome(executor, on_epoch)
        if not isinstance(outcome, Failure) or outcome.kind is not FailureKind.INTERRUPTED:
            break
    return outcome


def _await_outcome(executor: Executor, on_epoch: Callable[[Epoch], None] | None) -> Outcome:
    unknown: str | None = None
    while True:
        for event in executor.wait(1.0):
            if event.key != JOB_KEY:
                continue
            if isinstance(event.body, Outcome):
                return event.body if unknown is None else _undecided(unknown)
            if isinstance(event.body, Suggest):
                unknown = unknown or event.body.parameter.name
                executor.cancel(JOB_KEY)
            if isinstance(event.body, Report) and on_epoch is not None:
                on_epoch(event.body.epoch)


def _undecided(name: str) -> Failure:
    """Nobody chooses values here: a trial that is run again has those of its record."""
    what = f"the model declares `{name}`, of which the trial's record has no value"
    advice = "The model has changed since: run it again with the code of then."
    return Failure(FailureKind.BUILD, fault(f"hyperparameter {name}", what, advice=advice), usage=True)


def _evaluate(best: TrialView, folder: StudyFolder, executor: Executor) -> dict[str, Any]:
    model = str(folder.model(best.number))
    part = next((each.part for each in best.parts if each.kept), None)
    job = Evaluation(trial=best.number, model=model, folder=str(folder.champion), part=part)
    log = folder.champion / "evaluation.txt"
    outcome = run_job(executor, job, log=log)
    if not isinstance(outcome, EvaluationResult):
        cause = outcome.cause if isinstance(outcome, Failure) else type(outcome).__name__
        what = f"trial {best.number} could not be evaluated on the test data"
        raise SearchError(fault(f"study {folder.name}", what, received=cause, advice=f"The log: {log}."))
    return {
        "model": model,
        "samples": outcome.samples,
        "test": dict(outcome.metrics),
        "files": list(outcome.files),
        "exports": [],
    }


def _champion(record: dict[str, Any]) -> Champion:
    return Champion(
        trial=record["trial"],
        metrics=record["values"],
        model=record["model"],
        evaluation=EvaluationResult(record["test"], record["samples"], tuple(record["files"])),
        exports=tuple(map(ExportResult.from_dict, record["exports"])),
    )


def _write(folder: StudyFolder, record: dict[str, Any]) -> None:
    """Writes `champion.json`; its paths are relative to the study's folder, so that this can be moved."""

    def relative(path: str) -> str:
        return str(Path(path).relative_to(folder.path))

    exports = [each | {"path": relative(each["path"])} for each in record["exports"]]
    places = {"model": relative(record["model"]), "samples": relative(record["samples"]), "exports": exports}
    write_text(folder.champion_file, json.dumps(record | places, indent=2) + "\n")
