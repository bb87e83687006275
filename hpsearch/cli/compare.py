"""`hpsearch compare`: several studies side by side."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from hpsearch.cli import documents, tables
from hpsearch.cli.studies import open_study
from hpsearch.writing import duration, score

if TYPE_CHECKING:
    from hpsearch.study import Study


@dataclass(frozen=True)
class Row:
    """What is compared of a study."""

    study: str
    state: str
    data: str
    strategy: str
    trials: int
    epochs: int
    trained_s: float
    """Of all trials together."""
    objective: str
    """The first one."""
    best: float | None
    best_trial: int | None
    test: float | None
    """The champion's, by the first objective."""


def compare(names: list[str], workdir: Path | None, *, as_json: bool) -> None:
    """Prints a line for each study; by default of all in the folder.

    Raises:
        StudyError: There is no such study.
    """
    rows = [row_of(open_study(name, workdir)) for name in names or _all(workdir)]
    if as_json:
        documents.write_json([dataclasses.asdict(row) for row in rows])
        return
    table = tables.plain_table(
        "study", "state", "data", "strategy", "trials", "epochs", "time", "objective", "best", "trial", "test"
    )
    for row in rows:
        cells = (
            row.study,
            row.state,
            row.data,
            row.strategy,
            str(row.trials),
            str(row.epochs),
            duration(row.trained_s),
            row.objective,
            "-" if row.best is None else score(row.best),
            "-" if row.best_trial is None else str(row.best_trial),
            "-" if row.test is None else score(row.test),
        )
        table.add_row(*map(Text, cells))
    tables.console().print(table)


def row_of(study: Study) -> Row:
    """Reads what is compared of a study."""
    metric, direction = next(iter(study.objectives.items()), ("-", "-"))
    best = study.best[0] if study.best else None
    test = (study.champion or {}).get("test", {}).get(f"test_{metric.removeprefix('val_')}")
    return Row(
        study=study.name,
        state=study.state,
        data=str(study.facts.get("data", {}).get("name", "-")),
        strategy=str(study.facts.get("strategy", "-")),
        trials=len(study.trials),
        epochs=sum(trial.epochs for trial in study.trials),
        trained_s=sum(trial.duration_s or 0.0 for trial in study.trials),
        objective=f"{direction} {metric}",
        best=best.values[0] if best else None,
        best_trial=best.number if best else None,
        test=test,
    )


def _all(workdir: Path | None) -> list[str]:
    folder = workdir or Path("runs")
    found = [str(file.parent) for file in sorted(folder.glob("*/study.journal"))]
    return found or [str(folder)]  # an error that says that there is none
