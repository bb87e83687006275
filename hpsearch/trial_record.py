"""What the study keeps of a trial besides what Optuna does: its outcome, its earlier attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hpsearch.parts import PartResult
from hpsearch.trial import Failure, FailureKind, Result, Value

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

TRIAL_OUTCOME = "hpsearch"
"""User attribute of an Optuna trial: its result or failure, as a dictionary."""
_ATTEMPTS = "hpsearch:attempts"
"""User attribute: how each earlier attempt failed, a list of dictionaries."""
_INFEASIBLE = "hpsearch:infeasible"
"""User attribute: whether samplers should avoid what is like this failed trial."""
_PRUNED = "hpsearch:pruned"
"""User attribute: whether the pruner has stopped this trial."""


def record_outcome(
    outcome: Result | Failure, params: Mapping[str, Value], *, spans: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Writes an outcome as the dictionary kept in the Optuna trial.

    Args:
        outcome: How the trial ended.
        params: The hyperparameters it had when it ended.
        spans: From when to when it ran, Unix time in seconds: once, or in several legs.
    """
    ran = {"spans": [list(span) for span in spans]}
    if isinstance(outcome, Failure):
        return {
            **ran,
            "params": dict(params),
            "failure": {"kind": str(outcome.kind), "cause": outcome.cause},
        }
    parts = {"parts": [asdict(each) for each in outcome.parts]} if outcome.parts else {}
    return {
        **ran,
        **parts,
        "params": dict(outcome.params),
        "metrics": dict(outcome.metrics),
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "duration_s": outcome.duration_s,
        "pruned": outcome.pruned,
        "constraints": dict(outcome.constraints),
        "facts": dict(outcome.facts),
        "files": list(outcome.files),
    }


def read_outcome(trial: FrozenTrial) -> Result | Failure | None:
    """Reads back what `record_outcome` wrote; None while the trial runs."""
    record = read_record(trial)
    if not record:
        return None
    if "failure" in record:
        return Failure(FailureKind(record["failure"]["kind"]), record["failure"]["cause"])
    return Result(
        params=record["params"],
        metrics=record["metrics"],
        epochs=record["epochs"],
        best_epoch=record["best_epoch"],
        duration_s=record["duration_s"],
        pruned=record["pruned"],
        constraints=record.get("constraints", {}),
        facts=record["facts"],
        files=tuple(record["files"]),
        parts=tuple(map(PartResult.from_dict, record.get("parts", ()))),
    )


def read_record(trial: FrozenTrial | Trial) -> Mapping[str, Any]:
    """Returns the dictionary itself; empty while the trial runs."""
    record: Mapping[str, Any] = trial.user_attrs.get(TRIAL_OUTCOME, {})
    return record


def record_attempt(trial: Trial, failure: Failure, span: tuple[float, float]) -> None:
    """Notes in a running trial that an attempt failed and another will be made.

    Args:
        trial: Still running.
        failure: Why it failed.
        span: From when to when it ran, Unix time in seconds.
    """
    attempt = {"kind": str(failure.kind), "cause": failure.cause, "span": list(span)}
    trial.set_user_attr(_ATTEMPTS, [*trial.user_attrs.get(_ATTEMPTS, ()), attempt])


def read_attempts(trial: FrozenTrial | Trial) -> Sequence[Failure]:
    """Returns how the earlier attempts failed, the first one first."""
    attempts = trial.user_attrs.get(_ATTEMPTS, ())
    return tuple(Failure(FailureKind(each["kind"]), each["cause"]) for each in attempts)


def read_attempt_spans(trial: FrozenTrial | Trial) -> tuple[tuple[float, float], ...]:
    """Returns from when to when the earlier attempts ran, as far as that was noted."""
    attempts = trial.user_attrs.get(_ATTEMPTS, ())
    return tuple((each["span"][0], each["span"][1]) for each in attempts if "span" in each)


def record_end(
    trial: Trial, record: Mapping[str, Any], constraints: Mapping[str, float], *, infeasible: bool
) -> None:
    """Notes in a running trial how it is about to end.

    Args:
        trial: Still running.
        record: Written by `record_outcome`.
        constraints: As in `Result`; kept where Optuna's samplers and charts look for them.
        infeasible: Whether it failed, and samplers should avoid what is like it.
    """
    known = trial.constraints if constraints else {}
    for name in sorted(constraints.keys() - known.keys()):  # in one order: `gp` knows them by their places
        trial.set_constraint(name, constraints[name])
    trial.set_user_attr(TRIAL_OUTCOME, record)
    if infeasible:
        record_infeasible(trial)


def record_infeasible(trial: Trial) -> None:
    """Notes in a running trial, which is about to fail, that samplers should avoid what is like it."""
    trial.set_user_attr(_INFEASIBLE, True)


def read_infeasible(trial: FrozenTrial) -> bool:
    """Whether samplers should avoid what is like the trial."""
    return bool(trial.user_attrs.get(_INFEASIBLE, False))


def read_broken(trial: FrozenTrial) -> tuple[str, ...]:
    """Returns the constraints that a trial breaks."""
    return tuple(name for name, violation in trial.constraints.items() if violation > 0)


def record_pruned(trial: Trial) -> None:
    """Notes in a running trial that the pruner has stopped it: it does not say so a second time."""
    trial.set_user_attr(_PRUNED, True)


def read_pruned(trial: Trial) -> bool:
    """Whether the pruner has stopped the trial."""
    return bool(trial.user_attrs.get(_PRUNED, False))
