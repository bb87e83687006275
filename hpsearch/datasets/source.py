"""What a loader may return, brought into one form before it is split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from hpsearch.datasets.batches import gather, is_batched
from hpsearch.datasets.data import Array, Arrays, Preprocessing, Split
from hpsearch.datasets.streamed import Streamed
from hpsearch.errors import DataError, did_you_mean, fault

FORMS = (
    "`(x, y)`, `((x_train, y_train), (x_test, y_test))`, or a dict with `x` and `y` or with `x_train`, "
    "`y_train`, `x_test`, `y_test`"
)
_PARTS = ("train", "validation", "test")
_KEYS = {
    f"{array}{part}" for array in ("x", "y", "sample_weight") for part in ("", *(f"_{p}" for p in _PARTS))
}


@dataclass(frozen=True, eq=False)
class Source:
    """Rows as a loader gave them.

    Attributes:
        train: All rows that are still to be split.
        validation: Rows the source itself sets apart, or None.
        test: Likewise.
        class_names: In the order of the class numbers, or None if the source does not say.
        preprocess: Fits what turns inputs as they are into inputs to train on, and returns it; it is
            shown the training rows alone.
        groups: The group of each row of `train`, `(rows,)`, where all rows of a group belong into one split.
        overlap: Where the rows are in order of time, the number of rows after each that share
            something with it, such as steps of a window; None where they have no order.
    """

    train: Split
    validation: Split | None = None
    test: Split | None = None
    class_names: tuple[str, ...] | None = None
    preprocess: Callable[[Arrays], Preprocessing] | None = None
    overlap: int | None = None
    groups: Array | None = None


def read_source(loaded: object, *, where: str) -> Source:
    """Brings what a loader returned into one form.

    Args:
        loaded: One of `FORMS`; `x` and `y` may be anything NumPy makes an array of, or dicts of such
            by input and output name. In the place of `(x, y)`, a `keras.utils.PyDataset` or a
            `tf.data.Dataset`, which is read into memory.
        where: Names the data set, for messages.

    Raises:
        DataError: It is none of the forms, or an array cannot be used.
    """
    if is_batched(loaded):
        loaded = gather(loaded, where=where)
    elif isinstance(loaded, tuple) and loaded and all(is_batched(part) for part in loaded):
        loaded = tuple(gather(part, where=where) for part in loaded)
    if isinstance(loaded, Mapping):
        return _from_dict(dict(loaded), where)
    if isinstance(loaded, tuple) and len(loaded) in (2, 3):
        if all(isinstance(part, tuple) for part in loaded):
            parts = [_split(*_pair(part, where), where=where) for part in loaded]
            train, *validation, test = parts
            return Source(train, validation[0] if validation else None, test)
        return Source(_split(*_pair(loaded, where), where=where))
    raise DataError(
        fault(where, "not a form that is understood", expected=FORMS, received=_described(loaded))
    )


def read_inputs(x: object, *, where: str) -> Arrays:
    """Brings inputs into the form of a split: arrays, or a mapping of them.

    Raises:
        DataError: They are neither.
    """
    return _arrays("x", x, where)


def _pair(part: tuple[Any, ...], where: str) -> tuple[Any, Any, Any]:
    if len(part) not in (2, 3):
        raise DataError(
            fault(
                where,
                "a part has the wrong number of arrays",
                expected="(x, y)",
                received=f"{len(part)} arrays",
            )
        )
    x, y, sample_weight = (*part, None)[:3]
    return x, y, sample_weight


def _from_dict(loaded: dict[str, Any], where: str) -> Source:
    known = _KEYS | {"class_names", "preprocess", "overlap", "groups"}
    if "x_val" in loaded or "y_val" in loaded:
        loaded = {
            key.replace("_val", "_validation") if key in ("x_val", "y_val") else key: value
            for key, value in loaded.items()
        }
    unknown = [key for key in loaded if key not in known]
    if unknown:
        raise DataError(
            fault(
                where,
                f"unknown key `{unknown[0]}`",
                expected=FORMS,
                received=", ".join(map(str, loaded)),
                advice=did_you_mean(str(unknown[0]), known),
            )
        )
    whole = "x" in loaded
    train = _part(loaded, "" if whole else "_train", where)
    validation, test = (
        _part(loaded, f"_{part}", where) if f"x_{part}" in loaded or f"y_{part}" in loaded else None
        for part in ("validation", "test")
    )
    if whole and ("x_train" in loaded or "y_train" in loaded):
        raise DataError(fault(where, "both `x` and `x_train` are there", expected=FORMS))
    class_names = loaded.get("class_names")
    names = None if class_names is None else tuple(str(name) for name in np.asarray(class_names).ravel())
    groups = _groups(loaded.get("groups"), len(train), where)
    return Source(train, validation, test, names, loaded.get("preprocess"), loaded.get("overlap"), groups)


def _groups(given: object, rows: int, where: str) -> Array | None:
    if given is None:
        return None
    groups = _array("groups", given, where)
    if groups.shape != (rows,):
        expected = f"one group for each of the {rows} rows that are still to be split"
        received = f"shape {groups.shape}"
        raise DataError(fault(where, "`groups` does not fit", expected=expected, received=received))
    return groups


def _part(loaded: dict[str, Any], suffix: str, where: str) -> Split:
    missing = [key for key in (f"x{suffix}", f"y{suffix}") if key not in loaded]
    if missing:
        raise DataError(
            fault(
                where, f"there is no `{missing[0]}`", expected=FORMS, received=", ".join(loaded) or "no keys"
            )
        )
    return _split(
        loaded[f"x{suffix}"], loaded[f"y{suffix}"], loaded.get(f"sample_weight{suffix}"), where=where
    )


def _split(x: object, y: object, sample_weight: object, *, where: str) -> Split:
    weight = None if sample_weight is None else _numbers("sample_weight", sample_weight, where)
    try:
        return Split(_arrays("x", x, where), _arrays("y", y, where), weight)
    except DataError as failure:
        raise DataError(str(failure).replace("data: ", f"{where}: ", 1)) from None


def _arrays(label: str, given: object, where: str) -> Arrays:
    if isinstance(given, Mapping):
        return {str(name): _array(f"{label}[{name}]", value, where) for name, value in given.items()}
    return _array(label, given, where)


def _array(label: str, given: object, where: str) -> Array:
    """Targets may be text here, inputs too where the model reads text (`keras.layers.TextVectorization`)."""
    if isinstance(given, Streamed):
        return cast(Array, given)  # it stands for one
    try:
        array = np.asarray(given)
        if array.dtype == object:
            array = _of_objects(array)
    except (ValueError, TypeError) as failure:
        raise DataError(fault(where, f"`{label}` is not an array", received=str(failure))) from failure
    if array.dtype.kind not in "biufUS" or array.ndim == 0:
        raise DataError(
            fault(
                where,
                f"`{label}` cannot be used",
                expected="an array of numbers or text, rows first",
                received=_described(given),
            )
        )
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _numbers(label: str, given: object, where: str) -> Array:
    array = _array(label, given, where)
    if array.dtype.kind in "US":
        raise DataError(
            fault(where, f"`{label}` is not numeric", expected="numbers", received=array.dtype.name)
        )
    return array


def _of_objects(array: Array) -> Array:
    """Columns of pandas hold Python objects; text stays text, a missing value is a missing value."""
    flat = array.ravel().tolist()
    if any(value is None or value != value for value in flat):
        raise ValueError("a value is missing (None or NaN)")
    kinds = {type(value) for value in flat}
    if kinds <= {str} or kinds <= {bool} or kinds <= {int, float, bool}:
        return np.array(flat).reshape(array.shape)
    raise TypeError("values of type " + ", ".join(sorted(kind.__name__ for kind in kinds)))


def _described(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"an array of shape {given.shape} and type {given.dtype}"
    if isinstance(given, tuple):
        return f"a tuple of {len(given)}: {', '.join(type(part).__name__ for part in given)}"
    return type(given).__name__
