"""The parts of a trial that trains several times: folds of a cross-validation, repeats with other seeds.

Such a trial counts with the mean over its parts. How much they differ says how far that mean can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PARTS_FOLDER = "parts"
"""In a trial's folder: a folder for each of its parts, as a trial of one training has it."""


@dataclass(frozen=True)
class Part:
    """One training of a trial."""

    number: int
    """From 1."""
    fold: int | None = None
    """From 1; None without cross-validation."""
    repeat: int | None = None
    """From 1; None if there is one only."""

    @property
    def name(self) -> str:
        """As its folder and its run are called: `fold-2`, `repeat-1`, `repeat-1-fold-2`."""
        return "-".join(self._words)

    @property
    def label(self) -> str:
        """As people read it: `fold 2`, `repeat 1`, `repeat 1, fold 2`."""
        return ", ".join(word.replace("-", " ") for word in self._words)

    @property
    def _words(self) -> list[str]:
        return [f"{kind}-{each}" for kind, each in (("repeat", self.repeat), ("fold", self.fold)) if each]


def parts_of(folds: int | None, repeats: int) -> tuple[Part, ...]:
    """Returns the parts of every trial, in the order in which they run.

    Args:
        folds: Of the cross-validation, or None.
        repeats: How often, with other seeds.
    """
    places = [
        (fold, repeat if repeats > 1 else None)
        for repeat in range(1, repeats + 1)
        for fold in (range(1, folds + 1) if folds else (None,))
    ]
    return tuple(Part(number, *place) for number, place in enumerate(places, start=1))


@dataclass(frozen=True)
class PartResult:
    """What one part of a trial gave."""

    part: Part
    seed: int
    metrics: Mapping[str, float]
    """Those of its best epoch."""
    epochs: int
    best_epoch: int
    duration_s: float
    kept: bool = False
    """Whether the trial's model is this part's: the best by the first objective."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PartResult:
        """Makes it of what `dataclasses.asdict` made of it, also after a detour over JSON."""
        return cls(**{**values, "part": Part(**values["part"])})


@dataclass(frozen=True)
class Spread:
    """How the parts' values of a metric lie."""

    mean: float
    std: float
    """Standard deviation of a part's value (of the sample)."""
    error: float
    """Standard error of the mean, as of independent parts; folds share rows, so that it is a little low."""


def means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the mean of each metric that all parts have."""
    shared = [name for name in parts[0] if all(name in each for each in parts)]
    return {name: sum(each[name] for each in parts) / len(parts) for name in shared}


def spreads(parts: Sequence[PartResult]) -> dict[str, Spread]:
    """Returns how each metric that all parts have is spread; nothing of fewer than two parts."""
    if len(parts) < 2:
        return {}
    count = len(parts)
    found = {}
    for name, mean in means([each.metrics for each in parts]).items():
        std = math.sqrt(sum((each.metrics[name] - mean) ** 2 for each in parts) / (count - 1))
        found[name] = Spread(mean, std, std / math.sqrt(count))
    return found


def described(parts: Sequence[PartResult]) -> str:
    """Says what a mean was taken over: `5 folds`, `3 repeats`, `2 repeats of 5 folds`."""
    folds = len({each.part.fold for each in parts if each.part.fold})
    repeats = len({each.part.repeat for each in parts if each.part.repeat})
    if folds and repeats > 1:
        return f"{repeats} repeats of {folds} folds"
    return f"{folds} folds" if folds else f"{len(parts)} repeats"
