"""Formats a model can be exported to: one a file here, found by the file's name.

Each holds `FORMAT`, a `Format`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hpsearch.errors import ExperimentError, did_you_mean, fault
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.routes import Route
from hpsearch.export.samples import Arrays
from hpsearch.export.signature import Tensor


class Runner(Protocol):
    """An exported file, running. A new one is in its initial state."""

    ops: tuple[str, ...]
    """Operators in the file."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The file's inputs."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The file's outputs."""

    def __call__(self, inputs: Arrays) -> Arrays:
        """Runs one batch, arrays by name.

        Raises:
            ExportError: It fails.
        """


@dataclass(frozen=True)
class Format:
    """How to write a file and how to run it.

    Attributes:
        suffix: Ending of the file's name.
        convert: Writes the file; raises `ExportError` where the route leads nowhere.
        open: Makes the file ready to run; raises `ExportError` if it cannot.
    """

    suffix: str
    convert: Callable[[Endpoint, Route, Path], None]
    open: Callable[[Path], Runner]


def names() -> tuple[str, ...]:
    """Returns the formats there are."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Format:
    """Returns a format by its name.

    Raises:
        ExperimentError: There is none of that name.
    """
    if name not in names():
        raise ExperimentError(
            fault(
                "export.formats",
                "no such format",
                expected=" or ".join(names()),
                received=name,
                advice=did_you_mean(name, names()),
            )
        )
    form: Format = importlib.import_module(f"{__name__}.{name}").FORMAT
    return form
