"""What makes room: `gc` deletes models, `rm` a study."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import typer

from hpsearch.cli.studies import open_study
from hpsearch.errors import StudyError, UsageError, fault
from hpsearch.writing import size


def gc(name: str | None, workdir: Path | None, *, keep: str) -> None:
    """Deletes models of trials that need not stay: never the best one's or the champion's, nor any record.

    Args:
        name: Of the study.
        workdir: Of the studies.
        keep: As `checkpoints.keep`: `best 3`, or `none`.

    Raises:
        UsageError: `keep` is no such wish.
        StudyError: The study is being searched.
    """
    from pydantic import ValidationError

    from hpsearch.experiment_checkpoints import CheckpointsSection
    from hpsearch.retention import Retention, disk_use

    try:
        section = CheckpointsSection(keep=keep)
    except ValidationError:
        expected = "`all`, `none`, or `best` and a number, e.g. `best 3`"
        raise UsageError(fault("--keep", "not allowed", expected=expected, received=keep)) from None
    study = open_study(name, workdir)
    with study.files.lock():
        before = disk_use(study.files).total
        champion = (study.champion or {}).get("trial")
        Retention(study.files, section, study.objectives, champion).add(*study.trials)
        freed = before - disk_use(study.files).total
    print(f"{study.name}: {size(freed)} freed, {size(before - freed)} left")


def rm(name: str, workdir: Path | None, *, yes: bool) -> None:
    """Deletes a study's folder; its records in MLflow stay.

    Raises:
        StudyError: There is no such study, it is being searched, or the user does not want it.
        UsageError: There is nobody to be asked.
    """
    from hpsearch.retention import disk_use

    study = open_study(name, workdir)
    with study.files.lock():
        told = f"{study.folder} ({len(study.trials)} trials, {size(disk_use(study.files).total)})"
        if not yes and not sys.stdin.isatty():
            raise UsageError(fault("hpsearch rm", "nobody is there to be asked", expected="`--yes`"))
        if not yes and not typer.confirm(f"Delete {told}?", default=False, err=True):
            raise StudyError(fault(f"study {study.name}", "was not deleted"))
        shutil.rmtree(study.folder)
    print(f"Deleted {told}. Its records in MLflow are still there.")
