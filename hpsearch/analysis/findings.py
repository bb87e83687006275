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
    varied = sorted((n for n in names if n not in fixed), key=lambda n: (-importances.get(n, 0.0), n))
    declared = {p.name: p for p in Space.from_json(study.facts.get("space") or "[]").parameters}
    top = ranking[: max(3, math.ceil(len(ranking) / 10))]
    found = tuple(
        _finding(name, importances.get(name) if importances else None, top, declared.get(name))
        for name in varied
    )
    return Findings(found, fixed, _progress(study))


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
    if edge is not None and (share is None or share >= MATTERS):
        return f"Widen its range: the best value is at the {edge} end."
    if share is None:
        return "Too few trials to tell."
    if share < MATTERS:
        return f"Hardly matters here: fix it, for example at {_written(best)}."
    if len(set(having)) == 1 and len(having) > 1:
        return f"Keep {_written(best)}: all of the best trials have it."
    return "Matters: search it more closely around these values."


def _edge(value: Value, declared: Parameter | None) -> str | None:
    """Returns the end of the declared range that a value is at, `lower` or `upper`."""
    if declared is None or declared.low is None or declared.high is None or declared.low == declared.high:
        return None
    if not isinstance(value, int | float):
        return None
    scale = math.log if declared.sampling == "log" else float
    low, high = scale(declared.low), scale(declared.high)
    place = (scale(value) - low) / (high - low)
    if place <= EDGE:
        return "lower"
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
        verdict = "it may have found what there is"
    else:
        verdict = "it may still improve"
    return (
        f"The best trial was number {best.number}; the {later} that ended after it were no better: {verdict}."
    )


def _written(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
