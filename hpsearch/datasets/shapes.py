"""Shapes: small made-up colour images, for tests and first steps with images."""

from __future__ import annotations

from typing import Any

import numpy as np

NAMES = ("square", "disc", "triangle", "cross")


def load(rows: int = 400, size: int = 32, noise: float = 0.05, seed: int = 0) -> dict[str, Any]:
    """One coloured shape an image, on a ground of another colour; square, disc, triangle, cross; made up.

    Args:
        rows: Images, the same number of each class give or take one. Default: 400.
        size: Height and width. Default: 32.
        noise: Standard deviation of what is added to each pixel. Default: 0.05.
        seed: Of the generator. Default: 0.

    Returns:
        `x` float32 `(rows, size, size, 3)` in 0..1, `y` int32 `(rows,)`.
    """
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(rows) % len(NAMES))
    radius = generator.uniform(0.2, 0.35, size=rows) * size
    centre = generator.uniform(radius, size - radius, size=(2, rows))
    axis = np.arange(size) + 0.5
    down = (axis[None, :, None] - centre[0][:, None, None]) / radius[:, None, None]
    right = (axis[None, None, :] - centre[1][:, None, None]) / radius[:, None, None]
    inside = (np.abs(down) <= 1) & (np.abs(right) <= 1)
    masks = np.stack(
        [
            inside,
            down**2 + right**2 <= 1,
            inside & (2 * np.abs(right) <= 1 + down),
            inside & ((np.abs(down) <= 0.3) | (np.abs(right) <= 0.3)),
        ]
    )
    mask = masks[y, np.arange(rows)][..., None]
    ground = generator.uniform(0, 1, size=(rows, 1, 1, 3))
    colour = (ground + generator.uniform(0.3, 0.7, size=ground.shape)) % 1.0
    x = np.where(mask, colour, ground) + noise * generator.normal(size=(rows, size, size, 3))
    return {
        "x": np.clip(x, 0, 1).astype(np.float32),
        "y": y.astype(np.int32),
        "class_names": NAMES,
    }
