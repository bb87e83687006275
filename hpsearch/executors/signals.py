"""Ctrl-C must not tear a message in two."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has none
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NUMBERS = (int(signal.SIGINT), int(signal.SIGTERM))


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Holds SIGINT and SIGTERM back while messages are read or written, then delivers them.

    Only signals with a Python handler, and only in the main thread, where Python runs handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {}
    # Those of `signal` make enums of numbers, which took longer than all else here: 50 times a trial.
    for number in _NUMBERS:
        handler = _signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            _signal.signal(number, lambda received, _frame: held.append(received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            _signal.signal(number, handler)
    for received in held:
        signal.raise_signal(received)
