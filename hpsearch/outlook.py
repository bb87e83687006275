"""What a search will meet, as far as it can be told: points that do not build, memory, time, export."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from hpsearch.checking import CheckReport, most_epochs
from hpsearch.executors.placement import visible_gpus
from hpsearch.experiment import Experiment
from hpsearch.gpu_memory import measure
from hpsearch.trial import Build
from hpsearch.writing import MIB, duration, size


@dataclass(frozen=True)
class Pace:
    """How long training takes."""

    epoch_s: float
    """One epoch, once everything is compiled."""
    around_s: float
    """Everything else of a training: building, compiling, saving."""


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes:
        report: As of `hpsearch.check`.
        builds: The model at its defaults, then at random points.
        pace: None if it could not be timed; `notes` then say why.
        exports: By format of the experiment's `export`, why the untrained default model cannot be exported
            to it; None if it can.
        slots: Trials at a time.
        search_s: What the search is expected to take at most, in seconds; None if that is not known.
        notes: What a person should know, a sentence each.
    """

    report: CheckReport
    builds: tuple[Build, ...]
    pace: Pace | None = None
    exports: Mapping[str, str | None] = field(default_factory=dict)
    slots: int = 1
    search_s: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[Build, ...]:
        """The points that do not build."""
        return tuple(build for build in self.builds if build.cause is not None)

    @property
    def built(self) -> tuple[Build, ...]:
        """The points that do."""
        return tuple(build for build in self.builds if build.cause is None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything that a person should know, a sentence each: `notes`, and what will fail."""
        causes = Counter(build.cause for build in self.refused).items()
        failing = [f"{points} of {len(self.builds)} points do not build: {cause}" for cause, points in causes]
        failing += [
            f"The untrained default model cannot be exported as {fmt}: {cause}"
            for fmt, cause in self.exports.items()
            if cause is not None
        ]
        return (*failing, *self.notes)

    @property
    def summary(self) -> str:
        """What was looked at, and what is all right, in half a sentence."""
        parts = []
        if self.builds:
            parts.append(f"{len(self.built)} of {len(self.builds)} points build")
        if self.built:
            largest_bytes = max(build.memory_bytes for build in self.built)
            parts[-1] += f", the largest needs about {size(largest_bytes)} to train"
        if possible := [fmt for fmt, cause in self.exports.items() if cause is None]:
            parts.append(f"the default model can be exported as {', '.join(possible)}")
        if self.search_s is not None:
            parts.append(f"the search takes at most about {duration(self.search_s)}")
        return "; ".join(parts) or "nothing could be looked at"

    @property
    def document(self) -> dict[str, Any]:
        """All but `report`, as JSON has it."""
        return {
            "builds": [asdict(build) for build in self.builds],
            "pace": asdict(self.pace) if self.pace else None,
            "exports": dict(self.exports),
            "slots": self.slots,
            "search_s": self.search_s,
            "notes": list(self.notes),
        }


def longest_s(experiment: Experiment, report: CheckReport, pace: Pace, slots: int) -> float | None:
    """Estimates a search none of whose trials ends early: each runs the most epochs that it can.

    Returns:
        Its time in seconds; None if nothing but its patience, or a person, ends it.
    """
    budget = experiment.search
    epochs, trainings = most_epochs(experiment, report.space), len(experiment.evaluation.parts) or 1
    training_s = pace.around_s + epochs * pace.epoch_s
    trials = [count for count in (budget.trials, report.space.size()) if count is not None]
    limits_s = [budget.timeout_s] if budget.timeout_s is not None else []
    if trials:
        limits_s.append(math.ceil(min(trials) / slots) * trainings * training_s)
    if budget.total_compute_s is not None:
        limits_s.append(budget.total_compute_s / slots)
    if budget.total_epochs is not None:
        limits_s.append(budget.total_epochs / epochs / slots * training_s)
    return min(limits_s, default=None)


def memory_notes(
    builds: Sequence[Build], slots: int, trials_per_gpu: int, *, in_use: bool = False
) -> tuple[str, ...]:
    """Says if the largest model will not fit beside its like.

    Args:
        builds: What models need.
        slots: Trials at a time, all on this machine.
        trials_per_gpu: Those that share a GPU, if there are any.
        in_use: Whether they have begun, and hold what is not free.
    """
    needed_bytes = max((build.memory_bytes for build in builds), default=0)
    if visible_gpus():
        given = [(gpu.total_mib if in_use else gpu.free_mib) * MIB for gpu in measure()]
        given_bytes, where = (min(given) // trials_per_gpu if given else None), "of its GPU"
    else:
        memory = psutil.virtual_memory()
        given_bytes, where = (memory.total if in_use else memory.available) // slots, "of this machine"
    if given_bytes is None or needed_bytes <= given_bytes:
        return ()
    return (
        f"The largest model needs about {size(needed_bytes)} to train; a trial's part {where} is "
        f"{size(given_bytes)}.",
    )
