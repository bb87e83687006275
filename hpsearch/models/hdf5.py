"""What HDF5, Keras's format until its version 3, can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpsearch.errors import HpsearchError, fault

if TYPE_CHECKING:
    import keras


def check_fits(model: keras.Model, error: type[HpsearchError]) -> None:
    """Makes sure that a model of this class can be loaded from an `.h5` file; Keras writes any.

    Args:
        model: Of any kind.
        error: What to raise.

    Raises:
        HpsearchError: It is subclassed.
    """
    kind = type(model)
    if not kind.__module__.startswith("keras."):
        raise error(
            fault(
                "export.formats: h5",
                "a subclassed model cannot be loaded from HDF5",
                expected="a sequential or functional model",
                received=f"`{kind.__name__}`",
                advice="Export it as `keras` or `weights`.",
            )
        )
