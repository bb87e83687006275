"""`hpsearch export`: files for deployment, and what they cost beside what they decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hpsearch.cli import documents, tables
from hpsearch.cli.studies import open_study
from hpsearch.errors import ExportError, UsageError, fault
from hpsearch.exporting import exported_trial, file_name, refusal
from hpsearch.trial import ExportResult, Failure, Speed
from hpsearch.variants import BASE, comparisons
from hpsearch.writing import score

if TYPE_CHECKING:
    from hpsearch.study import Study


def export(
    name: str | None,
    workdir: Path | None,
    *,
    trial: int | None,
    wanted: Sequence[str],
    output: Path | None,
    integer_io: bool | None,
    as_json: bool,
) -> int:
    """Exports a trial's model and prints where the files are, what they cost and how good they are.

    Args:
        name: Of the study.
        workdir: Where studies are kept.
        trial: Its number. Default: the champion.
        wanted: Formats; each may be several with commas between.
        output: The file to write; of several formats the folder.
        integer_io: As in `export.integer_io`. Default: what the experiment says.
        as_json: Whether to print one document; of several formats a list of them.

    Returns:
        The exit code: 0, or 1 if a file was not right and therefore not written.

    Raises:
        UsageError: There is no such format, or the file has another ending.
        StudyError: The study has no champion yet, or no such trial with a model.
        ExportError: The only file wanted is not right.
    """
    from hpsearch import assemble

    names = tuple(dict.fromkeys(part.strip() for each in wanted for part in each.split(",") if part.strip()))
    study = open_study(name, workdir)
    number = exported_trial(study, trial)
    if len(names) == 1:
        outputs: dict[str, Path | None] = {names[0]: output}
    else:
        if output is not None and output.is_file():
            raise UsageError(fault(str(output), "several formats are several files", expected="a folder"))
        outputs = {each: output and output / file_name(study.name, number, each) for each in names}
    outcomes = assemble.export_models(study, outputs, trial=trial, integer_io=integer_io)
    results = [outcome for outcome in outcomes.values() if isinstance(outcome, ExportResult)]
    failures = {fmt: outcome for fmt, outcome in outcomes.items() if isinstance(outcome, Failure)}
    if as_json:
        found = [dataclasses.asdict(result) for result in results]
        documents.write_json(found[0] if len(names) == 1 and found else found)
    elif results:
        _print(study, trial, results, alone=len(names) == 1)
    if failures:
        raise ExportError(refusal(study.name, number, failures))
    return 0


def _print(study: Study, trial: int | None, results: Sequence[ExportResult], *, alone: bool) -> None:
    if alone:
        (result,) = results
        print(f"{result.path} ({tables.export_line(dataclasses.asdict(result))})")
    else:
        tables.console().print(variants(results))
        for result in results:
            print(result.path)
    for sentence in comparisons(results, _exported_before(study, trial)):
        print(f"{sentence}.")


def _exported_before(study: Study, trial: int | None) -> ExportResult | None:
    champion = study.champion or {}
    if trial not in (None, champion.get("trial")):
        return None
    exports = champion.get("exports", ())
    return next((ExportResult.from_dict(each) for each in exports if each["format"] == BASE), None)


def variants(results: Sequence[ExportResult]) -> Table:
    """Puts files side by side: what they cost, and what they decide on real samples."""
    scores = list(dict.fromkeys(name for result in results for name in result.scores))
    threads = max((each.threads for r in results if r.speed for each in r.speed.latencies), default=1)
    latencies = ["ms", "p90", *([f"ms, {threads} threads"] if threads > 1 else []), "ms without XNNPACK"]
    head = ["format", "KiB", *latencies, "MiB of memory", "agreement", "largest difference", *scores, ""]
    table = tables.plain_table(*head)
    if any(result.keras_scores for result in results):
        keras: Mapping[str, float] = next(each.keras_scores for each in results if each.keras_scores)
        blank = [""] * (len(head) - len(scores) - 2)
        table.add_row("Keras", *blank, *(score(keras[name]) if name in keras else "" for name in scores), "")
    for result in results:
        agreement = "-" if result.agreement is None else f"{result.agreement:.1%}"
        cells = [
            result.format,
            f"{result.size_bytes / 1024:.1f}",
            *_speed(result.speed, threads),
            agreement,
            f"{result.largest_difference:.1e}",
            *(score(result.scores[name]) if name in result.scores else "-" for name in scores),
            ", ".join(result.notes),
        ]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _speed(speed: Speed | None, threads: int) -> list[str]:
    if speed is None:
        return ["-"] * (5 if threads > 1 else 4)
    found = {(each.threads, each.xnnpack): each for each in speed.latencies}
    cells = [f"{speed.default.median_ms:.3g}", f"{speed.default.p90_ms:.3g}"]
    wanted = [(threads, True)] if threads > 1 else []
    cells += [f"{found[key].median_ms:.3g}" if key in found else "-" for key in [*wanted, (1, False)]]
    return [*cells, "-" if speed.memory_kib is None else f"{speed.memory_kib / 1024:.1f}"]
