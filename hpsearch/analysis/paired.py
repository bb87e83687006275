"""Whether two trials of several parts can be told apart, by the values of their parts.

Folds are the same rows for every trial, so that values are compared in pairs. They share training rows, which
makes their values alike: the variance of the mean difference is that of independent parts, 1/n, and besides
the ratio of rows to validate on and to train on (Nadeau and Bengio, "Inference for the Generalization Error",
2003). Repeats without folds share their rows and nothing else by which to pair them: Welch's test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING

from hpsearch.parts import described

if TYPE_CHECKING:
    from hpsearch.parts import PartResult
    from hpsearch.study import Study

LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """The mean difference of two trials."""

    difference: float
    """The first's value less the second's."""
    error: float
    """Its standard error."""
    limit: float
    """How many of them it must exceed, to be no chance of more than 5 %."""

    @property
    def told_apart(self) -> bool:
        """Whether the trials differ, as far as one can tell."""
        return abs(self.difference) > self.limit * self.error


def compare(one: Sequence[PartResult], other: Sequence[PartResult], metric: str) -> Comparison | None:
    """Compares two trials by a metric.

    Args:
        one: The parts of a trial.
        other: Those of another.
        metric: What all parts have.

    Returns:
        None if they have fewer than two parts in common.
    """
    from scipy.stats import t

    values = {each.part: each.metrics[metric] for each in one}
    others = {each.part: each.metrics[metric] for each in other}
    shared = [part for part in values if part in others]
    count = len(shared)
    if count < 2:
        return None
    first, second = [values[part] for part in shared], [others[part] for part in shared]
    folds = len({part.fold for part in shared if part.fold is not None})
    if folds > 1:
        differences = [a - b for a, b in zip(first, second, strict=True)]
        error = math.sqrt(variance(differences) * (1 / count + 1 / (folds - 1)))
        freedom = count - 1.0
    else:
        terms = [variance(each) / count for each in (first, second)]
        error = math.sqrt(sum(terms))
        freedom = sum(terms) ** 2 / sum(each**2 / (count - 1) for each in terms) if error else count - 1.0
    return Comparison(fmean(first) - fmean(second), error, float(t.ppf((1 + LEVEL) / 2, freedom)))


def parts_told_apart(study: Study) -> str | None:
    """Says whether the best trial can be told from those after it.

    Args:
        study: Any.

    Returns:
        A sentence; None if its trials have no parts, or several objectives.
    """
    ranking = study.ranking
    if len(ranking) < 2 or len(study.objectives) > 1:
        return None
    first, second = ranking[:2]
    metric = next(iter(study.objectives))
    nearest = compare(first.parts, second.parts, metric)
    if nearest is None:
        return None
    folded = first.parts[0].part.fold is not None
    how = (
        "of the paired differences, corrected for the rows that folds share," if folded else "of a difference"
    )
    over, gap = f"Over {described(first.parts)}", abs(nearest.difference)
    if nearest.told_apart:
        return (
            f"{over} trial {first.number} is better than trial {second.number} by {gap:.4f}, more "
            f"than {nearest.limit:.1f} times the standard error {how} of {nearest.error:.4f}: not by chance "
            "(95 %)."
        )
    within = 0
    for trial in ranking[1:]:
        found = compare(first.parts, trial.parts, metric)
        if found is None or found.told_apart:
            break
        within += 1
    others = f"trial {second.number}" if within == 1 else f"the next {within} trials"
    return (
        f"{over} trial {first.number} cannot be told from {others}: the difference to trial {second.number} "
        f"is {gap:.4f}, the standard error {how} is {nearest.error:.4f}. Prefer whichever is smaller or "
        "faster (`evaluation: {select: one_standard_error}`), or take more folds or repeats."
    )
