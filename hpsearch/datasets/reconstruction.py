"""Inputs as targets, for autoencoders: `data.options.reconstruct: true` of any data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hpsearch.datasets.data import Data, Split, digest_of
from hpsearch.datasets.streamed import Streamed
from hpsearch.errors import DataError, fault


def reconstruction(data: Data) -> Data:
    """Makes the inputs the targets; the split stays, and so do the labels, as `labelled`.

    Args:
        data: Of one numeric input.

    Raises:
        DataError: There are several inputs, or they are text.
    """
    parts = [_reconstructing(split, data.name) for split in (data.train, data.validation, data.test)]
    train, validation, test = parts
    return replace(
        data,
        train=train,
        validation=validation,
        test=test,
        task="regression",
        class_names=(),
        digest=digest_of(*parts),
        labelled=data,
    )


def _reconstructing(split: Split, name: str) -> Split:
    x: Any = split.x
    if isinstance(x, Streamed):
        raise DataError(
            fault(
                "data.options.reconstruct",
                f"the inputs of {name} stay on disk, and targets are kept in memory",
                advice="If they fit into memory, name them as the file's `y` too.",
            )
        )
    if isinstance(x, Mapping) or x.dtype.kind not in "biuf":
        received = ", ".join(map(str, x)) if isinstance(x, Mapping) else f"type {x.dtype}"
        raise DataError(
            fault(
                "data.options.reconstruct",
                f"the inputs of {name} cannot be the target",
                expected="one array of numbers",
                received=received,
            )
        )
    target = x if x.dtype.kind == "f" else x.astype(np.float32)
    return replace(split, y=target)
