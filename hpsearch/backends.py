"""The backends of Keras: what a trial computes with. Keras settles on one when it is first imported.

So a worker is told by its environment, before it imports anything; nothing here imports Keras.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from hpsearch.errors import ExperimentError, fault

Backend = Literal["tensorflow", "jax", "torch"]
"""By the name of its package, which `KERAS_BACKEND` goes by as well."""

_JAX_CACHE = "JAX_COMPILATION_CACHE_DIR"
WHERE = "training.backend"
VARIABLE = "KERAS_BACKEND"


def check_installed(backend: Backend) -> None:
    """Makes sure that a backend's package is there; imports nothing.

    Raises:
        ExperimentError: It is not.
    """
    if find_spec(backend) is None:
        extra = "" if backend == "tensorflow" else f"[{backend}]"
        advice = f"Run `pip install 'hpsearch{extra}'`."
        raise ExperimentError(fault(WHERE, f"the package `{backend}` is not installed", advice=advice))


def not_read(backend: Backend) -> tuple[str, ...]:
    """Returns a warning where `KERAS_BACKEND` asks this process for another backend than the experiment."""
    asked = os.environ.get(VARIABLE, backend)
    if asked == backend:
        return ()
    return (f"{VARIABLE}={asked} is not read: {WHERE} is {backend}.",)


def environment(backend: Backend, *, cache: Path | None = None) -> Mapping[str, str]:
    """Returns the environment variables that give a process its backend.

    Args:
        backend: Which.
        cache: A folder where JAX may keep what it compiled for a GPU, for the next process. Default: none.
    """
    variables: dict[str, str] = {VARIABLE: backend}
    if backend == "jax" and cache is not None and _JAX_CACHE not in os.environ:
        variables |= {_JAX_CACHE: str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    if backend != "tensorflow":
        # Text and TensorBoard's logs need TensorFlow as well, which would take all memory of the GPU.
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return variables
