"""One worker process as the driver sees it: started, spoken to, and its death explained."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from multiprocessing.connection import wait as wait_for
from typing import IO, Protocol

import psutil

from hpsearch.errors import SearchError, fault
from hpsearch.executors import cgroup
from hpsearch.executors.messages import Born, FromWorker, Said, Stop, ToWorker
from hpsearch.executors.outcome import failure_of_exit
from hpsearch.executors.priority import give_way
from hpsearch.trial import Failure, FailureKind

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from hpsearch.executors.{} import main; main()"
)
"""Rather than `-m`: it finds hpsearch wherever the driver did, and leaves `__main__` empty for the
classes and functions of the user's script."""

EXIT_S = 1.0
"""How long a process may take from closing its connection to its exit."""
TAIL_BYTES = 4000


@dataclass(frozen=True)
class Setting:
    """What every worker of an executor is started with."""

    environment: Mapping[str, str]
    """All its environment variables."""
    payload_fd: int
    """The file with the function to run."""
    shared_fd: int
    """The file through which workers share their data."""
    folder: str
    """Its working directory."""
    lasting_thread: bool = False
    """Whether the thread that starts it lives as long as this process, as the main thread does."""
    gives_way: bool = False
    """Whether it takes only what no other process wants."""


class Process(Protocol):
    """What became of the wish for a worker process."""

    @property
    def pid(self) -> int | None:
        """Its process id, and that of its session and process group; None before it is born."""

    def born(self, pid: int) -> None:
        """Takes in what a worker may say first."""

    @property
    def death(self) -> int | None:
        """A file descriptor that becomes readable when it ends; None before it is born, and not on Linux."""

    def wait(self, timeout_s: float) -> int | None:
        """Returns its exit code, below 0 a signal; None if it has not ended within a time."""

    def kill_unborn(self) -> None:
        """Ends what would have become a process."""

    def said(self) -> str:
        """Returns the end of what was written before it had its own log."""

    def close(self) -> None:
        """Forgets a process that has ended."""


Launch = Callable[[int, int], Process]
"""Starts a worker, given the file descriptors of its connection and of its log."""


class WorkerProcess:
    """A running `hpsearch.executors.worker`, leader of its own session: Ctrl-C does not reach it.

    Args:
        launch: Starts it.

    Raises:
        SearchError: The system refuses to start another process.
    """

    def __init__(self, launch: Launch) -> None:
        ours, theirs = Pipe()
        self._log = tempfile.TemporaryFile()  # what is said outside any job  # noqa: SIM115
        try:
            self._process = launch(theirs.fileno(), self._log.fileno())
        except SearchError:
            ours.close()
            self._log.close()
            raise
        finally:
            theirs.close()
        self._connection = ours
        self._oom_kills = cgroup.oom_kills()
        self.started_s = time.monotonic()
        self.ready = False
        self.warm_up_failure: Failure | None = None
        self.jobs_done = 0
        self._rss_at_first = 0

    @property
    def pid(self) -> int:
        """Its process id, and that of its session and process group; 0 before it is born."""
        return self._process.pid or 0

    @property
    def watched(self) -> list[Connection | int]:
        """What becomes ready to read when it speaks or dies."""
        # A child it forked may hold its end of the connection open: hence its death as well.
        death = self._process.death
        return [self._connection] if death is None else [self._connection, death]

    def send(self, message: ToWorker) -> None:
        """Sends a message; one that cannot arrive is dropped, for `receive` will see the death."""
        with suppress(OSError):
            self._connection.send(message)

    def receive(self) -> Said | None:
        """Returns its next message, None if there is none now.

        Raises:
            EOFError: There will never be one again.
            pickle.UnpicklingError: The message cannot be read here.
        """
        try:
            if not self._connection.poll():
                if self._process.death is not None and wait_for([self._process.death], 0):
                    raise EOFError
                return None
            content = self._connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        try:
            message: FromWorker = pickle.loads(content)
        except Exception as error:
            raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
        if isinstance(message, Born):
            self._process.born(message.pid)
            return None
        return message

    def remaining(self) -> Iterator[Said]:
        """Yields what it had sent before it was killed."""
        while wait_for(self.watched, EXIT_S):
            try:
                message = self.receive()
            except (EOFError, pickle.UnpicklingError):
                return
            if message is not None:
                yield message

    def grown_bytes(self) -> int:
        """Returns by how much its memory has grown since its first job; call it after each."""
        try:
            rss = psutil.Process(self.pid).memory_info().rss
        except psutil.Error:  # it has just died
            return 0
        self._rss_at_first = self._rss_at_first or rss
        return int(rss - self._rss_at_first)

    def explain_death(self, log: str | None = None, log_start: int = 0) -> Failure:
        """Waits for the end of a process that has closed its connection, and says why it ended.

        Args:
            log: The file of the job it ran; without one, the output outside of jobs.
            log_start: Where in that file the job began, in bytes.
        """
        detail = self.output() if log is None else tail(log, log_start)
        returncode = self._process.wait(EXIT_S)
        if returncode is None:
            cause = "the worker process closed its connection to the driver"
            return Failure(FailureKind.CRASH, cause, detail)
        oom_kills = cgroup.oom_kills()
        out_of_memory = None not in (oom_kills, self._oom_kills) and oom_kills != self._oom_kills
        return failure_of_exit(returncode, detail=detail, out_of_memory=out_of_memory)

    def output(self) -> str:
        """Returns the end of what it wrote outside of jobs."""
        return end_of(self._log) or self._process.said()

    def ask_to_exit(self) -> None:
        """Asks it to exit once it has nothing to do."""
        self.send(Stop())

    def terminate(self) -> None:
        """Sends SIGTERM to it and to what it started."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL to it and to what it started."""
        self._signal(signal.SIGKILL)

    def exited(self, timeout_s: float = 0) -> bool:
        """Returns whether it has exited, waiting for at most `timeout_s`; if so, clears up after it."""
        if self._process.wait(timeout_s) is None:
            return False
        if self.pid:
            self._signal(signal.SIGKILL)  # what it started
        self._connection.close()
        self._log.close()
        self._process.close()
        return True

    def _signal(self, number: int) -> None:
        if not self.pid:
            self._process.kill_unborn()
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS: of a group of zombies
            os.killpg(self.pid, number)


