"""A study begins, or goes on: what was asked for then must be what is asked for now."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.checking import CheckReport
from hpsearch.code_version import CodeVersion, code_version, uncommitted
from hpsearch.errors import StudyError, fault
from hpsearch.experiment import Experiment
from hpsearch.files import write_text
from hpsearch.journal import open_storage
from hpsearch.listener import Listener
from hpsearch.study import STUDY_FACTS
from hpsearch.study_folder import StudyFolder
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
        "code": asdict(_record_code(experiment, folder)),
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
        code=CodeVersion(**facts.get("code", {})),
        diff=folder.code_diff.read_text(encoding="utf-8") if folder.code_diff.exists() else None,
        space=facts["space"],
    )


def _record_code(experiment: Experiment, folder: StudyFolder) -> CodeVersion:
    """Keeps what differs from the commit in the study's folder; returns which commit that is."""
    home = Path(experiment.where).absolute().parent  # the working folder if it comes from Python
    code = code_version(home)
    diff = uncommitted(home) if code.dirty else ""
    if diff or folder.code_diff.exists():  # emptied where the changes have been committed meanwhile
        write_text(folder.code_diff, diff)
    return code
