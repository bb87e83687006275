"""The driver's side of the fork server: it is started when a worker is wanted, and again should it die."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress

from hpsearch.executors.forkserver import FORK, MESSAGE_BYTES, WAIT
from hpsearch.executors.process import Setting, death_of, end_of, start

REPLY_S = 5.0
"""How long the fork server may take to tell the exit code of a process that has ended."""


def can_fork() -> bool:
    """Whether this system tells the end of a process that is another one's child: Linux from 5.3."""
    death = death_of(os.getpid()) if sys.platform == "linux" else None
    if death is not None:
        os.close(death)
    return death is not None


class ForkServers:
    """Makes worker processes that are copies of one, which has warmed up; of another one, should it die.

    Args:
        setting: What it is started with, and so are the workers.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._current: ForkServer | None = None

    def fork(self, connection_fd: int, log_fd: int) -> Forked:
        """Asks for a worker, which says its process id first of all, once the fork server is warm.

        Raises:
            SearchError: The system refuses to start another process.
        """
        while True:
            if self._current is None or self._current.process.poll() is not None:
                self.close()
                self._current = ForkServer(self._setting)
            with suppress(ConnectionError):  # it has just died
                self._current.ask(connection_fd, log_fd)
                return Forked(self._current)

    def close(self) -> None:
        """Ends the process."""
        if self._current is not None:
            self._current.kill()


class ForkServer:
    """The process that workers become copies of.

    Raises:
        SearchError: The system refuses to start another process.
    """

    def __init__(self, setting: Setting) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = start("forkserver", theirs.fileno(), self._log.fileno(), setting)

    def ask(self, connection_fd: int, log_fd: int) -> None:
        """Asks for a copy.

        Raises:
            ConnectionError: It is dead.
        """
        socket.send_fds(self._control, [FORK], [connection_fd, log_fd])

    def exit_code(self, pid: int) -> int:
        """Returns the exit code of a copy that has ended; SIGKILL, if this process died with its copies."""
        with suppress(OSError, ValueError):
            self._control.send(WAIT + str(pid).encode())
            if select.select([self._control], [], [], REPLY_S)[0]:
                return int(self._control.recv(MESSAGE_BYTES))
        self.kill()  # it does not answer
        return -signal.SIGKILL

    def kill(self) -> None:
        """Kills it, and with it its copies."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        """Returns the end of what it wrote."""
        return end_of(self._log)


class Forked:
    """A worker process that is a copy of the fork server, or will be."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self._returncode: int | None = None
        self.pid: int | None = None
        self.death: int | None = None

    def born(self, pid: int) -> None:
        """Takes in what the worker says first."""
        self.pid, self.death = pid, death_of(pid)

    def wait(self, timeout_s: float) -> int | None:
        """Returns its exit code, below 0 a signal; None if it has not ended within a time."""
        if self._returncode is not None:
            return self._returncode
        if self.pid is None:
            with suppress(subprocess.TimeoutExpired):
                self._returncode = self._server.process.wait(timeout_s)
        elif self.death is None or select.select([self.death], [], [], timeout_s)[0]:
            self._returncode = self._server.exit_code(self.pid)
        return self._returncode

    def kill_unborn(self) -> None:
        """Kills what it would have been a copy of: that hangs, or nobody needs it any more."""
        self._server.kill()

    def said(self) -> str:
        """Returns the end of what was written before it had its own log."""
        return self._server.said()

    def close(self) -> None:
        """Forgets a process that has ended."""
        if self.death is not None:
            os.close(self.death)
            self.death = None
