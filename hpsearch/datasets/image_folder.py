"""Pictures in a folder: one sub-folder a class, named as the class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
PARTS = ("train", "validation", "test")


def load(path: str, size: int | Sequence[int] | None = None, grey: bool = False) -> dict[str, Any]:
    """Pictures of a folder with a sub-folder for each class, PNG, JPEG and the like; all in memory.

    Where the folder has sub-folders `train` and `test`, and maybe `validation`, each of these holds one
    sub-folder a class, and the data set comes already split.

    Args:
        path: The folder. A relative path starts at the working folder.
        size: Height and width in pixels to which each picture is scaled; one number for a square.
            Default: as they are, which has to be the same for all.
        grey: Whether to make them grey, with one channel instead of three. Default: False.

    Returns:
        `x` float32 `(rows, height, width, 3)` in 0..1, `y` int32, the class names.

    Raises:
        DataError: There is no such folder, a class without pictures, or a picture that cannot be read
            or has another size; the message names it.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(
            fault(
                "data.options.path",
                "the folder does not exist",
                expected="a folder with one sub-folder a class",
                received=str(root.absolute()),
            )
        )
    shape = _shape(size)
    parts = [part for part in PARTS if (root / part).is_dir()]
    if "train" not in parts or "test" not in parts:
        classes = _classes(root)
        x, y = _read(classes, shape, grey)
        return {"x": x, "y": y, "class_names": tuple(classes)}
    loaded: dict[str, Any] = {}
    for part in parts:
        classes = _classes(root / part)
        expected = loaded.setdefault("class_names", tuple(classes))
        if tuple(classes) != expected:
            raise DataError(
                fault(
                    str(root / part),
                    "other classes than in training",
                    expected=", ".join(expected),
                    received=", ".join(classes),
                )
            )
        loaded[f"x_{part}"], loaded[f"y_{part}"] = _read(classes, shape, grey)
    return loaded


def _shape(size: object) -> tuple[int, int] | None:
    """Returns height and width."""
    if size is None:
        return None
    both = [size, size] if isinstance(size, int) else size
    if isinstance(both, list | tuple) and len(both) == 2:
        height, width = both
        if all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in both):
            return height, width
    raise DataError(
        fault("data.options.size", "wrong value", expected="pixels, or [height, width]", received=size)
    )


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Returns the pictures of each class, in the order of their names."""
    folders = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    if len(folders) < 2:
        raise DataError(
            fault(
                str(folder),
                "too few classes",
                expected="a sub-folder for each, at least two",
                received=", ".join(each.name for each in folders) or "no sub-folder",
            )
        )
    classes = {each.name: [file for file in sorted(each.iterdir()) if _is_picture(file)] for each in folders}
    for name, files in classes.items():
        if not files:
            others = [file.name for file in sorted((folder / name).iterdir())]
            raise DataError(
                fault(
                    str(folder / name),
                    f"class `{name}` has no pictures",
                    expected=", ".join(f"*{ending}" for ending in ENDINGS),
                    received=", ".join(others[:5]) or "an empty folder",
                )
            )
    return classes


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()


def _read(classes: dict[str, list[Path]], shape: tuple[int, int] | None, grey: bool) -> tuple[Array, Array]:
    files = [file for each in classes.values() for file in each]
    first = _picture(files[0], shape, grey)
    x = np.empty((len(files), *first.shape), dtype=np.float32)
    for row, file in enumerate(files):
        picture = _picture(file, shape, grey)
        if picture.shape != first.shape:
            raise DataError(
                fault(
                    str(file),
                    "another size than the other pictures",
                    expected=f"{first.shape[1]}x{first.shape[0]} pixels as {files[0].name}",
                    received=f"{picture.shape[1]}x{picture.shape[0]}",
                    advice="Give `data.options.size` to scale them all: [height, width].",
                )
            )
        x[row] = picture
    x /= np.float32(255)
    counts = [len(each) for each in classes.values()]
    return x, np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def _picture(file: Path, shape: tuple[int, int] | None, grey: bool) -> Array:
    """Reads one picture, `(height, width, channels)` of 0..255."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            picture = opened.convert("L" if grey else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as failure:
        raise DataError(
            fault(str(file), "the picture cannot be read", received=f"{type(failure).__name__}: {failure}")
        ) from failure
    if shape is not None and picture.size != shape[::-1]:
        picture = picture.resize(shape[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[..., np.newaxis] if grey else pixels
