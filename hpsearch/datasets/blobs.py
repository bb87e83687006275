"""Blobs: a tiny made-up classification set, for tests and first steps."""

from __future__ import annotations

from typing import Any

import numpy as np


def load(
    rows: int = 200, features: int = 4, classes: int = 3, spread: float = 0.5, seed: int = 0
) -> dict[str, Any]:
    """Normally distributed clouds around one centre a class; made up, nearly separable.

    Args:
        rows: Samples, the same number of each class give or take one. Default: 200.
        features: Numbers a sample. Default: 4.
        classes: Default: 3.
        spread: Standard deviation of a cloud; the centres' coordinates have 1. Default: 0.5.
        seed: Of the generator. Default: 0.

    Returns:
        `x` float32 `(rows, features)`, `y` int32 `(rows,)`.
    """
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(classes, features))
    y = generator.permutation(np.arange(rows) % classes)
    x = centres[y] + spread * generator.normal(size=(rows, features))
    return {
        "x": x.astype(np.float32),
        "y": y.astype(np.int32),
        "class_names": tuple(f"blob {number}" for number in range(classes)),
    }
