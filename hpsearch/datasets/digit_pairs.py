"""Digit pairs: two images and what they have to do with each other, for models of two inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpsearch.datasets.data import Array
from hpsearch.datasets.digit_images import PARTS, SHARES, image_parts
from hpsearch.errors import DataError, fault

TARGETS = ("same", "larger", "sum")


def load(
    target: str = "same", pairs: int = 3000, images: str = "digits", path: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """Two images of digits: do they show the same digit, is the first larger, or what is their sum.

    Pairs are drawn by chance, half of them the same digit for the target `same`. No image is in two splits.

    Args:
        target: `same` or `larger`, classes `no` and `yes`; or `sum`, classes `0` to `18`. Default: `same`.
        pairs: Number of pairs: 60 % for training, 20 % for validation, 20 % for the test. Default: 3,000.
        images: `digits` (8x8, scikit-learn's) or `mnist` (28x28). Default: `digits`.
        path: Where MNIST lies, as for the data set `mnist`.
        seed: Of the pairs. Default: 0.

    Returns:
        `x` with `first` and `second`, float32 `(pairs, height, width)` in 0..1; `y` int32 `(pairs,)`;
        training, validation and test.

    Raises:
        DataError: An option is out of range, or the images are missing.
    """
    if target not in TARGETS:
        raise DataError(
            fault("data.options.target", "no such target", expected=", ".join(TARGETS), received=target)
        )
    if pairs < 50:
        raise DataError(fault("data.options.pairs", "too few", expected="at least 50", received=pairs))
    counts = dict(zip(PARTS, (round(pairs * share) for share in SHARES), strict=True))
    generator = np.random.default_rng([seed, 1])
    names = tuple(map(str, range(19))) if target == "sum" else ("no", "yes")
    loaded: dict[str, Any] = {"class_names": names}
    for part, x, digit in image_parts(images, path, seed):
        first = generator.integers(len(x), size=counts[part])
        second = generator.integers(len(x), size=counts[part])
        if target == "same":
            second = _half_alike(first, second, digit, generator)
        loaded[f"x_{part}"] = {"first": x[first], "second": x[second]}
        loaded[f"y_{part}"] = _related(target, digit[first], digit[second])
    return loaded


def _half_alike(first: Array, second: Array, digit: Array, generator: np.random.Generator) -> Array:
    """Draws every other second image among those of the same digit as the first."""
    second = second.copy()
    for value in np.unique(digit):
        alike = np.flatnonzero(digit[first] == value)[::2]
        second[alike] = generator.choice(np.flatnonzero(digit == value), size=len(alike))
    return second


def _related(target: str, one: Array, two: Array) -> Array:
    if target == "sum":
        return (one + two).astype(np.int32)
    return (one == two if target == "same" else one > two).astype(np.int32)
