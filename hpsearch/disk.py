"""A full disk is waited for: somebody will make room, and a week's search should still be there then."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

RETRY_S = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """Whether there was no room left, on the disk or in the user's quota."""
    return error.errno in _FULL


def patiently(action: Callable[[], T], on_full: Callable[[OSError], None]) -> T:
    """Does `action`, again and again as long as the disk is full.

    Args:
        action: May be repeated after it failed.
        on_full: Called once, when there is no room.

    Raises:
        OSError: Anything else is wrong.
    """
    told = False
    while True:
        try:
            return action()
        except OSError as error:
            if not is_full(error):
                raise
            if not told:
                on_full(error)
            told = True
            time.sleep(RETRY_S)
