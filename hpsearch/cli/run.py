"""What starts workers: `run`, `check`, `lr-find`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from hpsearch.cli import documents, tables
from hpsearch.cli.progress import progress, steps_done
from hpsearch.errors import ExportError, SearchError
from hpsearch.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console

    from hpsearch.study import Study

INTERRUPTED = 130


def gather(overrides: Sequence[str] | None, workdir: Path | None, trials: int | None) -> list[str]:
    """Brings all options that change the experiment into one form; the special ones win over `--set`."""
    found = list(overrides or ())
    if workdir is not None:
        found.append(f"workdir={json.dumps(str(workdir))}")
    if trials is not None:
        found.append(f"search.trials={trials}")
    return found


def run(file: Path, overrides: Sequence[str], *, as_json: bool, quiet: bool, wait: bool) -> int:
    """Searches, showing progress; then prints the leaderboard, or a JSON document.

    Returns:
        The exit code: 0, or 130 if it was interrupted.
    """
    from hpsearch import assemble

    experiment = Experiment.load(file, overrides)
    # A program that reads stdout gets the document alone; people read the rest on stderr.
    console = tables.console(stderr=as_json)
    try:
        with progress(experiment, console, quiet=quiet) as listener:
            study = assemble.search(experiment, listener=listener, wait=wait)
    except (SearchError, ExportError):  # what was finished before is worth reading all the same
        if not as_json and (study := assemble.open_study(experiment.name, experiment.workdir)).best:
            console.print(tables.leaderboard(study, console.width))
        raise
    interrupted = study.state == "interrupted"
    if as_json:
        documents.write_json({**documents.study_document(study), "leaderboard": _leaders(study)})
    else:
        _conclude(study, experiment, console)
        if interrupted:
            console.print(Text("The same command continues.", style="yellow"))
    return INTERRUPTED if interrupted else 0


def check(file: Path, overrides: Sequence[str], *, quick: bool, as_json: bool) -> int:
    """Checks an experiment and prints what it would search, and what that would meet."""
    from hpsearch import beforehand

    experiment = Experiment.load(file, overrides)
    ahead = None
    if quick:
        report = beforehand.check(experiment)
    else:
        ahead = beforehand.preflight(experiment)
        report = ahead.report
    if as_json:
        documents.write_json(documents.check_document(report, ahead))
        return 0
    console = tables.console()
    console.print(tables.check_facts(report, ahead))
    if experiment.evaluation.parts:
        console.print(tables.facts([("evaluation", experiment.evaluation.summary)]))
    console.print(tables.space(report.space.parameters, experiment.search.space))
    notes = (*report.warnings, *(ahead.notes if ahead else ()))
    for note in notes:
        console.print(Text(note, style="yellow"))
    console.print(Text(f"{file}: {'see above.' if notes else 'all right.'}"))
    return 0


@dataclass(frozen=True)
class Rates:
    """What `lr-find` is asked for."""

    low: float
    high: float
    steps: int
    picture: Path


def lr_find(file: Path, overrides: Sequence[str], wanted: Rates, *, as_json: bool) -> int:
    """Tests learning rates; prints what to write into the file, or a JSON document.

    Returns:
        The exit code: 0, or 1 if the loss fell at no rate.
    """
    from hpsearch import learning_rate

    experiment = Experiment.load(file, overrides)
    with steps_done(tables.console(stderr=as_json), wanted.steps, tables.rate_step) as on_step:
        found = learning_rate.find_learning_rate(
            experiment,
            low=wanted.low,
            high=wanted.high,
            steps=wanted.steps,
            picture=wanted.picture,
            on_step=on_step,
        )
    if as_json:
        documents.write_json(dataclasses.asdict(found))
    else:
        tables.console().print(tables.rates_facts(found))
    for note in found.notes:
        print(note, file=sys.stderr)
    return 0 if found.suggestion is not None else 1


def _leaders(study: Study, top: int = 20) -> list[dict[str, object]]:
    return [documents.trial_document(trial, study.objectives) for trial in study.ranking[:top]]


def _conclude(study: Study, experiment: Experiment, console: Console) -> None:
    from hpsearch.tracking.ui import command

    if study.best:
        console.print(tables.leaderboard(study, console.width))
    console.print(tables.study_facts(study))
    console.print()
    console.print(Text(f"To browse all records: {command(experiment.tracking.uri)}"))
