"""When a search is stopped because nothing comes of it: all trials fail, or none meets the constraints."""

from __future__ import annotations

from pathlib import Path

from hpsearch.errors import SearchError, fault
from hpsearch.plan import Plan
from hpsearch.standing import Standing
from hpsearch.trial_view import TrialView

MOST_REFUSED = 100
"""Trials in a row that were not trained, as they break a constraint. They cost nothing but time, and only a
number of trials or a time ends a search of such."""


def stop_if_hopeless(standing: Standing, last: TrialView, plan: Plan, log: Path) -> None:
    """Stops a search of which nothing comes.

    Args:
        standing: How it stands.
        last: The trial that ended last.
        plan: Says how many failures in a row are too many.
        log: Of the last trial.

    Raises:
        SearchError: Nothing comes of it.
    """
    where = f"study {plan.folder.name}"
    failed, refused = standing.failures_in_a_row, standing.refused_in_a_row
    if last.failure is not None and failed >= plan.max_failures_in_a_row:
        raise SearchError(
            fault(
                where,
                f"the last {failed} trials failed, so the search was stopped",
                received=f"{last.failure.kind}: {last.failure.cause}",
                advice=f"The last one's log: {log}. Mend the cause and run the same command again.",
            )
        )
    if last.broken and refused >= MOST_REFUSED and plan.trials is None and plan.timeout_s is None:
        found = ", ".join(f"{name} = {value:g}" for name, value in last.metrics.items())
        raise SearchError(
            fault(
                where,
                f"the last {refused} trials break a constraint, so the search was stopped",
                expected=" and ".join(last.broken),
                received=f"{found} (trial {last.number})",
                advice="Loosen the constraint, or narrow `search.space` to smaller models.",
            )
        )
