"""What looks at single trials: `show`, `logs`, `diff`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from hpsearch.cli import documents, tables
from hpsearch.cli.studies import open_study
from hpsearch.errors import StudyError, fault
from hpsearch.parts import described
from hpsearch.study import Study
from hpsearch.writing import duration, number

if TYPE_CHECKING:
    from hpsearch.trial_view import TrialView

POLL_S = 0.3
TAIL_LINES = 30
"""Of the log of a trial that failed; `logs` prints all of it."""


def show(which: int, name: str | None, workdir: Path | None, *, as_json: bool) -> None:
    """Prints all that is known of a trial.

    Raises:
        StudyError: There is no such trial.
    """
    study = open_study(name, workdir)
    trial, folder = find(study, which), study.files.trial(which)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        document = documents.trial_document(trial, study.objectives)
        document |= {"folder": str(folder), "files": files}
        documents.write_json(document)
        return
    console = tables.console()
    facts = [
        ("trial", f"{trial.number} of {study.name}"),
        ("state", str(trial.state).lower()),
        (
            "epochs",
            f"{trial.epochs}, the best is {trial.best_epoch}" if trial.best_epoch else str(trial.epochs),
        ),
        ("time", duration(trial.duration_s)),
        ("started", f"{trial.started_at:%Y-%m-%d %H:%M:%S}" if trial.started_at else "-"),
        ("attempts", str(trial.attempts)),
        ("folder", str(folder)),
        ("files", ", ".join(files) or "none"),
    ]
    if trial.broken:
        facts.insert(2, ("infeasible", f"not {', '.join(trial.broken)}"))
    if trial.failure is not None:
        facts.insert(2, ("failure", tables.failure(trial.failure, trial.attempts)))
    console.print(tables.facts(facts))
    _values(console, "hyperparameter", trial.params)
    if not trial.parts:
        _values(console, "metric of the best epoch", trial.metrics)
    else:
        errors = {name: f" ± {spread.error:.2g}" for name, spread in trial.spreads.items()}
        means = {name: f"{number(value)}{errors.get(name, '')}" for name, value in trial.metrics.items()}
        console.print(tables.parts(trial, study.objectives))
        _values(console, f"mean over {described(trial.parts)}", means)
    log = study.files.log(which)
    if trial.failure is not None and log.is_file():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        console.print(Text("\n".join(lines[-TAIL_LINES:])))


def logs(which: int, name: str | None, workdir: Path | None, *, follow: bool) -> None:
    """Prints what a trial wrote to standard output and error.

    Args:
        which: Its number.
        name: Of the study.
        workdir: Of the studies.
        follow: Whether to go on until the trial has ended.

    Raises:
        StudyError: There is no such trial, or it has written nothing.
    """
    study = open_study(name, workdir)
    find(study, which)
    file = study.files.log(which)
    if not file.is_file():
        raise StudyError(
            fault(f"study {study.name}", f"trial {which} has written no log", expected=str(file))
        )
    with open(file, encoding="utf-8", errors="replace") as log:
        while True:
            sys.stdout.write(log.read())
            sys.stdout.flush()
            if not follow or find(open_study(str(study.folder), None), which).finished:
                break
            time.sleep(POLL_S)
        sys.stdout.write(log.read())


def diff(one: int, other: int, name: str | None, workdir: Path | None, *, as_json: bool) -> None:
    """Prints in what two trials differ.

    Raises:
        StudyError: There is no such trial.
    """
    study = open_study(name, workdir)
    left, right = find(study, one), find(study, other)
    parts = {"params": (left.params, right.params), "metrics": (left.metrics, right.metrics)}
    changed = {
        part: {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}
        for part, (a, b) in parts.items()
    }
    if as_json:
        documents.write_json({"trials": [one, other], **changed})
        return
    table = tables.plain_table("", f"trial {one}", f"trial {other}")
    for part in changed.values():
        for key, (before, after) in part.items():
            table.add_row(*(Text(cell) for cell in (key, number(before), number(after))))
    tables.console().print(table if table.row_count else Text("They differ in nothing but their seeds."))


def find(study: Study, which: int) -> TrialView:
    """Returns a trial by its number.

    Raises:
        StudyError: There is none.
    """
    for trial in study.trials:
        if trial.number == which:
            return trial
    last = len(study.trials) - 1
    expected = f"0 to {last}" if last >= 0 else "no trial has begun"
    raise StudyError(fault(f"study {study.name}", "no such trial", expected=expected, received=which))


def _values(console: Console, title: str, values: Mapping[str, object]) -> None:
    table = tables.plain_table(title, "")
    for key, value in values.items():
        table.add_row(Text(key), Text(number(value)))
    if table.row_count:
        console.print(table)
