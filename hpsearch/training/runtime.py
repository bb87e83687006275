"""The process a job runs in: threads, determinism, and no rubbish left for the next job."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from hpsearch.errors import UsageError, fault
from hpsearch.gpu_memory import LIMIT_MIB
from hpsearch.training import distribution

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is first imported

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment
    from hpsearch.trial import Value

_frozen = False


def set_up(experiment: Experiment) -> None:
    """Makes the process ready for a job: pins threads, forbids operations that are not deterministic.

    Threads are pinned to `resources.cores_per_trial` unless `TF_NUM_INTRAOP_THREADS` says otherwise,
    because some models' last digits depend on them. TensorFlow allows that only before its first
    operation: a process that has used it already keeps what it has. Determinism, once on, stays on.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if "TF_NUM_INTRAOP_THREADS" not in os.environ:
            _pin_threads(experiment.resources.cores_per_trial)
        if experiment.training.deterministic:
            tf.config.experimental.enable_op_determinism()
    _limit_gpu_memory()
    distribution.set_up(experiment)
    _freeze()


def tidy() -> None:
    """Frees what the job that ended has left; the next one clears Keras's session before it builds."""
    gc.collect()


def facts() -> dict[str, Value]:
    """Returns what a trial's last digits may depend on: `backend`, `threads`."""
    import keras

    known: dict[str, Value] = {"backend": keras.backend.backend()}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        threads = tf.config.threading.get_intra_op_parallelism_threads()
        known["threads"] = threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count() or 1
    return known


def _pin_threads(cores: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(cores)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    except RuntimeError:  # it has begun to compute
        return


def _limit_gpu_memory() -> None:
    """Keeps this process to its part of a GPU that it shares, if the executor set one.

    JAX reads a variable of its own. Not run on a GPU: the calls were tested with devices that TensorFlow
    and torch were made to list.
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
