"""The function that workers run, pickled once into an unlinked file that every worker maps.

Arrays are laid beside the pickle, not in it, and mapped copy-on-write: ten workers hold one copy, a worker
started later costs nothing, and the file is gone with the last process that has it open, however that
process ends.
"""

from __future__ import annotations

import io
import pickle
import sys
from types import FunctionType
from typing import IO, Any

import cloudpickle

from hpsearch import mapped
from hpsearch.errors import SearchError, fault
from hpsearch.executors.unpicklable import unpicklable


def write(file: IO[bytes], objects: dict[str, object]) -> None:
    """Pickles `objects` into a file; what is defined in `__main__` goes by value.

    Raises:
        UsageError: Something cannot be pickled; the message names it by its path from a name in `objects`.
        SearchError: The file cannot be written.
    """
    stream = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(stream, buffers.append)
    try:
        pickler.dump(list(objects))
        for each in objects.values():
            pickler.dump(each)
        pickler.dump(pickler.of_main)
    except Exception as error:
        raise unpicklable(objects, error) from error
    try:
        mapped.write(file, stream.getvalue(), buffers)
    except OSError as error:
        raise SearchError(
            fault(
                "executor",
                "the model and data could not be written to a temporary file for the workers",
                received=str(error),
                advice="Set TMPDIR to a folder with enough space.",
            )
        ) from error


def read(descriptor: int) -> dict[str, Any]:
    """Reads what `write` wrote, and makes the driver's `__main__` objects findable in this `__main__`.

    Pickle looks classes up by module and name, and so can whoever loads a saved model with custom layers.
    """
    unpickler = _unpickler(descriptor)
    objects = {name: unpickler.load() for name in unpickler.load()}
    vars(sys.modules["__main__"]).update(unpickler.load())
    return objects


def read_first(descriptor: int) -> Any:
    """Reads the first object alone: nothing is imported for the others."""
    unpickler = _unpickler(descriptor)
    unpickler.load()
    return unpickler.load()


def _unpickler(descriptor: int) -> pickle.Unpickler:
    stream, buffers = mapped.read(descriptor)
    return pickle.Unpickler(io.BytesIO(stream), buffers=buffers)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Remembers the classes and functions of `__main__` that it pickled by value."""

    def __init__(self, stream: IO[bytes], buffer_callback: object) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=buffer_callback)
        self.of_main: dict[str, object] = {}

    def reducer_override(self, obj: object) -> Any:
        reduced = super().reducer_override(obj)
        if (
            reduced is not NotImplemented
            and isinstance(obj, type | FunctionType)
            and obj.__module__ == "__main__"
            and obj.__qualname__.isidentifier()  # not of a function or class: no dots
        ):
            self.of_main[obj.__qualname__] = obj
        return reduced
