"""The IDX format of MNIST and its relatives, and the several places such files may lie in.

Source: http://yann.lecun.com/exdb/mnist (format); Fashion-MNIST and others use the same four files.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> Array:
    """Reads one IDX file, gzipped or not.

    Raises:
        DataError: It is not an IDX file, or is cut off.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as failure:
        raise DataError(fault(str(path), "cannot be read", received=str(failure))) from failure
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise DataError(
            fault(str(path), "not an IDX file", expected="a magic number 00 00 <type> <dimensions>")
        )
    start = 4 + 4 * raw[3]
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">i4"))
    dtype = np.dtype(_TYPES[raw[2]])
    expected = start + int(np.prod(shape)) * dtype.itemsize
    if len(raw) != expected:
        raise DataError(
            fault(
                str(path),
                "is cut off",
                expected=f"{expected} bytes for {shape}",
                received=f"{len(raw)} bytes",
            )
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def load_images(
    name: str,
    *,
    path: str | None,
    flat: bool,
    train_rows: int | None,
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """Loads 28x28 grey images in the form of MNIST, from a folder, a file, or Keras's own cache.

    Looked for in this order: `path`; `$HPSEARCH_DATA_DIR/<name>`; what `keras.datasets` downloads.

    Args:
        name: `mnist` or `fashion_mnist`.
        path: A folder with the four IDX files (gzipped or not) or `<name>.npz`, or such a file itself.
        flat: Whether an image is a row of 784 numbers instead of `(28, 28, 1)`.
        train_rows: How many of the training rows to keep, the first ones. Default: all.
        class_names: In the order of the labels.

    Returns:
        `x_train`, `y_train`, `x_test`, `y_test`, `class_names`; images are float32 in 0..1.

    Raises:
        DataError: The files are missing or malformed, or cannot be downloaded.
    """
    arrays = _arrays(name, path)
    if train_rows is not None and not 1 <= train_rows <= len(arrays["x_train"]):
        raise DataError(
            fault(
                "data.options.train_rows",
                "out of range",
                expected=f"1 to {len(arrays['x_train'])}",
                received=train_rows,
            )
        )
    kept = {"train": train_rows, "test": None}
    images = {
        f"x_{part}": _scaled(arrays[f"x_{part}"][: kept[part]], flat=flat) for part in ("train", "test")
    }
    labels = {f"y_{part}": arrays[f"y_{part}"][: kept[part]].astype(np.int32) for part in ("train", "test")}
    return {**images, **labels, "class_names": class_names}


def _scaled(images: Array, *, flat: bool) -> Array:
    shape = (len(images), -1) if flat else (*images.shape[:3], 1)
    return (images.astype(np.float32) / np.float32(255)).reshape(shape)


def _arrays(name: str, path: str | None) -> dict[str, Array]:
    if path is not None:
        return _from_place(name, Path(path).expanduser(), where="data.options.path")
    root = os.environ.get("HPSEARCH_DATA_DIR")
    if root and (place := Path(root).expanduser() / name).exists():
        return _from_place(name, place, where="HPSEARCH_DATA_DIR")
    return _from_keras(name)


def _from_place(name: str, place: Path, *, where: str) -> dict[str, Array]:
    file = place if place.suffix == ".npz" else place / f"{name}.npz"
    if file.is_file():
        with np.load(file) as archive:
            if missing := FILES.keys() - set(archive.files):
                raise DataError(
                    fault(
                        str(file),
                        f"has no {', '.join(sorted(missing))}",
                        expected="x_train, y_train, x_test, y_test",
                        received=", ".join(archive.files),
                    )
                )
            return {key: archive[key] for key in FILES}
    found = {
        key: next((p for p in (place / f"{stem}.gz", place / stem) if p.is_file()), None)
        for key, stem in FILES.items()
    }
    if missing_files := [FILES[key] for key, file in found.items() if file is None]:
        problem = (
            f"`{place}` holds no {missing_files[0]}(.gz)" if place.is_dir() else f"`{place}` does not exist"
        )
        raise DataError(
            fault(where, problem, expected=f"a folder with the four IDX files of {name}, or {name}.npz")
        )
    return {key: read_idx(file) for key, file in found.items() if file is not None}


def _from_keras(name: str) -> dict[str, Array]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as failure:
        raise DataError(
            fault(
                f"data {name}",
                "is not in Keras's cache and cannot be downloaded",
                received=f"{type(failure).__name__}: {failure}",
                advice=f"Give the folder that holds it: `data.options.path`, or set HPSEARCH_DATA_DIR to the "
                f"folder above `{name}`.",
            )
        ) from failure
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
