"""What becomes of failed trials: the section `search.on_failure` of an experiment."""

from __future__ import annotations

from typing import Literal

from hpsearch.experiment_forms import Section

OnFailure = Literal["fail", "retry", "infeasible"]


class FailureSection(Section):
    """By kind of failure: `fail`, `retry` (once, with the same values) or `infeasible`.

    An infeasible trial has failed too, and `tpe`, `gp` and `bayesian` then avoid what is like it. A trial
    that is interrupted (its machine was lost) always runs again.
    """

    build: OnFailure = "fail"
    """The model cannot be built."""
    data: OnFailure = "fail"
    """The data cannot be loaded."""
    nan: OnFailure = "infeasible"
    """The loss or an objective is NaN or infinite."""
    out_of_memory: OnFailure = "retry"
    """With `retry` it runs again while no other trial runs; should that not help, it is infeasible."""
    crash: OnFailure = "retry"
    """The worker process died."""
    timeout: OnFailure = "infeasible"
    """It ran longer than `resources.trial_timeout_s`, or was silent for `resources.silence_timeout_s`."""
    export: OnFailure = "infeasible"
    """The model cannot be exported to the file of which a metric is an objective or constrained."""
    error: OnFailure = "fail"
    """Anything else."""
