"""The constraints of an experiment: that their metrics exist, and how far a trial is from meeting them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from hpsearch.errors import ObjectiveError, did_you_mean, fault
from hpsearch.experiment import Experiment
from hpsearch.experiment_constraints import Constraint


def constraints_of(experiment: Experiment) -> tuple[Constraint, ...]:
    """Returns the constraints of an experiment."""
    return tuple(map(Constraint.parse, experiment.search.constraints or ()))


def check_constraints(experiment: Experiment, known: Iterable[str], *, any_metric: bool = False) -> None:
    """Makes sure that the metrics exist.

    Args:
        experiment: Its constraints are checked.
        known: The metrics of a trial.
        any_metric: Whether a trial may report more than `known`, as training of the user's own does.

    Raises:
        ObjectiveError: There is no such metric.
    """
    known = tuple(known)
    for position, each in enumerate(constraints_of(experiment)):
        if each.metric in known or any_metric:
            continue
        advice = did_you_mean(each.metric, known)
        if f"val_{each.metric}" in known:
            advice = f"Did you mean `val_{each.metric}`?"
        raise ObjectiveError(
            fault(
                f"{experiment.where}: search.constraints[{position}]",
                "there is no such metric",
                expected=f"one of {', '.join(known)}",
                received=each.metric,
                advice=advice,
            )
        )


def violations(constraints: Iterable[Constraint], metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns how far metrics are from meeting the constraints on them, by constraint.

    Args:
        constraints: Those on other metrics say nothing.
        metrics: Of a trial. NaN meets nothing.
    """
    found = {}
    for each in constraints:
        if each.metric in metrics:
            value = each.violation(metrics[each.metric])
            found[str(each)] = value if math.isfinite(value) else 1e9
    return found


def require(constraints: Iterable[Constraint], metrics: Mapping[str, float]) -> None:
    """Makes sure that a trial which has ended has all metrics that are constrained.

    Raises:
        ObjectiveError: One is missing.
    """
    for each in constraints:
        if each.metric not in metrics:
            raise ObjectiveError(
                fault(
                    "search.constraints",
                    f"training reports no metric `{each.metric}`",
                    expected=f"one of {', '.join(metrics)}",
                    advice=did_you_mean(each.metric, metrics),
                )
            )
