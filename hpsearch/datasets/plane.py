"""Plane: a tiny made-up regression set, for tests and first steps."""

from __future__ import annotations

from typing import Any

import numpy as np


def load(rows: int = 200, features: int = 4, noise: float = 0.1, seed: int = 0) -> dict[str, Any]:
    """A linear function of normally distributed features, plus noise; made up.

    Args:
        rows: Samples. Default: 200.
        features: Numbers a sample. Default: 4.
        noise: Standard deviation of what is added to the target. Default: 0.1.
        seed: Of the generator. Default: 0.

    Returns:
        `x` float32 `(rows, features)`, `y` float32 `(rows,)`.
    """
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features))
    slope = generator.normal(size=features)
    y = x @ slope + 1.0 + noise * generator.normal(size=rows)
    return {"x": x.astype(np.float32), "y": y.astype(np.float32)}
