"""The driver's side of the fork server: it is started when a worker is wanted, and again should it die."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress

from hpsearch.errors import SearchError
from hpsearch.executors.forkserver import FORK, MESSAGE_BYTES, WAIT
from hpsearch.executors.process import Setting, death_of, end_of, start

REPLY_S = 5.0
"""How long the fork server may take to tell the exit code of a process that has ended."""


class ForkServer:
    """Makes worker processes that are copies of one, which has warmed up.

    Args:
        setting: What it is started with, and so are the workers.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self, connection_fd: int, log_fd: int) -> Forked:
        """Asks for a worker, which says its process id first of all, once the fork server is warm.

        Raises:
            SearchError: The system refuses to start another process.
        """
        while True:
            if self._process is None or self._control is None or self._process.poll() is not None:
                self._process, self._control = self._start()
            with suppress(ConnectionError):  # it has just died
                socket.send_fds(self._control, [FORK], [connection_fd, log_fd])
                return Forked(self, self._process)

    def exit_code(self, pid: int) -> int | None:
        """Returns the exit code of a worker that has ended; None if the fork server is gone."""
        if self._control is None:
            return None
        try:
            self._control.send(WAIT + str(pid).encode())
            return int(self._control.recv(MESSAGE_BYTES))
        except (OSError, ValueError):
            return None

    def kill(self) -> None:
        """Kills the process that workers would have become copies of; the next worker gets another."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def said(self) -> str:
        """Returns the end of what it wrote."""
        return end_of(self._log)

    def close(self) -> None:
        """Ends the process."""
        self.kill()
        if self._control is not None:
            self._control.close()
        self._log.close()

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self._control is not None:
            self._control.close()
        self._log.truncate(0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(REPLY_S)
        with theirs:
            try:
                process = start("forkserver", theirs.fileno(), self._log.fileno(), self._setting)
            except SearchError:
                ours.close()
                raise
        return process, ours


class Forked:
    """A worker process that is a copy of the fork server, or will be."""

    def __init__(self, server: ForkServer, original: subprocess.Popen[bytes]) -> None:
        self._server = server
        self._original = original
        self._death: int | None = None
        self._returncode: int | None = None
        self.pid: int | None = None

    def born(self, pid: int) -> None:
        """Takes in what the worker says first."""
        self.pid = pid
        self._death = death_of(pid)

    @property
    def death(self) -> int | None:
        """A file descriptor that becomes readable when it ends; None before it is born."""
        return self._death

    def wait(self, timeout_s: float) -> int | None:
        """Returns its exit code, below 0 a signal; None if it has not ended within a time."""
        if self._returncode is not None:
            return self._returncode
        if self.pid is None:
            with suppress(subprocess.TimeoutExpired):
                self._returncode = self._original.wait(timeout_s)
        elif self._death is None or select.select([self._death], [], [], timeout_s)[0]:
            code = self._server.exit_code(self.pid)
            self._returncode = -signal.SIGKILL if code is None else code  # the fork server was killed, and it
        return self._returncode

    def kill_unborn(self) -> None:
        """Kills what it would have been a copy of."""
        if self._original.poll() is None:
            self._server.kill()

    def said(self) -> str:
        """Returns the end of what was written before it had its own log."""
        return self._server.said()

    def close(self) -> None:
        """Forgets a process that has ended."""
        if self._death is not None:
            os.close(self._death)
            self._death = None
