"""What to do about one hyperparameter, in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hpsearch.analysis.tried import place
from hpsearch.space import Parameter
from hpsearch.trial import Value
from hpsearch.writing import number

EDGE = 0.05
"""A best value this near to an end of its range, as a part of the range, is at its edge."""
CHANCE = 0.05
"""The best values are together by more than chance, if so many trials would rarely be there by it."""
MATTERS = 0.05
"""The share of importance from which a hyperparameter is worth searching."""
FEWEST_OTHERS = 3
"""Trials with other values, trained to their end, from which a value can be told from those."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one hyperparameter."""

    share: float | None
    """Of the importance; None where there were too few trials."""
    best: Value | None
    """The best trial's value; None if it has none."""
    having: Sequence[Value]
    """Those of the best trials."""
    everywhere: Sequence[Value]
    """Those of all complete trials."""
    complete: int
    """Trials with other values than the best that were trained to their end."""
    tried: int
    """Trials with other values than the best."""
    poor: Sequence[str]
    """Values with which no trial did well."""
    declared: Parameter | None


def advise(seen: Evidence) -> str:
    """Says what to do."""
    if seen.best is None:
        given = seen.declared.conditions if seen.declared else ()
        only = " and ".join(f"{each.name}={'/'.join(map(number, each.values))}" for each in given)
        return (
            f"Only with {only}, which the best trial has not." if only else "The best trial does without it."
        )
    weak = seen.share is not None and seen.share < MATTERS
    beyond = _beyond(seen)
    if beyond and not weak and _edge(seen.best, seen.declared):
        return beyond
    avoid = f"Avoid {', '.join(seen.poor)}: no trial there reached the median." if seen.poor else ""
    agreed = len(set(seen.having)) == 1 and len(seen.having) > 1
    if weak or not agreed:
        narrow = _narrow(seen) if seen.share is not None else ""
        if narrow or avoid:
            return " ".join(filter(None, (narrow, narrow and beyond, avoid)))
        if seen.share is None:
            return "Leave it as it is: the trials are too few to tell."
        return _without_effect(seen) if weak else "Matters: search it more closely around these values."
    if seen.complete < FEWEST_OTHERS or seen.complete * 2 < seen.tried:
        few = f"only {seen.complete}" if seen.complete else "none"
        few = f"{few} of {seen.tried} with another are complete"
        return f"Perhaps {number(seen.best)}: all of the best have it, but {few}."
    return f"Keep {number(seen.best)}{'' if seen.share else ' for now'}: all of the best trials have it."


def _without_effect(seen: Evidence) -> str:
    usual, count = Counter(seen.having).most_common(1)[0]
    if usual == seen.best or count == 1:
        return f"No clear effect: fix it, for example at {number(seen.best)}."
    most = f"{count} of the best {len(seen.having)} have {number(usual)}"
    return f"No clear effect: {most}, the very best {number(seen.best)}."


def _narrow(seen: Evidence) -> str:
    """Says between which values all of the best lie, if so many are not there by chance."""
    places = [place(value, seen.declared) for value in seen.having]
    few_values = seen.declared is not None and seen.declared.step is not None
    if len(places) < 3 or None in places or few_values or len(set(places)) == 1:
        return ""
    low, high = min(seen.having, key=float), max(seen.having, key=float)
    there = sum(float(low) <= float(value) <= float(high) for value in seen.everywhere)
    if (there / len(seen.everywhere)) ** len(seen.having) > CHANCE:
        return ""
    return f"Keep it between {number(low)} and {number(high)}: all of the best trials are there."


def _beyond(seen: Evidence) -> str:
    """Says that there may be better values beyond an end, if most of the best trials are there.

    One alone may be there by chance.
    """
    for edge, end in (("lower", "below"), ("upper", "above")):
        there = sum(_edge(value, seen.declared) == edge for value in seen.having)
        if seen.declared is not None and there and there * 3 >= len(seen.having) * 2:
            last = seen.declared.low if edge == "lower" else seen.declared.high
            if len(set(seen.having)) == 1 and seen.best == last:
                return (
                    f"Keep {number(last)}, and try values {end} it: all of the best trials are at that end."
                )
            return f"Try values {end} {number(last)}, too: most of the best are at that end of the range."
    return ""


def _edge(value: Value, declared: Parameter | None) -> str | None:
    """Returns the end of the declared range that a value is at, `lower` or `upper`.

    Below a rate or a number of 0 there is nothing.
    """
    where = place(value, declared)
    if declared is None or where is None:
        return None
    if where <= EDGE:
        return None if declared.low == 0 else "lower"
    return "upper" if where >= 1 - EDGE else None
