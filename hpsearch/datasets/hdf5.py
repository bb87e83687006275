"""Any data set in an HDF5 file, also one that is larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.datasets.streamed import Streamed
from hpsearch.errors import DataError, did_you_mean, fault

if TYPE_CHECKING:
    import h5py

PARTS = ("train", "validation", "test")


def load(path: str, x: str = "x", y: str = "y") -> dict[str, Any]:
    """Arrays of an HDF5 file: `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`; inputs stay on disk.

    Each batch is read when it is needed; targets are kept in memory. A group in the place of `x` holds
    one array for each input, by its name. Further arrays are understood too: `class_names`, `sample_weight`
    (or `sample_weight_train`, ...). Rows are read in random order: that is fast where they are not
    compressed, or where a chunk holds few of them.

    A model with a `fit` of its own gets inputs that Keras does not take as they are: `x[rows]` reads rows.

    Args:
        path: The file. A relative path starts at the working folder.
        x: Name of the inputs in the file, such as `train/images`. Default: `x`.
        y: Name of the targets. Default: `y`.

    Returns:
        `x` `(rows, ...)`, streamed; `y` as it is in the file.

    Raises:
        DataError: The file is missing or malformed.
    """
    import h5py

    place = Path(path).expanduser()
    if not place.is_file():
        raise DataError(
            fault(
                "data.options.path",
                "the file does not exist",
                expected="an HDF5 file",
                received=str(place.absolute()),
            )
        )
    try:
        file = h5py.File(place, "r")  # open as long as its rows may be read
    except OSError as failure:
        raise DataError(fault(str(place), "cannot be read as HDF5", received=str(failure))) from failure
    parts = [f"_{part}" for part in PARTS if x not in file and f"{x}_{part}" in file] or [""]
    loaded: dict[str, Any] = {}
    for part in parts:
        loaded[f"x{part}"] = _inputs(_found(file, f"{x}{part}", "x"), str(place))
        loaded[f"y{part}"] = _values(_found(file, f"{y}{part}", "y"), str(place))
        if f"sample_weight{part}" in file:
            loaded[f"sample_weight{part}"] = _values(file[f"sample_weight{part}"], str(place))
    if "class_names" in file:
        loaded["class_names"] = _values(file["class_names"], str(place))
    return loaded


def _found(file: h5py.File, name: str, option: str) -> Any:
    if name in file:
        return file[name]
    there: list[str] = []
    file.visit(there.append)
    raise DataError(
        fault(
            f"data.options.{option}",
            f"{file.filename} has no `{name}`",
            expected=", ".join(there[:20]) or "an array, but the file is empty",
            advice=did_you_mean(name, there),
        )
    )


def _inputs(found: Any, where: str) -> Streamed | dict[str, Streamed]:
    import h5py

    if isinstance(found, h5py.Group):
        return {name: _streamed(each, where) for name, each in found.items()}
    return _streamed(found, where)


def _streamed(found: Any, where: str) -> Streamed:
    if getattr(found, "shape", None) in (None, ()) or found.dtype.kind not in "biuf":
        raise DataError(
            fault(
                f"{where}: {found.name}",
                "cannot be an input",
                expected="an array of numbers, rows first",
                received=f"shape {getattr(found, 'shape', None)}, type {getattr(found, 'dtype', None)}",
            )
        )
    return Streamed(found)


def _values(found: Any, where: str) -> Any:
    """Reads an array whole; text becomes Python's."""
    import h5py

    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise DataError(
            fault(f"{where}: {found.name}", "is no array", expected="an array of numbers or text")
        )
    if h5py.check_string_dtype(found.dtype) is not None:
        return np.array(found.asstr()[()].tolist())
    return found[()]
