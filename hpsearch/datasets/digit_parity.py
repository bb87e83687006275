"""Digit parity: one image, two targets, for models of several outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.datasets.digit_images import image_parts


def load(images: str = "digits", path: str | None = None, seed: int = 0) -> dict[str, Any]:
    """Images of digits with two targets: which digit it is, and whether it is odd.

    Args:
        images: `digits` (8x8, scikit-learn's) or `mnist` (28x28). Default: `digits`.
        path: Where MNIST lies, as for the data set `mnist`.
        seed: Of the split of `digits`. Default: 0.

    Returns:
        `x` float32 `(rows, height, width)` in 0..1; `y` with `digit` int32 in 0..9 and `odd` int32, 0 or 1;
        training, validation and test.

    Raises:
        DataError: There are no such images, or they are missing.
    """
    loaded: dict[str, Any] = {}
    for part, x, digit in image_parts(images, path, seed):
        loaded[f"x_{part}"] = x
        loaded[f"y_{part}"] = {"digit": digit.astype(np.int32), "odd": (digit % 2).astype(np.int32)}
    return loaded
