"""The generators of chance that a trial's numbers depend on and that are no variables of its model."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and the backend's generators."""
    keras.utils.set_random_seed(seed % 2**32)


def read_generators() -> dict[str, Any]:
    """Returns the states of all generators, for JSON.

    Of torch's, too: a Dropout layer without a seed of its own takes them, where TensorFlow and JAX have a
    variable in the model.
    """
    kind, keys, *rest = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
    }
    if keras.backend.backend() == "torch":
        import torch

        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        states["torch"] = [_text(state) for state in (torch.get_rng_state(), *gpus)]
    return states


def write_generators(states: Mapping[str, Any]) -> None:
    """Puts all generators into the states that `read_generators` has returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    if "torch" in states:
        import torch

        cpu, *gpus = (
            torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8) for text in states["torch"]
        )
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)


def _text(state: Any) -> str:
    return bytes(state.numpy()).hex()
