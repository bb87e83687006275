"""`hpsearch report`: the page, and what it says, in the terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hpsearch.cli import documents, tables
from hpsearch.cli.studies import open_study
from hpsearch.errors import StudyError, fault
from hpsearch.writing import number

if TYPE_CHECKING:
    from hpsearch.analysis.findings import Findings


def report(name: str | None, workdir: Path | None, output: Path | None, *, as_json: bool) -> None:
    """Writes the report of a study and prints what it found.

    Raises:
        StudyError: There is no such study, or the folder cannot be written.
    """
    from hpsearch.analysis.report import write_report

    study = open_study(name, workdir)
    try:
        written = write_report(study, output)
    except OSError as error:
        what = f"the report cannot be written to {output or study.folder}"
        raise StudyError(fault(f"study {study.name}", what, received=str(error))) from None
    found = written.findings
    if as_json:
        document = {
            "page": str(written.page),
            "pictures": [str(picture) for picture in written.pictures],
            "sentences": list(written.sentences),
            "findings": dataclasses.asdict(found) if found else None,
        }
        documents.write_json(document)
        return
    console = tables.console()
    console.print(tables.study_facts(study))
    for sentence in written.sentences:
        console.print(Text(f"- {sentence}"))
    if found is not None and found.hyperparameters:
        console.print(_table(found))
    print(written.page)


def _table(found: Findings) -> Table:
    importance = ["importance"] if found.weighed else []
    table = tables.plain_table("hyperparameter", *importance, "best trial", "the best trials", "what to do")
    for each in found.hyperparameters:
        share = [f"{each.share or 0:.0%}"] if found.weighed else []
        cells = (each.name, *share, number(each.best), each.good, each.advice)
        table.add_row(*(Text(cell) for cell in cells))
    return table
