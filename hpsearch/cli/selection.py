"""Which trials `hpsearch trials` shows, in which order, with which columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.conditions import Condition, check_name, value_of

if TYPE_CHECKING:
    from hpsearch.trial_view import TrialView


@dataclass(frozen=True)
class Selection:
    """What to show of a study's trials; by default all of them by number."""

    conditions: tuple[Condition, ...] = ()
    sort: str | None = None
    """A name; with `-` before it, the largest first."""
    columns: tuple[str, ...] = ()
    """Default: those that the table has."""

    def of(self, trials: Sequence[TrialView]) -> tuple[TrialView, ...]:
        """Returns the trials to show, in order.

        Raises:
            UsageError: A name is unknown, or a value does not fit.
        """
        sort = (self.sort or "").removeprefix("-")
        for condition in self.conditions:
            condition.check(trials)
        for option, name in [
            *([("--sort", sort)] if sort else []),
            *(("--columns", column) for column in self.columns),
        ]:
            check_name(name, trials, option)
        kept = [t for t in trials if all(condition.holds(t) for condition in self.conditions)]
        if sort:
            there = [trial for trial in kept if _comparable(value_of(trial, sort))]
            lacking = [trial for trial in kept if not _comparable(value_of(trial, sort))]
            descending = (self.sort or "").startswith("-")
            there.sort(key=lambda trial: _key(value_of(trial, sort)), reverse=descending)
            kept = [*there, *lacking]
        return tuple(kept)


def _comparable(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _key(value: Any) -> tuple[str, Any]:
    """Sorts numbers among numbers, text among text."""
    if isinstance(value, int | float):
        return "", value
    return "text", str(value)
