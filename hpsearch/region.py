"""Where in the space models do not build: what the failing points have in common, and no other has."""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.space import Value
from hpsearch.trial import Build
from hpsearch.writing import number

MOST_VALUES = 4
"""More values than this are no region but chance."""


def failing_region(builds: Sequence[Build]) -> str | None:
    """Names the hyperparameter that tells the points that do not build from those that do, if one does."""
    failing = [build.params for build in builds if build.cause is not None]
    working = [build.params for build in builds if build.cause is None]
    names = dict.fromkeys(name for params in failing for name in params)
    for name in names if working else ():
        bad = [params[name] for params in failing if name in params]
        good = [params[name] for params in working if name in params]
        if len(bad) < len(failing) or not good:
            continue
        failed, worked = _numbers(bad), _numbers(good)
        if failed and worked and min(failed) > max(worked):
            return f"where `{name}` is {number(min(failed))} or more"
        if failed and worked and max(failed) < min(worked):
            return f"where `{name}` is {number(max(failed))} or less"
        if not set(bad) & set(good) and len(set(bad)) <= MOST_VALUES:
            return f"where `{name}` is {' or '.join(dict.fromkeys(map(number, bad)))}"
    return None


def _numbers(values: Sequence[Value]) -> list[int | float]:
    """Returns the values if all are numbers, nothing otherwise."""
    found = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return found if len(found) == len(values) else []
