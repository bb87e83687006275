"""What a command that serves pages until Ctrl-C needs: a free port, and that `kill` ends it like Ctrl-C."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hpsearch.errors import UsageError, fault

_PORTS_TRIED = 20


def free_port(command: str, host: str, port: int | None, first: int, say: Callable[[str], None]) -> int:
    """Returns a port to listen on.

    Args:
        command: The name of the command, for messages.
        host: Address to listen on.
        port: What the user asked for. Default: the first free one from `first`.
        first: The usual port.
        say: Is told if the usual port is taken.

    Raises:
        UsageError: It is taken, or all that were tried are.
    """
    candidates = [port] if port is not None else range(first, first + _PORTS_TRIED)
    for candidate in candidates:
        if _is_free(host, candidate):
            if port is None and candidate != first:
                say(f"Port {first} is taken; using {candidate}.")
            return candidate
    taken = f"port {port}" if port is not None else f"ports {first} to {candidates[-1]}"
    advice = "Name a free one with `--port`."
    raise UsageError(fault(command, f"{taken} of {host} cannot be used", advice=advice))


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError):
        return False
    return True


@contextmanager
def stoppable() -> Iterator[None]:
    """Treats the end of the terminal, and `kill`, like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
