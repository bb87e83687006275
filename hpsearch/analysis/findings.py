"""What a study says about its hyperparameters, in words: what matters, what to keep, where to look next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpsearch.space import Parameter, Space
from hpsearch.trial import Value

if TYPE_CHECKING:
    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView

EDGE = 0.05
"""A best value this near to an end of its range, as a part of the range, is at its edge."""
MATTERS = 0.05
"""The share of importance from which a hyperparameter is worth searching."""
FEWEST_EPOCHS = 3
"""Trials of fewer are short on purpose."""


@dataclass(frozen=True)
class Finding:
    """What was found out about one hyperparameter."""

    name: str
    share: float | None
    """Of the importance; None where there were too few trials."""
    best: Value | None
    """The best trial's value; None if it has none."""
    good: str
    """The values of the best trials."""
    advice: str


@dataclass(frozen=True)
class Findings:
    """What was found out."""

    hyperparameters: tuple[Finding, ...]
    """The most important first; those that had one value are left out."""
    fixed: Mapping[str, Value]
    """Hyperparameters that had one value in all trials."""
    progress: str
    """Whether the search was still improving."""
    short: str | None
    """That trials were too short, if the best ones were at their best when they ended."""


def findings(study: Study, importances: Mapping[str, float]) -> Findings | None:
    """Reads a study.

    Args:
        study: Any.
        importances: As `importances` gives them.

    Returns:
        None if no trial is complete and feasible.
    """
    ranking = tuple(trial for trial in study.ranking if trial.feasible)
    if not ranking:
        return None
    names = list(dict.fromkeys(name for trial in study.trials for name in trial.params))
    values = {name: {t.params[name] for t in study.trials if name in t.params} for name in names}
    everywhere = {name for name in names if all(name in trial.params for trial in ranking)}
    fixed = {n: next(iter(values[n])) for n in names if len(values[n]) == 1 and n in everywhere}
    varied = sorted((n for n in names if n not in fixed), key=lambda n: -importances.get(n, 0.0))
    declared = {p.name: p for p in Space.from_json(study.facts.get("space") or "[]").parameters}
    top = best_few(ranking)
    found = tuple(
        _finding(name, importances.get(name) if importances else None, top, declared.get(name))
        for name in varied
    )
    return Findings(found, fixed, _progress(study), _short(study, top))


def best_few(ranking: Sequence[TrialView]) -> Sequence[TrialView]:
    """Returns those that are looked at together: a tenth of the trials, at least three."""
    return ranking[: max(3, math.ceil(len(ranking) / 10))]


def _finding(name: str, share: float | None, top: Sequence[TrialView], declared: Parameter | None) -> Finding:
    having = [trial.params[name] for trial in top if name in trial.params]
    best = top[0].params.get(name)
    return Finding(name, share, best, _good(having), _advice(share, best, having, declared))


def _good(values: Sequence[Value]) -> str:
    """Writes the values of the best trials: a range, or how often each occurs."""
    if not values:
        return "not used"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(map(float, values)), max(map(float, values))
        return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return ", ".join(f"{value} ({count} of {len(values)})" for value, count in Counter(values).most_common())


def _advice(
    share: float | None, best: Value | None, having: Sequence[Value], declared: Parameter | None
) -> str:
    if best is None:
        return "The best trial does without it."
    edge = _edge(best, declared)
    if edge is not None and (share is None or share >= MATTERS) and _agree(edge, having, declared):
        return f"Widen its range: the best values are at the {edge} end."
    agreed = len(set(having)) == 1 and len(having) > 1
    if share is None:
        if agreed:
            return f"Keep {_written(best)} for now: all of the best trials have it."
        return "Leave it as it is: the trials are too few to tell."
    if share < MATTERS:
        return f"Hardly matters here: fix it, for example at {_written(best)}."
    if agreed:
        return f"Keep {_written(best)}: all of the best trials have it."
    return "Matters: search it more closely around these values."


def _agree(edge: str, having: Sequence[Value], declared: Parameter | None) -> bool:
    """Whether most of the best trials are at the same end: one alone may be there by chance."""
    return sum(_edge(value, declared) == edge for value in having) * 3 >= len(having) * 2


def _edge(value: Value, declared: Parameter | None) -> str | None:
    """Returns the end of the declared range that a value is at, `lower` or `upper`.

    Below a rate or a number of 0 there is nothing.
    """
    if declared is None or declared.low is None or declared.high is None or declared.low == declared.high:
        return None
    if not isinstance(value, int | float):
        return None
    scale = math.log if declared.sampling == "log" else float
    low, high = scale(declared.low), scale(declared.high)
    place = (scale(value) - low) / (high - low)
    if place <= EDGE:
        return None if declared.low == 0 else "lower"
    return "upper" if place >= 1 - EDGE else None


def _progress(study: Study) -> str:
    """Says when the best trial came."""
    finished = [trial for trial in study.trials if trial.finished]
    if len(study.objectives) > 1:
        return f"{len(study.best)} of {len(finished)} trials are on the Pareto front."
    best = study.best[0]
    later = sum(trial.number > best.number for trial in finished)
    if later == 0:
        return "The last trial was the best: the search was still improving, and more trials may help."
    share = later / len(finished)
    if share >= 0.5:
        verdict = "more trials of this search are unlikely to help much"
    elif share >= 0.25:
        verdict = "the search may have found what there is"
    else:
        verdict = "the search may still improve"
    return (
        f"The best trial was number {best.number}; the {later} that began after it were no better: {verdict}."
    )


def _short(study: Study, top: Sequence[TrialView]) -> str | None:
    """Says if most of the best trials ran all epochs, and were at their best in the last tenth of these."""
    longest = max(trial.epochs for trial in study.trials)
    late = [trial for trial in top if trial.epochs == longest and (trial.best_epoch or 0) > 0.9 * longest]
    if longest < FEWEST_EPOCHS or len(late) * 3 < len(top) * 2:
        return None
    return (
        f"{len(late)} of the best {len(top)} trials were at their best at the end of their {longest} epochs: "
        "more epochs may help."
    )


def _written(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
