"""Which trials' models stay on the disk; the others are deleted as soon as that is known.

What is deleted is the trained model and what came before it: `model.keras`, `checkpoints/`, `state*.npz`.
What was measured stays. The best trial's model is never deleted, for it may become the champion; nor is
the champion's, nor that of a trial that has not ended.

A tracker sends a trial's files from a thread of its own, some time after the trial has ended: it could find
a model gone, or half gone. So where models are deleted, it is not told of them (`told`). The champion's,
which stays, is sent when it is crowned.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hpsearch.experiment_checkpoints import CheckpointsSection
from hpsearch.parts import PARTS_FOLDER
from hpsearch.ranking import pareto_front, rank
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import CHECKPOINTS_FOLDER, MODEL_FILE, STATE_FILES, Failure, Result
from hpsearch.trial_view import TrialView
from hpsearch.writing import MIB


class Retention:
    """Deletes the models of a study that need not stay.

    Args:
        folder: Of the study.
        section: What stays.
        objectives: Direction by metric; the first leads.
        champion: The trial whose model stays in any case.
    """

    def __init__(
        self,
        folder: StudyFolder,
        section: CheckpointsSection,
        objectives: Mapping[str, str],
        champion: int | None = None,
    ) -> None:
        self._folder = folder
        self._section = section
        self._objectives = objectives
        self._champion = champion
        self._held: dict[int, tuple[TrialView, int]] = {}
        """Trials whose models are there, with their bytes."""

    def told(self, outcome: Result | Failure) -> Result | Failure:
        """Returns an outcome as a tracker is told of it: without the model, if that may be deleted."""
        if isinstance(outcome, Failure) or self._section.keeps_all:
            return outcome
        return replace(outcome, files=tuple(name for name in outcome.files if name != MODEL_FILE))

    def add(self, *trials: TrialView) -> None:
        """Takes in trials that have ended, and deletes what need not stay any longer."""
        if self._section.keeps_all:
            return
        for trial in trials:
            if trial.finished and (models := _models(self._folder.trial(trial.number))):
                self._held[trial.number] = (trial, sum(map(_size, models)))
        for number in list(self._superfluous()):
            del self._held[number]
            for path in _models(self._folder.trial(number)):
                _delete(path)

    def forget_state(self, number: int) -> None:
        """Deletes what a paused trial would have gone on from: it has ended."""
        for path in self._folder.trial(number).glob(STATE_FILES):
            _delete(path)

    def _superfluous(self) -> Iterator[int]:
        """Yields the trials whose models go, worst first."""
        ranked = rank(tuple(trial for trial, _ in self._held.values()), self._objectives)
        safe = {trial.number for trial in ranked[:1]} | {self._champion}
        order = [trial.number for trial in ranked]
        order += sorted(self._held.keys() - set(order))  # pruned or failed
        most = self._most(ranked)
        size = sum(size for _, size in self._held.values())
        limit = self._section.max_size_mib
        for place, number in reversed(list(enumerate(order))):
            too_many = most is not None and place >= most
            too_large = limit is not None and size > limit * MIB
            if (too_many or too_large) and number not in safe:
                size -= self._held[number][1]
                yield number

    def _most(self, ranked: tuple[TrialView, ...]) -> int | None:
        """Returns how many models stay, however small they are; only complete trials have such a place."""
        best = self._section.best
        if best is None:
            return None
        front = len(pareto_front(ranked, self._objectives)) if best and len(self._objectives) > 1 else 0
        return min(max(best, front), len(ranked))


@dataclass(frozen=True)
class DiskUse:
    """What a study takes on the disk, in bytes."""

    total: int
    models: int
    """Of all trials."""


def disk_use(folder: StudyFolder) -> DiskUse:
    """Measures a study's folder."""
    models = (path for trial in (folder.path / "trials").glob("*") for path in _models(trial))
    return DiskUse(_size(folder.path), sum(map(_size, models)))


def _models(trial: Path) -> Sequence[Path]:
    folders = (trial, *trial.glob(f"{PARTS_FOLDER}/*"))
    found = [path for each in folders for path in (each / MODEL_FILE, each / CHECKPOINTS_FOLDER)]
    found += [path for each in folders for path in each.glob(STATE_FILES)]
    return [path for path in found if path.exists()]


def _size(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder; those that vanish meanwhile count nothing."""
    total = 0
    for file in path.rglob("*") if path.is_dir() else [path]:
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _delete(path: Path) -> None:
    """Deletes a file or a folder; one that cannot be deleted is not worth the search."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
