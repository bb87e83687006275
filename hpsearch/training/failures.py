"""An exception in a trial becomes a failure: its kind, its cause in a line, the user's part of its trace."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

from hpsearch.errors import DataError, HpsearchError, ModelError, UsageError
from hpsearch.trial import Failure, FailureKind

DETAIL_CHARACTERS = 8_000
CAUSE_CHARACTERS = 500

_PACKAGE = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
"""Exceptions of TensorFlow, and of torch on a GPU."""
_OUT_OF_MEMORY_IN = {
    "JaxRuntimeError": "RESOURCE_EXHAUSTED",
    "XlaRuntimeError": "RESOURCE_EXHAUSTED",  # its name in JAX before 0.8
    "RuntimeError": "DefaultCPUAllocator: can't allocate memory",  # torch
}
"""Others, by what is in their message."""


class NotFiniteError(Exception):
    """The loss or an objective is NaN or infinite."""


def failure_of(error: BaseException, kind: FailureKind = FailureKind.ERROR) -> Failure:
    """Returns the failure that an exception stands for.

    Args:
        error: What was raised.
        kind: The kind it has unless its type says more: that of the stage in which it was raised.
    """
    return Failure(_kind(error, kind), _cause(error), _detail(error), usage=isinstance(error, UsageError))


def _kind(error: BaseException, kind: FailureKind) -> FailureKind:
    if any(map(out_of_memory, _chain(error))):
        return FailureKind.OUT_OF_MEMORY
    match error:
        case NotFiniteError():
            return FailureKind.NAN
        case DataError():
            return FailureKind.DATA
        case ModelError():
            return FailureKind.BUILD
        case KeyboardInterrupt():
            return FailureKind.INTERRUPTED
    return kind


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, whatever backend raised it."""
    if isinstance(error, MemoryError) or type(error).__name__ in _OUT_OF_MEMORY:
        return True
    words = _OUT_OF_MEMORY_IN.get(type(error).__name__)
    return words is not None and words in str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields the exception and those that caused it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def one_line(error: BaseException) -> str:
    """Returns an exception's type and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return message if len(message) <= CAUSE_CHARACTERS else message[: CAUSE_CHARACTERS - 1] + "…"


def _cause(error: BaseException) -> str:
    match error:
        case SystemExit():
            return f"SystemExit: the code called sys.exit({error.code!r})"
        case KeyboardInterrupt():
            return "KeyboardInterrupt: the job was interrupted"
        case HpsearchError() | NotFiniteError():  # ours say where by themselves
            return " ".join(str(error).split())
    return one_line(error)


def _detail(error: BaseException) -> str:
    """Returns the traceback, without the frames of libraries above and below the user's own."""
    story = traceback.TracebackException.from_exception(error, compact=True)
    part: traceback.TracebackException | None = story
    while part is not None:
        users = [frame for frame in part.stack if _is_users(frame.filename)]
        if users:
            part.stack = traceback.StackSummary.from_list(users)
        part = part.__cause__ or part.__context__
    text = "".join(story.format())
    return text if len(text) <= DETAIL_CHARACTERS else "…" + text[-DETAIL_CHARACTERS + 1 :]


def _is_users(filename: str) -> bool:
    if filename.startswith("<frozen "):
        return False
    path = os.path.abspath(filename)
    return not path.startswith((_PACKAGE + os.sep, *(library + os.sep for library in _LIBRARIES if library)))
