"""Formats a model can be exported to: one a file here, found by the file's name.

Each holds `FORMAT`, a `Format`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hpsearch.errors import ExperimentError, UsageError, did_you_mean, fault
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.samples import Arrays
from hpsearch.export.signature import Tensor
from hpsearch.trial import Export, Speed

SAVED_MODEL = "saved_model.pb"
"""By this file one knows a SavedModel, the one format that is a folder."""


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
class Attempt:
    """One way to write a file.

    Attributes:
        write: Writes it; raises `ExportError` where the way leads nowhere.
        batch: The batch size to run the file with; None where it must take any.
        notes: What a user of the file must know.
    """

    write: Callable[[Path], object]
    batch: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """How to write a file and how to run it.

    Attributes:
        suffix: Ending of the file's name.
        attempts: Yields the ways to write the file, best first; the first is taken that gives a right one.
            A way is asked for when those before it have failed.
        open: Makes the file ready to run; raises `ExportError` if it cannot.
        measure: Measures the file's speed on one batch. Default: nothing can.
        float32: Whether the file computes in 32-bit floats, whatever precision the model trained in.
        folder: Whether it is a folder of files.
        quantized: Whether it holds coarser numbers than the model; it is then judged by what it decides.
    """

    suffix: str
    attempts: Callable[[Endpoint, Export], Iterable[Attempt]]
    open: Callable[[Path, Endpoint], Runner]
    measure: Callable[[Path, Arrays], Speed | None] | None = None
    float32: bool = False
    folder: bool = False
    quantized: bool = False


def names() -> tuple[str, ...]:
    """Returns the formats there are."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Format:
    """Returns a format by its name; imports neither Keras nor TensorFlow.

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


def check_target(name: str, target: Path) -> None:
    """Makes sure that a file can be called so.

    Raises:
        UsageError: There is no such format, the file has another ending, or a folder is in its place.
    """
    suffix = find(name).suffix
    if not target.name.endswith(suffix):
        raise UsageError(
            fault(
                str(target),
                f"the file's ending does not fit the format {name}",
                expected=f"`{suffix}`",
                received=f"`{target.suffix}`",
            )
        )
    if find(name).folder:
        if target.exists() and not (target / SAVED_MODEL).is_file():
            what = "something else is in the folder's place"
            raise UsageError(fault(str(target), what, expected=f"nothing, or a folder with `{SAVED_MODEL}`"))
    elif target.is_dir():
        raise UsageError(fault(str(target), "a folder is in the file's place", expected="a file, or nothing"))
