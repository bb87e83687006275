"""Everything hpsearch raises on purpose.

    HpsearchError
    ├── UsageError            what the user wrote is wrong: exit code 2, no traceback
    │   ├── ExperimentError       an experiment file, or a value in it
    │   ├── ObjectiveError        a metric that does not exist, or whose direction is unknown
    │   ├── SpaceError            a hyperparameter's range, or an override of it
    │   ├── StrategyError         a strategy that does not fit the space or the objective
    │   ├── DataError             a data set that is missing or malformed
    │   ├── ModelError            a model that cannot be found or built
    │   ├── StudyError            a study that does not exist, is locked, or has changed
    │   └── TrackingError         a tracking server that cannot be reached
    ├── SearchError           the search itself cannot go on: exit code 1
    │   └── SpaceExhausted        nothing is left to try (in `space`); ends a search, is no fault
    └── ExportError           an exported file is not right: exit code 1

Messages say what, where, expected, received, and what to do; `fault` writes them in that order.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HpsearchError(Exception):
    """Anything hpsearch raises on purpose."""

    exit_code = 1


class UsageError(HpsearchError):
    """What the user wrote is wrong."""

    exit_code = 2


class ExperimentError(UsageError):
    """An experiment file, or a value in it, is wrong."""


class ObjectiveError(UsageError):
    """The objective names no known metric, or one whose direction is unknown."""


class SpaceError(UsageError):
    """A hyperparameter's range, or an override of it, is wrong."""


class StrategyError(UsageError):
    """The strategy does not fit the space or the objective."""


class DataError(UsageError):
    """A data set is missing or malformed."""


class ModelError(UsageError):
    """A model cannot be found or built."""


class StudyError(UsageError):
    """A study does not exist, is in use, or is not the one it was."""


class TrackingError(UsageError):
    """The tracking store cannot be reached or refuses what it is sent."""


class SearchError(HpsearchError):
    """The search cannot go on."""


class ExportError(HpsearchError):
    """An exported model is not right, so no file was delivered."""


def fault(
    where: str,
    problem: str,
    *,
    expected: str | None = None,
    received: object = ...,
    advice: str | None = None,
) -> str:
    """Writes a message in the house order: where, what, expected, received, what to do.

    Example:
        >>> fault("x.yaml: search.space.lr", "`low` must be below `high`", received="low=0.1, high=0.001")
        'x.yaml: search.space.lr: `low` must be below `high`; received low=0.1, high=0.001.'
    """
    parts = [f"{where}: {problem}" if where else problem]
    if expected is not None:
        parts.append(f"expected {expected}")
    if received is not ...:
        parts.append(f"received {received if isinstance(received, str) else repr(received)}")
    text = "; ".join(parts).rstrip(".") + "."
    return f"{text} {advice}" if advice else text


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Returns advice naming the closest of `known`, or None when nothing is close."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else None
