"""What counts as a failure, and what becomes of the trial.

    fail         it is FAILED, and that is all
    retry        it runs once more: same number, same values; if it fails in the same way, that is final
    infeasible   it is FAILED, and samplers that can learn from that avoid what is like it

Each kind of failure has a policy (`search.on_failure`). An interrupted trial is not at fault: its worker
or its machine was taken away, so it runs again and nothing is counted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from enum import StrEnum

from hpsearch.deploy_metrics import rung_metrics
from hpsearch.experiment_failures import FailureSection
from hpsearch.trial import Failure, FailureKind, Outcome, Result

MOST_INTERRUPTIONS = 10
"""Of one trial in one run of the search: a trial that takes its machine down with it must end somewhere."""

_OF_THE_VALUES = frozenset(
    {FailureKind.NAN, FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT, FailureKind.EXPORT}
)
"""Kinds that follow from the hyperparameters: if a second attempt does not help, others like it fail too."""


class Policy(StrEnum):
    """What becomes of a trial that failed."""

    FAIL = "fail"
    RETRY = "retry"
    INFEASIBLE = "infeasible"


Policies = Mapping[FailureKind, Policy]


def policies(section: FailureSection) -> Policies:
    """Returns the policy of each kind."""
    chosen = {FailureKind(kind): Policy(getattr(section, kind)) for kind in type(section).model_fields}
    return {**chosen, FailureKind.INTERRUPTED: Policy.RETRY}


def decide(kind: FailureKind, earlier: Collection[FailureKind], chosen: Policies) -> Policy:
    """Says what becomes of a trial.

    Args:
        kind: How it failed.
        earlier: How its earlier attempts failed.
        chosen: The policies.
    """
    policy = chosen[kind]
    if policy is Policy.RETRY and kind in earlier:
        return Policy.INFEASIBLE if kind in _OF_THE_VALUES else Policy.FAIL
    return policy


def needs_solitude(earlier: Collection[FailureKind]) -> bool:
    """Whether a trial's next attempt must run while no other does: others may have taken the memory."""
    return FailureKind.OUT_OF_MEMORY in earlier


def judge(outcome: Outcome, metrics: tuple[str, ...]) -> Result | Failure:
    """Makes sure that no value a sampler would choke on reaches the study.

    Args:
        outcome: What the worker returned.
        metrics: The objectives. A trial that was pruned need not have them, one that pauses those that are
            known by then.
    """
    if isinstance(outcome, Failure):
        return outcome
    if not isinstance(outcome, Result):
        return Failure(FailureKind.ERROR, f"the worker returned {type(outcome).__name__} for a trial")
    known = tuple(filter(None, rung_metrics(metrics))) if outcome.paused else metrics
    for metric in known:
        value = outcome.metrics.get(metric)
        if value is None and outcome.pruned:
            continue
        if value is None:
            return Failure(FailureKind.ERROR, f"the trial reported no `{metric}`")
        if not math.isfinite(value):
            return Failure(FailureKind.NAN, f"the objective `{metric}` is {value}")
    return outcome
