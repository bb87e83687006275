"""Whatever happens to a job becomes one outcome."""

from __future__ import annotations

import pickle
import signal
import traceback

from hpsearch.channel import Channel, Perform
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.trial import Failure, FailureKind, Job, Outcome


def outcome_of(perform: Perform, job: Job, channel: Channel) -> Outcome:
    """Runs a job; nothing escapes, and what is returned can be pickled and read again."""
    try:
        outcome: object = perform(job, channel)  # a user's function may return anything
    except BaseException as error:  # sys.exit and Ctrl-C included: the worker outlives its jobs
        return failure_of(error)
    if not isinstance(outcome, Outcome):
        received = type(outcome).__name__
        return Failure(FailureKind.ERROR, f"the job returned {received}, not an outcome of hpsearch.trial")
    try:
        pickle.loads(pickle.dumps(outcome))
    except Exception as error:
        cause = f"the job's {type(outcome).__name__} cannot be pickled: {error}"
        return Failure(FailureKind.ERROR, cause, detail=traceback.format_exc())
    return outcome


def failure_of(error: BaseException) -> Failure:
    """Returns the failure that an exception escaping from a job stands for."""
    match error:
        case SystemExit():
            kind, cause = FailureKind.ERROR, f"the job called sys.exit({error.code!r})"
        case KeyboardInterrupt():
            kind, cause = FailureKind.INTERRUPTED, "the job was interrupted by SIGINT"
        case MemoryError():
            kind, cause = FailureKind.OUT_OF_MEMORY, f"MemoryError: {error}"
        case HpsearchError():
            kind, cause = FailureKind.ERROR, str(error)
        case _:
            kind, cause = FailureKind.ERROR, f"{type(error).__name__}: {error}"
    detail = "".join(traceback.format_exception(error))
    return Failure(kind, cause.splitlines()[0], detail, usage=isinstance(error, UsageError))


def failure_of_exit(returncode: int, *, detail: str, out_of_memory: bool) -> Failure:
    """Returns the failure of a job whose process ended before the job did.

    Args:
        returncode: As in `subprocess.Popen.returncode`: below 0, a signal.
        detail: The end of the job's log.
        out_of_memory: Whether the kernel has killed a process of ours for memory meanwhile.
    """
    if returncode >= 0:
        cause = f"the worker process exited with code {returncode} in the middle of the job"
        return Failure(FailureKind.CRASH, cause, detail)
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # real-time signals have no name
        name = f"signal {-returncode}"
    if name == "SIGKILL" and out_of_memory:
        cause = "the worker process was killed by the kernel: out of memory"
        return Failure(FailureKind.OUT_OF_MEMORY, cause, detail)
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return Failure(FailureKind.CRASH, f"the worker process was killed by {name}{hint}", detail)
