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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from multiprocessing.connection import wait as wait_for

import psutil

from hpsearch.errors import SearchError, fault
from hpsearch.executors import cgroup
from hpsearch.executors.messages import FromWorker, Stop, ToWorker
from hpsearch.executors.outcome import failure_of_exit
from hpsearch.trial import Failure, FailureKind

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from hpsearch.executors.worker import main; main()"
)
"""Rather than `-m`: it finds hpsearch wherever the driver did, and leaves `__main__` empty for the
classes and functions of the user's script."""

EXIT_S = 1.0
"""How long a process may take from closing its connection to its exit."""
TAIL_BYTES = 4000


class WorkerProcess:
    """A running `hpsearch.executors.worker`, leader of its own session: Ctrl-C does not reach it.

    Args:
        environment: All its environment variables.
        payload_fd: The file with the function to run.
        shared_fd: The file through which workers share their data.
        folder: Its working directory.
        lasting_thread: Whether the calling thread lives as long as this process, as the main thread does.

    Raises:
        SearchError: The system refuses to start another process.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        payload_fd: int,
        shared_fd: int,
        folder: str,
        *,
        lasting_thread: bool = False,
    ) -> None:
        ours, theirs = Pipe()
        # Linux takes the end of the thread for the end of the parent.
        die_with_parent = lasting_thread or threading.current_thread() is threading.main_thread()
        sys_path = json.dumps([entry for entry in sys.path if isinstance(entry, str)])
        arguments = [theirs.fileno(), payload_fd, shared_fd, int(die_with_parent)]
        self._log = tempfile.TemporaryFile()  # what is said outside any job  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", BOOT, sys_path, *map(str, arguments)],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(theirs.fileno(), payload_fd, shared_fd),
                start_new_session=True,
            )
        except OSError as error:
            for item in (ours, theirs, self._log):
                item.close()
            raise SearchError(
                fault("executor", "a worker process could not be started", received=str(error))
            ) from error
        theirs.close()
        self._connection = ours
        self._death = _death_of(self.pid)
        self._oom_kills = cgroup.oom_kills()
        self.started_s = time.monotonic()
        self.ready = False
        self.warm_up_failure: Failure | None = None
        self.jobs_done = 0
        self._rss_at_first = 0

    @property
    def pid(self) -> int:
        """Its process id, and that of its session and process group."""
        return self._process.pid

    @property
    def watched(self) -> list[Connection | int]:
        """What becomes ready to read when it speaks or dies."""
        # A child it forked may hold its end of the connection open: hence its death as well.
        return [self._connection] if self._death is None else [self._connection, self._death]

    def send(self, message: ToWorker) -> None:
        """Sends a message; one that cannot arrive is dropped, for `receive` will see the death."""
        with suppress(OSError):
            self._connection.send(message)

    def receive(self) -> FromWorker | None:
        """Returns its next message, None if there is none now.

        Raises:
            EOFError: There will never be one again.
            pickle.UnpicklingError: The message cannot be read here.
        """
        try:
            if not self._connection.poll():
                if self._death is not None and self._dead():
                    raise EOFError
                return None
            content = self._connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        try:
            message: FromWorker = pickle.loads(content)
        except Exception as error:
            raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
        return message

    def remaining(self) -> Iterator[FromWorker]:
        """Yields what it had sent before it was killed."""
        while wait_for(self.watched, EXIT_S):
            try:
                message = self.receive()
            except (EOFError, pickle.UnpicklingError):
                return
            if message is not None:
                yield message

    def _dead(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

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
        try:
            returncode = self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            return Failure(
                FailureKind.CRASH, "the worker process closed its connection to the driver", detail
            )
        oom_kills = cgroup.oom_kills()
        out_of_memory = None not in (oom_kills, self._oom_kills) and oom_kills != self._oom_kills
        return failure_of_exit(returncode, detail=detail, out_of_memory=out_of_memory)

    def output(self) -> str:
        """Returns the end of what it wrote outside of jobs."""
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - TAIL_BYTES)
        return os.pread(self._log.fileno(), TAIL_BYTES, start).decode(errors="replace")

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
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._signal(signal.SIGKILL)  # what it started
        self._connection.close()
        self._log.close()
        if self._death is not None:
            os.close(self._death)
            self._death = None
        return True

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: of a group of zombies
            os.killpg(self.pid, number)


def tail(log: str, start: int) -> str:
    """Returns the end of what was appended to a file since it had `start` bytes."""
    try:
        with open(log, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _death_of(pid: int) -> int | None:
    """Returns a file descriptor that becomes readable when the process ends; Linux only."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
