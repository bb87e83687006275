"""What a study says about its hyperparameters, in words: what matters, what to keep, where to look next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from hpsearch.analysis.advice import Evidence, advise
from hpsearch.analysis.tried import declared_in, outcomes, poor, searched
from hpsearch.space import Parameter
from hpsearch.trial import TrialState, Value
from hpsearch.writing import number

if TYPE_CHECKING:
    from hpsearch.study import Study
    from hpsearch.trial_view import TrialView

FEWEST_EPOCHS = 3
"""Trials of fewer are short on purpose."""
SMALL = 0.1
"""A gain of no more than this part of what separates the best result from the median is small."""
FEWEST_TO_HALVE = 10
"""Complete trials from which their second half is compared with the first."""
FEWEST_LATER = 3
"""Trials after the best, trained to their end, from which it says something that none was better."""
TOGETHER = 0.8
"""The part of the trials with either of two values that have both, from which they cannot be told apart."""


@dataclass(frozen=True)
class Finding:
    """What was found out about one hyperparameter."""

    name: str
    share: float | None
    """Of the importance; None where there were too few trials."""
    best: Value | None
    """The best trial's value; None if it has none."""
    searched: str
    """Its range."""
    good: str
    """The values of the best trials."""
    outcomes: tuple[str, ...]
    """What became of its values, a line each."""
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
    together: str | None
    """Which values cannot be told apart, as the same trials have them."""

    @property
    def weighed(self) -> bool:
        """Whether there were enough trials to tell what matters."""
        return any(each.share is not None for each in self.hyperparameters)


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
    declared = declared_in(study)
    top = best_few(ranking)
    looked_at = _Trials(study.trials, ranking, top, next(iter(study.objectives.values())))
    found = tuple(
        _finding(name, importances.get(name) if importances else None, looked_at, declared.get(name))
        for name in varied
    )
    return Findings(found, fixed, _progress(study), _short(study, top), _together(varied, ranking, top))


@dataclass(frozen=True)
class _Trials:
    """Those that hyperparameters are judged by."""

    all: Sequence[TrialView]
    ranking: Sequence[TrialView]
    top: Sequence[TrialView]
    direction: str
    """Of the first objective."""


def best_few(ranking: Sequence[TrialView]) -> Sequence[TrialView]:
    """Returns those that are looked at together: a fifth of the trials, at least three."""
    return ranking[: max(3, math.ceil(len(ranking) / 5))]


def _finding(name: str, share: float | None, trials: _Trials, declared: Parameter | None) -> Finding:
    values = [trial.params[name] for trial in trials.all if name in trial.params]
    having = [trial.params[name] for trial in trials.top if name in trial.params]
    best = trials.top[0].params.get(name)
    tried = [t for t in trials.all if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    others = [trial for trial in tried if trial.params.get(name, best) != best]
    complete = sum(trial.state is TrialState.COMPLETE for trial in others)
    avoid = poor(name, trials.all, trials.direction)
    everywhere = [trial.params[name] for trial in trials.ranking if name in trial.params]
    evidence = Evidence(share, best, having, everywhere, complete, len(others), avoid, declared)
    return Finding(
        name,
        share,
        best,
        searched(declared, values),
        _good(having, declared),
        outcomes(name, trials.all, trials.direction),
        advise(evidence),
    )


def _good(values: Sequence[Value], declared: Parameter | None) -> str:
    """Writes the values of the best trials: a range, or how often each occurs."""
    if not values:
        return "not used"
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if len(set(values)) == 1:
        return f"{number(values[0])} (all {len(values)})" if len(values) > 1 else number(values[0])
    if numbers and not (declared and (declared.values or declared.step)):
        return f"{number(min(values))} to {number(max(values))}"
    return ", ".join(f"{number(v)} ({count} of {len(values)})" for v, count in Counter(values).most_common())


def _together(varied: Sequence[str], ranking: Sequence[TrialView], top: Sequence[TrialView]) -> str | None:
    """Says which of the values that all of the best trials have were hardly ever without one another."""
    having = {}
    for name in varied:
        values = {trial.params.get(name) for trial in top}
        if len(values) == 1 and len(top) > 1:
            having[name] = {t.number for t in ranking if t.params.get(name) == top[0].params.get(name)}
    alike = [
        name
        for name, with_it in having.items()
        if len(with_it) < len(ranking)
        and any(_overlap(with_it, each) >= TOGETHER for other, each in having.items() if other != name)
    ]
    if not alike:
        return None
    written = ", ".join(f"{name}={number(top[0].params.get(name))}" for name in alike)
    return (
        f"The complete trials nearly always have {written} together, so that which of them makes the "
        "difference cannot be told."
    )


def _overlap(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other)


def _progress(study: Study) -> str:
    """Says when the best trial came."""
    finished = [trial for trial in study.trials if trial.finished]
    if len(study.objectives) > 1:
        return f"{len(study.best)} of {len(finished)} trials are on the Pareto front."
    best = study.best[0]
    later = sum(trial.number > best.number for trial in finished)
    if later == 0:
        return "The last trial was the best: the search was still improving, and more trials may help."
    whole = sum(trial.number > best.number and trial.state is TrialState.COMPLETE for trial in finished)
    share = later / len(finished)
    gained, small = _gained(study)
    if whole < FEWEST_LATER:
        verdict = "too few to say whether the search has found what there is"
    elif share >= 0.5:
        verdict = "more trials of this search are unlikely to help much"
    elif share >= 0.25 or small:
        verdict = "the search may have found what there is"
    else:
        verdict = "the search may still improve"
    ran = "" if whole == later else f", of which {whole} ran to their end,"
    said = f"The best trial was number {best.number}; the {later} after it{ran} were no better: {verdict}."
    return said + gained


def _gained(study: Study) -> tuple[str, bool]:
    """Says what the second half of the trials has brought, and whether that is little."""
    values = {trial.number: trial.values[0] for trial in study.ranking if trial.feasible}
    early = [value for number, value in values.items() if number < len(study.trials) / 2]
    if len(values) < FEWEST_TO_HALVE or not early:
        return "", False
    best = max if study.objectives[next(iter(study.objectives))] == "maximize" else min
    gain = abs(best(values.values()) - best(early))
    what = f"improved the best result by {gain:.4f}" if gain else "brought nothing better"
    small = gain <= SMALL * abs(best(values.values()) - median(values.values()))
    return f" The second half of the trials {what}.", small


def _short(study: Study, top: Sequence[TrialView]) -> str | None:
    """Says if most of the best trials ran all epochs, and were at their best in the last tenth of these."""
    longest = max(trial.epochs for trial in study.trials)
    last = math.ceil(longest / 10)
    late = [t for t in top if t.epochs == longest and (t.best_epoch or 0) > longest - last]
    if longest < FEWEST_EPOCHS or len(late) * 3 < len(top) * 2:
        return None
    when = "last epoch" if last == 1 else f"last {last} epochs"
    which = "All" if len(late) == len(top) else f"{len(late)}"
    return (
        f"{which} of the best {len(top)} trials were at their best in the {when} of their {longest}: more "
        "epochs may help."
    )
