"""CIFAR-10: 60,000 colour pictures of 32x32 pixels (Krizhevsky, 2009)."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.datasets import npz
from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
KEYS = ("x_train", "y_train", "x_test", "y_test")
PIXELS = 3 * 32 * 32
_FORMS = (
    "cifar10.npz, or data_batch_1 to data_batch_5 and test_batch, all with the ending .bin or all without"
)


def load(path: str | None = None, train_rows: int | None = None) -> dict[str, Any]:
    """60,000 colour pictures of 32x32 pixels, 10 classes of animals and vehicles; 10,000 for the test.

    A folder may hold `cifar10.npz` with the arrays that `keras.datasets.cifar10` returns, or the six files of
    CIFAR-10's binary or Python version, also in its own sub-folder `cifar-10-batches-bin` or
    `cifar-10-batches-py`.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html

    Args:
        path: The folder, or the `.npz` file. Default: `$HPSEARCH_DATA_DIR/cifar10`, then Keras's cache, then
            a download by Keras.
        train_rows: Keep only the first training rows. Default: all 50,000.

    Returns:
        `x` float32 `(rows, 32, 32, 3)` in 0..1, `y` int32 in 0..9, training and test.

    Raises:
        DataError: The files are missing or malformed, or cannot be downloaded.
    """
    arrays = _arrays(path)
    if train_rows is not None and not 1 <= train_rows <= len(arrays["x_train"]):
        expected = f"1 to {len(arrays['x_train'])}"
        raise DataError(
            fault("data.options.train_rows", "out of range", expected=expected, received=train_rows)
        )
    loaded: dict[str, Any] = {"class_names": CLASS_NAMES}
    for part, rows in (("train", train_rows), ("test", None)):
        loaded[f"x_{part}"] = arrays[f"x_{part}"][:rows].astype(np.float32) / np.float32(255)
        loaded[f"y_{part}"] = arrays[f"y_{part}"][:rows].reshape(-1).astype(np.int32)
    return loaded


def _arrays(path: str | None) -> dict[str, Array]:
    root = os.environ.get("HPSEARCH_DATA_DIR")
    if path is not None:
        return _from_place(Path(path).expanduser(), where="data.options.path")
    if root and (place := Path(root).expanduser() / "cifar10").exists():
        return _from_place(place, where="HPSEARCH_DATA_DIR")
    return _from_keras()


def _from_place(place: Path, *, where: str) -> dict[str, Array]:
    file = place if place.suffix == ".npz" else place / "cifar10.npz"
    if file.is_file():
        return _from_archive(file)
    first = BATCHES["train"][0]
    for folder in (place, place / "cifar-10-batches-bin", place / "cifar-10-batches-py"):
        for ending in (".bin", ""):
            if (folder / f"{first}{ending}").is_file():
                return _from_batches(folder, ending)
    problem = f"`{place}` holds no {first}" if place.is_dir() else f"`{place}` does not exist"
    raise DataError(fault(where, problem, expected=f"a folder with {_FORMS}"))


def _from_archive(file: Path) -> dict[str, Array]:
    arrays = npz.load(str(file))
    if missing := [key for key in KEYS if key not in arrays]:
        raise DataError(
            fault(
                str(file),
                f"has no {', '.join(missing)}",
                expected=", ".join(KEYS),
                received=", ".join(arrays),
            )
        )
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.shape[1:] != (32, 32, 3) or y.size != len(x):
            raise DataError(
                fault(
                    str(file),
                    f"x_{part} and y_{part} are not CIFAR-10's",
                    expected="pictures (rows, 32, 32, 3), and a label for each",
                    received=f"{x.shape} and {y.shape}",
                )
            )
    return {key: arrays[key] for key in KEYS}


def _from_batches(folder: Path, ending: str) -> dict[str, Array]:
    read = _read_binary if ending else _read_pickled
    arrays = {}
    for part, stems in BATCHES.items():
        files = [folder / f"{stem}{ending}" for stem in stems]
        if missing := [file.name for file in files if not file.is_file()]:
            raise DataError(fault(str(folder), f"holds no {missing[0]}", expected=_FORMS))
        images, labels = zip(*(read(file) for file in files), strict=True)
        # The files hold a picture's red plane, then its green and its blue one.
        arrays[f"x_{part}"] = np.concatenate(images).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        arrays[f"y_{part}"] = np.concatenate(labels)
    return arrays


def _read_binary(file: Path) -> tuple[Array, Array]:
    raw = np.fromfile(file, np.uint8)
    if len(raw) == 0 or len(raw) % (1 + PIXELS):
        expected = f"a multiple of {1 + PIXELS} bytes, a label and {PIXELS} pixels a picture"
        raise DataError(fault(str(file), "is cut off", expected=expected, received=f"{len(raw)} bytes"))
    rows = raw.reshape(-1, 1 + PIXELS)
    return rows[:, 1:], rows[:, 0]


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, numbers and texts, and runs nothing else that a file names."""

    def find_class(self, module: str, name: str) -> Any:
        array = module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        if (array and name in ("_reconstruct", "ndarray", "dtype")) or (module, name) == (
            "_codecs",
            "encode",
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _read_pickled(file: Path) -> tuple[Array, Array]:
    try:
        with file.open("rb") as stream:
            batch = _ArraysOnly(stream, encoding="bytes").load()
        images, labels = np.asarray(batch[b"data"], np.uint8), np.asarray(batch[b"labels"])
        if images.shape != (len(labels), PIXELS):
            raise ValueError(f"{len(labels)} labels, data of shape {images.shape}")
    except Exception as failure:  # a damaged pickle raises anything
        expected = f"a dict with `data` (rows, {PIXELS}) and `labels`"
        received = f"{type(failure).__name__}: {failure}"
        raise DataError(
            fault(str(file), "not a batch of CIFAR-10", expected=expected, received=received)
        ) from failure
    return images, labels


def _from_keras() -> dict[str, Array]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as failure:
        raise DataError(
            fault(
                "data cifar10",
                "is not in Keras's cache and cannot be downloaded",
                received=f"{type(failure).__name__}: {failure}",
                advice="Give the folder that holds it: `data.options.path`, or set HPSEARCH_DATA_DIR to the "
                "folder above `cifar10`.",
            )
        ) from failure
    return dict(zip(KEYS, (x_train, y_train, x_test, y_test), strict=True))
