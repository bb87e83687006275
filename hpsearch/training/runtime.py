"""The process a job runs in: its backend, its part of a GPU, and no rubbish left for the next job."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from hpsearch.errors import UsageError, fault
from hpsearch.gpu_memory import LIMIT_MIB
from hpsearch.training import distribution, keras_backend

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is first imported

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment
    from hpsearch.trial import Value

_frozen = False


def set_up(experiment: Experiment) -> None:
    """Makes the process ready for a job: its backend with threads and determinism, memory, devices.

    Raises:
        UsageError: The process cannot do what the experiment asks for.
    """
    keras_backend.set_up(experiment)
    _limit_gpu_memory()
    distribution.set_up(experiment)
    _freeze()


def tidy() -> None:
    """Frees what the job that ended has left; the next one clears Keras's session before it builds."""
    gc.collect()


def facts() -> dict[str, Value]:
    """Returns what a trial's last digits may depend on: `backend`, `threads`."""
    import keras

    return {"backend": keras.backend.backend(), "threads": keras_backend.threads()}


def _limit_gpu_memory() -> None:
    """Keeps this process to its part of a GPU that it shares, if the executor set one.

    JAX reads a variable of its own. TensorFlow's part was tried with devices that it was made to list, those
    of JAX and torch on a GPU.
    """
    import keras

    if (limit_mib := os.environ.get(LIMIT_MIB)) is None:
        return
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        part = tf.config.LogicalDeviceConfiguration(memory_limit=int(limit_mib))
        for gpu in tf.config.list_physical_devices("GPU"):
            try:
                tf.config.set_logical_device_configuration(gpu, [part])
            except RuntimeError as error:
                raise UsageError(
                    fault(
                        "resources.trials_per_gpu",
                        "TensorFlow took the GPU's memory before it could be limited",
                        received=str(error),
                        advice="Give models and data that hold no tensors until they are used.",
                    )
                ) from None
    elif keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            total_bytes = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(int(limit_mib) * 2**20 / total_bytes)


def _freeze() -> None:
    """Takes what the imports made out of the garbage collector's rounds, once.

    TensorFlow alone makes a million objects; looking at them again took 0.2 to 0.6 s after every trial.
    """
    global _frozen
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen = True
