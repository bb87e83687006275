"""A trial run again from its record: does the same come out?"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpsearch.beforehand import checked
from hpsearch.deploy_metrics import LATENCY
from hpsearch.errors import StudyError, fault
from hpsearch.experiment import Experiment
from hpsearch.parts import PARTS_FOLDER, Part
from hpsearch.plan import trial_spec
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder
from hpsearch.tracking.history import read_history
from hpsearch.trial import Epoch, ProbeResult, Result, TrialState
from hpsearch.trial_view import TrialView

TOLERANCE = 1e-6
"""Largest difference of a metric, relative to what was recorded (at least 1), that still agrees."""


@dataclass(frozen=True)
class Difference:
    """A number that did not come out as it was recorded."""

    metric: str
    epoch: int
    recorded: float
    reproduced: float

    @property
    def relative(self) -> float:
        """Relative to what was recorded (at least 1); infinite if one of them is not finite."""
        difference = abs(self.reproduced - self.recorded) / max(1.0, abs(self.recorded))
        return difference if math.isfinite(difference) else math.inf


@dataclass(frozen=True)
class Reproduction:
    """What running a trial again has shown."""

    trial: int
    epochs: int
    compared: int
    """How many numbers were compared."""
    differences: tuple[Difference, ...]
    """Those that are not the same to the last bit, in the order of the epochs."""
    tolerance: float
    changed: tuple[str, ...]
    """What is not as it was, a line each: versions, the data."""
    duration_s: float

    @property
    def largest(self) -> Difference | None:
        """The largest difference; None if every number is the same."""
        return max(self.differences, key=lambda each: each.relative, default=None)

    @property
    def agrees(self) -> bool:
        """Whether no number differs by more than the tolerance."""
        return all(each.relative <= self.tolerance for each in self.differences)


def reproduce(
    study: Study,
    trial: int,
    *,
    experiment: Experiment | None = None,
    tolerance: float = TOLERANCE,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Reproduction:
    """Trains a trial again from its record, and compares every metric of every epoch.

    The study is not touched. On a CPU the same versions give the same numbers, with several threads a trial
    only under `training.deterministic`.

    Args:
        study: The trial's.
        trial: Its number; it has ended, and did not fail.
        experiment: Needed if the model or the data were given from Python. Default: the study's.
        tolerance: Largest difference that agrees, relative to what was recorded (at least 1). Default: 1e-6.
        on_epoch: Is given each epoch.

    Raises:
        StudyError: There is no such trial, or it has no result.
        UsageError: The experiment's model or data are no longer right.
        SearchError: The training failed.
    """
    recorded = _ended(study, trial)
    history = _history(study.files.trial(trial), recorded)
    experiment = experiment or Experiment.load(study.folder / "experiment.yaml")
    epochs: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)

    with tempfile.TemporaryDirectory() as folder, checked(experiment) as (report, run):
        place = StudyFolder(Path(folder))  # a trial measures files beside its study's others
        place.trial(trial).mkdir(parents=True)
        spec = trial_spec(place, experiment.search.seed, trial, recorded.params)
        ended = len(recorded.parts) or recorded.epochs
        pause_after = ended if recorded.state is TrialState.PRUNED else None
        result = run(replace(spec, pause_after=pause_after), on_epoch=note)
    if not isinstance(result, Result):
        raise TypeError(f"a trial returned {type(result).__name__}")
    pairs = [("epochs", 0, float(recorded.epochs), float(result.epochs))]
    pairs += _pairs(recorded.best_epoch, recorded.metrics, result.metrics)
    reproduced = {(epoch.part, epoch.number): epoch.metrics for epoch in epochs}
    for part, number in history:
        if (part, number) in reproduced:
            pairs += _pairs(number, history[part, number], reproduced[part, number])
    return Reproduction(
        trial=trial,
        epochs=result.epochs,
        compared=len(pairs),
        differences=tuple(Difference(*pair) for pair in pairs if not _same(*pair[2:])),
        tolerance=tolerance,
        changed=_changed(study, report.probe),
        duration_s=result.duration_s,
    )


def _history(folder: Path, trial: TrialView) -> dict[tuple[Part | None, int], Mapping[str, float]]:
    """Reads what a trial recorded by epoch; of one of several parts, by each one's epochs and by part."""
    places = {None: folder} | {each.part: folder / PARTS_FOLDER / each.part.name for each in trial.parts}
    return {
        (part, epoch.number): epoch.metrics
        for part, place in places.items()
        for epoch in read_history(place / "history.csv")
    }


def _ended(study: Study, number: int) -> TrialView:
    found = next((each for each in study.trials if each.number == number), None)
    if found is not None and found.state in (TrialState.COMPLETE, TrialState.PRUNED):
        return found
    what = "no such trial" if found is None else f"trial {number} has no result to reproduce"
    received = number if found is None else str(found.state)
    with_result = [str(each.number) for each in study.trials if each.values][:10]
    expected = f"one of {', '.join(with_result)}" if with_result else "a trial that has ended"
    raise StudyError(fault(f"study {study.name}", what, expected=expected, received=received))


def _pairs(
    epoch: int, recorded: Mapping[str, float], reproduced: Mapping[str, float]
) -> list[tuple[str, int, float, float]]:
    return [
        (name, epoch, value, reproduced.get(name, math.nan))
        for name, value in recorded.items()
        if name != LATENCY  # no two measurements of time are the same
    ]


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _changed(study: Study, probe: ProbeResult) -> tuple[str, ...]:
    """Says what is not as it was when the study began."""
    then, now = study.facts.get("versions", {}), probe.versions
    changed = [f"{name}: {then[name]} then, {now[name]} now" for name in then if then[name] != now.get(name)]
    digest = study.facts["data"]["digest"]
    if digest != probe.data.digest:
        changed.append(f"data: digest {digest} then, {probe.data.digest} now")
    return tuple(changed)
