"""What runs a trial again: `reproduce`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from hpsearch.cli import documents, tables
from hpsearch.cli.progress import steps_done
from hpsearch.cli.studies import open_study
from hpsearch.cli.trial import find
from hpsearch.experiment import Experiment
from hpsearch.writing import duration, number, score

if TYPE_CHECKING:
    from hpsearch.reproduction import Reproduction
    from hpsearch.trial import Epoch


def reproduce(which: int, name: str | None, workdir: Path | None, *, tolerance: float, as_json: bool) -> int:
    """Trains a trial again and prints whether the same came out.

    Returns:
        The exit code: 0, or 1 if a number differs by more than the tolerance.
    """
    from hpsearch import reproduction

    study = open_study(name, workdir)
    trial = find(study, which)
    metric = next(iter(study.objectives))

    def describe(epoch: Epoch) -> str:
        place = f"{epoch.part.label}, " if epoch.part else ""
        return f"{place}epoch {epoch.number} {metric} {score(epoch.metrics[metric])}"

    with steps_done(tables.console(stderr=as_json), trial.epochs, describe) as on_epoch:
        found = reproduction.reproduce(study, which, tolerance=tolerance, on_epoch=on_epoch)
    if as_json:
        documents.write_json({**dataclasses.asdict(found), "agrees": found.agrees})
    else:
        experiment = Experiment.load(study.folder / "experiment.yaml")
        console = tables.console()
        console.print(tables.facts([("trial", f"{which} of {study.name}"), *_facts(found)]))
        if not found.agrees and not experiment.training.deterministic:
            advice = "On several threads or a GPU only `training.deterministic: true` repeats exactly."
            console.print(Text(advice, style="yellow"))
    return 0 if found.agrees else 1


def _facts(found: Reproduction) -> list[tuple[str, str]]:
    compared = f"{found.compared} numbers of {found.epochs} epochs, in {duration(found.duration_s)}"
    rows = [("compared", compared), *(("changed since", line) for line in found.changed)]
    if (worst := found.largest) is None:
        return [*rows, ("result", "the same to the last bit")]
    then, now = number(worst.recorded), number(worst.reproduced)
    where = f"{worst.metric} of epoch {worst.epoch}: {then} recorded, {now} now"
    verdict = "agrees" if found.agrees else "does NOT agree"
    rows.append(("largest", where))
    return [*rows, ("result", f"{verdict}: {len(found.differences)} numbers differ")]
