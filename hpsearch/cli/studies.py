"""What looks at studies: `status`, `trials`; and what sends them, `sync`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.cli import documents, tables
from hpsearch.errors import StudyError, TrackingError, fault

if TYPE_CHECKING:
    from hpsearch.cli.selection import Selection
    from hpsearch.study import Study


def open_study(name: str | None, workdir: Path | None) -> Study:
    """Opens a study.

    Args:
        name: Of the study, its folder, or its experiment file. Default: the study that changed last.
        workdir: Where studies are kept. Default: what the experiment file says, or `runs`.

    Raises:
        StudyError: There is none.
    """
    from hpsearch import assemble

    if name is not None and Path(name).suffix in (".yaml", ".yml"):
        from hpsearch.experiment import Experiment

        experiment = Experiment.load(name)
        return assemble.open_study(experiment.name, workdir or experiment.workdir)
    return assemble.open_study(name, workdir or "runs")


def status(name: str | None, workdir: Path | None, *, as_json: bool) -> None:
    """Prints how a study stands."""
    study = open_study(name, workdir)
    if as_json:
        documents.write_json(documents.study_document(study))
    else:
        tables.console().print(tables.study_facts(study))


def trials(
    name: str | None, workdir: Path | None, selection: Selection, *, as_json: bool, as_csv: bool
) -> None:
    """Prints trials: all of them, or those that a selection leaves.

    Raises:
        UsageError: The selection names what no trial has.
    """
    if as_json and as_csv:
        raise StudyError(fault("hpsearch trials", "one format at a time", expected="`--json` or `--csv`"))
    study = open_study(name, workdir)
    shown = selection.of(study.trials)
    if as_json:
        documents.write_json([documents.trial_document(trial, study.objectives) for trial in shown])
    elif as_csv and selection.columns:
        documents.write_columns_csv(shown, selection.columns, sys.stdout)
    elif as_csv:
        documents.write_trials_csv(study, shown, sys.stdout)
    else:
        console = tables.console()
        asked = selection.columns
        console.print(tables.columns(shown, asked) if asked else tables.selected(study, shown, console.width))


def sync(name: str | None, workdir: Path | None, *, uri: str | None, as_json: bool) -> int:
    """Sends to MLflow what is missing there, and prints what that was.

    Returns:
        The exit code: 0, or 1 if something could not be sent.
    """
    from hpsearch import syncing

    study = open_study(name, workdir)
    try:
        report = syncing.sync(study, uri=uri)
    except TrackingError as error:
        print(error, file=sys.stderr)
        return 1
    if as_json:
        documents.write_json(dataclasses.asdict(report))
    else:
        print(f"{study.name} to MLflow at {report.place}")
        missing = f": {', '.join(map(str, report.missing))}" if report.missing else ""
        print(f"trials: {report.there} were there already, {len(report.missing)} were not{missing}")
        if report.version is not None:
            print(f"champion: registered, version {report.version}")
        for line in report.unsent:
            print(f"not sent: {line}")
        print("The same command tries again." if report.unsent else "All is there.")
    return 1 if report.unsent else 0
