"""One copy of a data set for all workers of a machine.

Whoever starts the workers gives them a file (`use`). The first worker that needs the data loads it and
writes it there; the others wait for that, and all of them map it. So the data is loaded once, a worker that
is started later has it at once, and the memory it takes is the system's page cache, which is there once.

    mark: 64 bytes, written last · what `mapped.write` writes
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import cloudpickle

from hpsearch import mapped

T = TypeVar("T")

_descriptor: int | None = None


def use(descriptor: int) -> None:
    """Has this process share through a file, empty at first, that the other workers have open as well."""
    global _descriptor
    _descriptor = descriptor


def shared(key: str, load: Callable[[], T]) -> T:
    """Returns what `load` returns, from the shared copy if there is one.

    The copy is of one thing; another key, or what cannot be pickled or written, is this process's own.

    Args:
        key: Names what is loaded.
        load: Loads it, in one of the workers.

    Raises:
        Exception: Whatever `load` raises.
    """
    if _descriptor is None:
        return load()
    mark = hashlib.sha512(key.encode()).digest()
    with _alone(_descriptor):
        found = os.pread(_descriptor, len(mark), 0)
        if found not in (b"", b"\0" * len(mark), mark):
            return load()
        if found != mark:
            loaded = load()
            if not _write(_descriptor, mark, loaded):
                return loaded
            del loaded
    stream, buffers = mapped.read(_descriptor)
    try:
        copy: T = pickle.loads(stream, buffers=buffers)
    except Exception:  # a class of the user's own that another process cannot find
        return load()
    return copy


def _write(descriptor: int, mark: bytes, what: object) -> bool:
    """Writes what was loaded; returns whether it is there."""
    stream = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    try:
        cloudpickle.Pickler(stream, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append).dump(what)
    except Exception:  # whatever the user's objects raise: a preprocessing of their own, for example
        return False
    try:
        os.ftruncate(descriptor, 0)
        with open(descriptor, "r+b", closefd=False) as file:
            file.seek(0)
            file.write(b"\0" * len(mark))
            mapped.write(file, stream.getvalue(), buffers)
        os.pwrite(descriptor, mark, 0)
    except OSError:  # the disk is full
        os.ftruncate(descriptor, 0)
        return False
    return True


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Keeps other processes out; the lock of one that dies is free."""
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