class Spawned:
    """A worker process of its own, started from nothing."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.death = death_of(process.pid)

    def born(self, pid: int) -> None:
        """It is."""

    def wait(self, timeout_s: float) -> int | None:
        """Returns its exit code, below 0 a signal; None if it has not ended within a time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill_unborn(self) -> None:
        """It is born."""

    def said(self) -> str:
        """Nothing: its log is its own from the first."""
        return ""

    def close(self) -> None:
        """Forgets a process that has ended."""
        if self.death is not None:
            os.close(self.death)
            self.death = None


def spawn(setting: Setting, connection_fd: int, log_fd: int) -> Spawned:
    """Starts a worker from nothing.

    Args:
        setting: As in `start`.
        connection_fd: Its connection to the driver.
        log_fd: Its log.

    Raises:
        SearchError: The system refuses to start another process.
    """
    return Spawned(start("worker", connection_fd, log_fd, setting))


def start(module: str, connection_fd: int, log_fd: int, setting: Setting) -> subprocess.Popen[bytes]:
    """Starts the `main` of a module of this package, in a session of its own.

    Args:
        module: Its name.
        connection_fd: Its connection to the driver.
        log_fd: Receives its standard output and error.
        setting: What it inherits.

    Raises:
        SearchError: The system refuses to start another process.
    """
    # Linux takes the end of the thread for the end of the parent.
    die_with_parent = setting.lasting_thread or threading.current_thread() is threading.main_thread()
    sys_path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
    descriptors = (connection_fd, setting.payload_fd, setting.shared_fd)
    arguments = map(str, (*descriptors, int(die_with_parent)))
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOT.format(module), sys_path, *arguments],
            env=setting.environment,
            cwd=setting.folder,
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            pass_fds=descriptors,
            start_new_session=True,
        )
    except OSError as error:
        raise SearchError(
            fault("executor", "a worker process could not be started", received=str(error))
        ) from error
    if setting.gives_way:
        give_way(process.pid)
    return process


def tail(log: str, start: int) -> str:
    """Returns the end of what was appended to a file since it had `start` bytes."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def end_of(log: IO[bytes]) -> str:
    """Returns the end of what was written to an open file."""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES)).decode(errors="replace")


def death_of(pid: int) -> int | None:
    """Returns a file descriptor that becomes readable when the process ends; Linux only."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
