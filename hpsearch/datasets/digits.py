"""Digits: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (no download)."""

from __future__ import annotations

from typing import Any

import numpy as np


def load(flat: bool = True) -> dict[str, Any]:
    """1,797 handwritten digits of 8x8 pixels, 10 classes; comes with scikit-learn.

    Source: `sklearn.datasets.load_digits` (UCI, Alpaydin and Kaynak, 1998; the test part of it).

    Args:
        flat: Whether `x` is `(rows, 64)` instead of `(rows, 8, 8, 1)`. Default: True.

    Returns:
        `x` float32 in 0..1, `y` int32 in 0..9.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images / 16.0).astype(np.float32)
    return {
        "x": x.reshape(len(x), 64) if flat else x[..., np.newaxis],
        "y": bunch.target.astype(np.int32),
        "class_names": tuple(str(digit) for digit in range(10)),
    }
