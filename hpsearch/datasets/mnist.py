"""MNIST: 70,000 handwritten digits, 28x28 grey pixels (LeCun, Cortes and Burges, 1998)."""

from __future__ import annotations

from typing import Any

from hpsearch.datasets.idx import load_images


def load(path: str | None = None, flat: bool = False, train_rows: int | None = None) -> dict[str, Any]:
    """70,000 handwritten digits of 28x28 pixels, 10 classes; 10,000 of them for the test.

    Args:
        path: Folder with the four IDX files or `mnist.npz`. Default: `$HPSEARCH_DATA_DIR/mnist`, then
            Keras's cache, then a download by Keras.
        flat: Whether `x` is `(rows, 784)` instead of `(rows, 28, 28, 1)`. Default: False.
        train_rows: Keep only the first training rows. Default: all 60,000.

    Returns:
        `x` float32 in 0..1, `y` int32 in 0..9, training and test.

    Raises:
        DataError: The files are missing or malformed.
    """
    digits = tuple(str(digit) for digit in range(10))
    return load_images("mnist", path=path, flat=flat, train_rows=train_rows, class_names=digits)
