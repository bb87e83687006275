"""A worker process: it loads the function once, warms up, and runs one job after the other.

It never imports the user's script: what is defined there arrives by value, so a script without the
`if __name__ == "__main__"` guard runs its top level once, in the driver.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from hpsearch import shared
from hpsearch.channel import Perform
from hpsearch.executors import Built, Report, Suggest, payload
from hpsearch.executors.messages import Answer, Born, FromWorker, Ready, Task, ToWorker
from hpsearch.executors.outcome import failure_of, outcome_of
from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Failure, Outcome, Value

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Serves the driver at the other end of the connection until it says stop, or dies.

    The arguments come from `WorkerProcess`: the file descriptors of the connection, of the payload and of
    the data that workers share, and 1 if the driver's thread that started this process lives as long as the
    driver.
    """
    connection_fd, payload_fd, shared_fd, die_with_parent = (int(argument) for argument in sys.argv[1:])
    del sys.argv[1:]
    serve(connection_fd, payload_fd, shared_fd, die_with_parent=bool(die_with_parent))


def serve(
    connection_fd: int,
    payload_fd: int,
    shared_fd: int,
    *,
    die_with_parent: bool,
    born: bool = False,
    warm: bool = False,
) -> None:
    """Serves the driver until it says stop, or dies.

    Args:
        connection_fd: The connection to it.
        payload_fd: The file with the function to run.
        shared_fd: The file through which workers share their data.
        die_with_parent: Whether to end with the thread that started this process.
        born: Whether the driver does not know this process yet. Default: it does.
        warm: Whether this process has warmed up already. Default: it has not.
    """
    for descriptor in (connection_fd, payload_fd, shared_fd):
        os.set_inheritable(descriptor, False)
    _follow_driver(connection_fd, die_with_parent=die_with_parent)
    faulthandler.enable()
    done = threading.Event()
    atexit.register(_leave, done)  # registered first, runs last
    connection: Connection[FromWorker, ToWorker] = Connection(connection_fd)
    if born:
        _send(connection, Born(os.getpid()))
    shared.use(shared_fd)
    objects = payload.read(payload_fd)
    _send(connection, Ready(None if warm else warm_up(objects["warm_up"])))
    while isinstance(task := _receive(connection), Task):
        _send(connection, _run(task, objects["perform"], connection))
    done.set()


def _leave(done: threading.Event) -> None:
    """Spares a worker that is done the interpreter's taking down of TensorFlow: 1.5 s for nothing."""
    if done.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)


def _receive(connection: Connection[FromWorker, ToWorker]) -> ToWorker:
    try:
        return connection.recv()
    except (EOFError, ConnectionError):
        _end()


def _send(connection: Connection[FromWorker, ToWorker], message: FromWorker) -> None:
    try:
        connection.send(message)
    except ConnectionError:
        _end()


def _end() -> NoReturn:
    """The driver is gone: ends this process and what it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _run(task: Task, perform: Perform, connection: Connection[FromWorker, ToWorker]) -> Outcome:
    try:
        log = _open_log(task.log)
    except OSError as error:
        return failure_of(error)
    channel = _PipeChannel(connection)
    with log:
        outcome = outcome_of(perform, task.job, channel)
    channel.close()
    return outcome


def warm_up(import_all: Callable[[], object] | None) -> Failure | None:
    """Does what prepares a process for its first job; returns why it failed, if it did."""
    try:
        if import_all is not None:
            import_all()
    except BaseException as error:  # told with the first job, where the user looks
        failure = failure_of(error)
        return replace(failure, cause=f"the worker could not warm up: {failure.cause}")
    return None


class _PipeChannel:
    """What the running job sees of the driver; it may call from any of its threads."""

    def __init__(self, connection: Connection[FromWorker, ToWorker]) -> None:
        self._connection = connection
        self._turn = threading.Lock()
        self._open = True

    def report(self, epoch: Epoch, *, await_answer: bool) -> bool:
        with self._turn:
            self._send(Report(epoch, await_answer))
            return bool(self._answer()) if await_answer else True

    def suggest(self, parameter: Parameter) -> Value:
        with self._turn:
            self._send(Suggest(parameter))
            return self._answer()

    def built(self, params: Mapping[str, Value]) -> None:
        with self._turn:
            self._send(Built(params))

    def close(self) -> None:
        """Keeps a thread that the job left behind from speaking in the next job's name."""
        with self._turn:
            self._open = False

    def _send(self, message: FromWorker) -> None:
        if not self._open:
            raise RuntimeError("the job of this channel is over")
        _send(self._connection, message)

    def _answer(self) -> Value:
        message = _receive(self._connection)
        if not isinstance(message, Answer):
            raise RuntimeError(f"expected the driver's answer; received {message!r}")
        return message.value


def _open_log(path: str) -> AbstractContextManager[None]:
    """Opens a log that standard output and error are appended to while the context lasts."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return _output_to(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666))


@contextmanager
def _output_to(descriptor: int) -> Iterator[None]:
    """Moves the file descriptors 1 and 2: what Python, C++ and child processes write."""
    kept = [os.dup(1), os.dup(2)]
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the disk is full, the job closed it
                stream.flush()
        ctypes.CDLL(None).fflush(None)
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)


def _follow_driver(connection_fd: int, *, die_with_parent: bool) -> None:
    """Ends this process, and what it started, within about a second of the driver's death."""

    def watch() -> None:
        hang_up = select.poll()
        hang_up.register(connection_fd, 0)  # no events asked for: only the hang-up wakes it
        hang_up.poll()
        _end()

    threading.Thread(target=watch, name="follow-driver", daemon=True).start()
    if die_with_parent and sys.platform == "linux":
        # The thread cannot run while a C function holds the interpreter's lock. So the kernel sends
        # SIGHUP (1) when the driver dies, the C library's `alarm` handles it as `alarm(1)`, and one
        # second later SIGALRM ends the process, without any Python.
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal.restype = ctypes.c_void_p
        libc.signal(signal.SIGHUP, ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
