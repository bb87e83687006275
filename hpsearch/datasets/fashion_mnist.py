"""Fashion-MNIST: 70,000 pictures of clothing, 28x28 grey pixels (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

from typing import Any

from hpsearch.datasets.idx import load_images

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(path: str | None = None, flat: bool = False, train_rows: int | None = None) -> dict[str, Any]:
    """70,000 pictures of clothing of 28x28 pixels, 10 classes; 10,000 of them for the test.

    Args:
        path: Folder with the four IDX files or `fashion_mnist.npz`. Default:
            `$HPSEARCH_DATA_DIR/fashion_mnist`, then Keras's cache, then a download by Keras.
        flat: Whether `x` is `(rows, 784)` instead of `(rows, 28, 28, 1)`. Default: False.
        train_rows: Keep only the first training rows. Default: all 60,000.

    Returns:
        `x` float32 in 0..1, `y` int32 in 0..9, training and test.

    Raises:
        DataError: The files are missing or malformed.
    """
    return load_images("fashion_mnist", path=path, flat=flat, train_rows=train_rows, class_names=CLASS_NAMES)
