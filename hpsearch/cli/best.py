"""`hpsearch best`: the best trial, the Pareto front, or the best of the trials that meet some conditions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.cli import documents, tables
from hpsearch.cli.studies import open_study
from hpsearch.conditions import Condition
from hpsearch.errors import StudyError, UsageError, fault

if TYPE_CHECKING:
    from hpsearch.study import Study


def best(
    name: str | None, workdir: Path | None, *, pareto: bool, conditions: tuple[str, ...], as_json: bool
) -> None:
    """Prints the best trial, or those of the Pareto front.

    Args:
        name: Of the study.
        workdir: Of the studies.
        pareto: Whether to print the front as a table.
        conditions: Whose best trial to print. Default: of all.
        as_json: Whether to print a JSON document.

    Raises:
        StudyError: No trial is complete and feasible, or none meets the conditions.
        UsageError: A condition is none.
    """
    if pareto and conditions:
        raise UsageError(fault("hpsearch best", "one at a time", expected="`--pareto` or `--at`"))
    asked = tuple(Condition.parse(text, "--at") for text in conditions)
    study = open_study(name, workdir)
    if asked:
        _at(study, asked, as_json=as_json)
        return
    if not study.best:
        what = "no trial is complete yet, so there is no best one"
        if study.ranking:
            what = "no complete trial meets the constraints, so there is no best one"
        raise StudyError(fault(f"study {study.name}", what, advice="See `hpsearch trials`."))
    if pareto:
        _front(study, as_json=as_json)
    elif as_json:
        documents.write_json(documents.study_document(study))
    else:
        console = tables.console()
        console.print(tables.study_facts(study))
        champion = study.champion or {}
        for trial in study.best:
            test = champion.get("test", {}) if champion.get("trial") == trial.number else {}
            console.print(tables.one_trial(trial, test, study.objectives))


def _at(study: Study, conditions: tuple[Condition, ...], *, as_json: bool) -> None:
    trial = study.best_at(*conditions)
    if as_json:
        documents.write_json(documents.trial_document(trial, study.objectives))
    else:
        tables.console().print(tables.one_trial(trial, {}, study.objectives))


def _front(study: Study, *, as_json: bool) -> None:
    if as_json:
        documents.write_json([documents.trial_document(trial, study.objectives) for trial in study.best])
        return
    console = tables.console()
    console.print(tables.front(study, console.width))
