"""A study begins, or goes on: what was asked for then must be what is asked for now."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpsearch.checking import CheckReport
from hpsearch.errors import StudyError, fault
from hpsearch.experiment import Experiment
from hpsearch.journal import open_storage
from hpsearch.listener import Listener
from hpsearch.study import STUDY_FACTS, StudyFolder
from hpsearch.tracking import StudyRecord
from hpsearch.trial import DataSummary

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy


def open_optuna(
    experiment: Experiment, folder: StudyFolder, report: CheckReport, listener: Listener
) -> OptunaStudy:
    """Creates the study, or takes it up if what it searches has not changed.

    Raises:
        StudyError: It has changed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=open_storage(folder.journal, listener.on_full_disk),
        study_name=folder.name,
        directions=[objective.direction for objective in report.objectives],
        sampler=report.strategy.sampler,
        pruner=report.strategy.pruner,
        load_if_exists=True,
    )
    data = report.probe.data
    asked = experiment.identity() | {"data.digest": data.digest}
    before = study.user_attrs.get(STUDY_FACTS)
    facts = {
        "id": uuid.uuid4().hex,
        "asked": asked,
        "objectives": {objective.metric: objective.direction for objective in report.objectives},
        "data": asdict(data),
        "space": report.space.to_json(),
    }
    if before is not None:
        _compare(folder, before["asked"], json.loads(json.dumps(asked)), experiment.where)
        facts = {key: before[key] for key in facts}
    now = {
        "versions": dict(report.probe.versions),
        "strategy": report.strategy.summary,
        "git_commit": _git_commit(),
        "select": experiment.evaluation.select,
    }
    facts = json.loads(json.dumps(facts | now))
    if facts != before:
        study.set_user_attr(STUDY_FACTS, facts)
    return study


def _compare(folder: StudyFolder, before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        others = f" (and {', '.join(changed[1:4])})" if changed[1:] else ""
        raise StudyError(
            fault(
                f"{where}: {key}",
                f"has changed since the study {folder.name} began{others}, so its trials cannot be compared",
                expected=repr(before.get(key)),
                received=repr(now.get(key)),
                advice=f"Change it back, give the search another `name`, or delete {folder.path}.",
            )
        )


def record_of(experiment: Experiment, folder: StudyFolder, facts: Mapping[str, Any]) -> StudyRecord:
    """Returns what a tracker is told of a study.

    Args:
        experiment: As it is searched now.
        folder: Of the study.
        facts: Written by `open_optuna`.
    """
    data = {**facts["data"], "class_names": tuple(facts["data"]["class_names"])}
    return StudyRecord(
        name=experiment.name,
        id=facts["id"],
        folder=str(folder.path),
        experiment=experiment.to_yaml(),
        strategy=facts["strategy"],
        objectives=facts["objectives"],
        settings=experiment.settings(),
        data=DataSummary(**data),
        versions=facts["versions"],
        git_commit=facts["git_commit"],
        space=facts["space"],
    )


def _git_commit() -> str | None:
    """Returns the commit of the working folder, with `-dirty` for uncommitted changes; None outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
