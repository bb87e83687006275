"""Images of digits for data sets that are made of them: scikit-learn's, or MNIST's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hpsearch.datasets import digits, mnist
from hpsearch.datasets.data import Array
from hpsearch.errors import DataError, fault

PARTS = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)


def image_parts(images: str, path: str | None, seed: int) -> Iterator[tuple[str, Array, Array]]:
    """Yields training, validation and test images, no image in two of them.

    Args:
        images: `digits`, shuffled and split 60:20:20; or `mnist`, whose last 10,000 training images are for
            validation.
        path: Where MNIST lies, as for the data set `mnist`.
        seed: Of the shuffle.

    Yields:
        A part's name, its images `(rows, height, width)` float32 in 0..1, and their digits `(rows,)`.

    Raises:
        DataError: There are no such images, or they are missing.
    """
    if images == "digits":
        loaded = digits.load(flat=False)
        order = np.random.default_rng(seed).permutation(len(loaded["y"]))
        bounds = [round(len(order) * sum(SHARES[:count])) for count in (1, 2)]
        rows = np.split(order, bounds)
        parts = [(loaded["x"][chosen], loaded["y"][chosen]) for chosen in rows]
    elif images == "mnist":
        loaded = mnist.load(path)
        x, y = loaded["x_train"], loaded["y_train"]
        last = len(x) // 6
        parts = [(x[:-last], y[:-last]), (x[-last:], y[-last:]), (loaded["x_test"], loaded["y_test"])]
    else:
        raise DataError(
            fault("data.options.images", "no such images", expected="digits or mnist", received=images)
        )
    for part, (x, y) in zip(PARTS, parts, strict=True):
        yield part, x[..., 0], y
