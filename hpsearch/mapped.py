"""Pickles whose arrays lie beside them in the file, so that processes can map them instead of copying.

array · array · ... · pickle of (spans of the arrays, stream) · length of that pickle, 8 bytes
"""

from __future__ import annotations

import mmap
import pickle
import struct
from collections.abc import Iterable
from typing import IO

ALIGNMENT = 64  # bytes; what NumPy's and TensorFlow's vector instructions like
LENGTH = struct.Struct("<Q")


def write(file: IO[bytes], stream: bytes, buffers: Iterable[pickle.PickleBuffer]) -> None:
    """Appends a pickle and its out-of-band buffers to a file; memory that occurs twice is written once.

    Raises:
        OSError: The file cannot be written.
    """
    spans: list[tuple[int, int]] = []
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for buffer in buffers:
        raw = buffer.raw()
        memory = (_address(raw), raw.nbytes)
        if memory not in known:
            file.write(b"\0" * (-file.tell() % ALIGNMENT))
            known[memory] = (file.tell(), raw.nbytes)
            file.write(raw)
        spans.append(known[memory])
    index = pickle.dumps((spans, stream))
    file.write(index)
    file.write(LENGTH.pack(len(index)))
    file.flush()


def read(descriptor: int) -> tuple[bytes, list[memoryview]]:
    """Maps what `write` appended last; returns the pickle and its buffers.

    What is written to the buffers is seen by this process alone.
    """
    view = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    (length,) = LENGTH.unpack(view[-LENGTH.size :])
    spans, stream = pickle.loads(view[-LENGTH.size - length : -LENGTH.size])
    return stream, [view[start : start + size] for start, size in spans]


def _address(raw: memoryview) -> int:
    import numpy as np

    return int(np.frombuffer(raw, np.uint8).__array_interface__["data"][0]) if raw.nbytes else 0
