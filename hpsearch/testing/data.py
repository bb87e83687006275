"""Tiny data sets, split and ready, for tests of models and training."""

from __future__ import annotations

from typing import Any

from hpsearch.datasets import Data, load_data
from hpsearch.experiment import DataSection


def tiny_classification(**options: Any) -> Data:
    """96 rows of 4 features in 3 nearly separable classes; options are those of the data set `blobs`."""
    return load_data(DataSection(name="blobs", options={"rows": 96, **options}))


def tiny_regression(**options: Any) -> Data:
    """96 rows of 4 features, a noisy linear target; options are those of the data set `plane`."""
    return load_data(DataSection(name="plane", options={"rows": 96, **options}))
