"""Makes the backend of a process ready: it is the one asked for, has its threads, is deterministic."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.backends import WHERE
from hpsearch.errors import ExperimentError, fault

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment

_JAX_THREADS = "PJRT_NPROC"
_JAX_DETERMINISM = "--xla_gpu_deterministic_ops=true"


def set_up(experiment: Experiment) -> None:
    """Makes sure of the backend, pins its threads, and forbids operations that are not deterministic.

    Threads are `resources.cores_per_trial`, unless the environment says otherwise, as it does in a worker.
    TensorFlow and JAX allow that, and JAX determinism on a GPU, only before they first compute: a process
    that has used them already keeps what it has. Determinism, once on, stays on.

    Raises:
        ExperimentError: Keras was imported with another backend.
    """
    backend, wanted = keras.backend.backend(), experiment.training.backend
    if backend != wanted:
        raise ExperimentError(
            fault(
                WHERE,
                "Keras was imported with another backend in this process, and keeps it",
                expected=wanted,
                received=backend,
                advice="Use `resources.executor: local`, or set the environment variable "
                f"KERAS_BACKEND={wanted} before anything imports Keras.",
            )
        )
    cores, deterministic = experiment.resources.cores, experiment.training.deterministic
    {"tensorflow": _set_up_tensorflow, "jax": _set_up_jax, "torch": _set_up_torch}[wanted](
        cores, deterministic=deterministic
    )


def threads() -> int:
    """Returns how many threads an operation is divided among: its last digits may depend on them."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            set_here = tf.config.threading.get_intra_op_parallelism_threads()
            known = set_here or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
        case "torch":
            import torch

            known = torch.get_num_threads()
        case _:
            known = int(os.environ.get(_JAX_THREADS, 0))
    return known or os.cpu_count() or 1


def _set_up_tensorflow(cores: int, *, deterministic: bool) -> None:
    import tensorflow as tf

    if "TF_NUM_INTRAOP_THREADS" not in os.environ:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(cores)
            tf.config.threading.set_inter_op_parallelism_threads(cores)
        except RuntimeError:  # it has begun to compute
            pass
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _set_up_jax(cores: int, *, deterministic: bool) -> None:
    os.environ.setdefault(_JAX_THREADS, str(cores))
    flags = os.environ.get("XLA_FLAGS", "")
    if deterministic and _JAX_DETERMINISM not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_JAX_DETERMINISM}".strip()
    _spare_tensorflow()


def _set_up_torch(cores: int, *, deterministic: bool) -> None:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", cores)))
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for
        torch.use_deterministic_algorithms(True)
    _spare_tensorflow()


class _Unless:
    """TensorFlow where Keras asks whether something is a thing of TensorFlow's.

    Where it was never imported, nothing is. Keras would import it to find out, whenever it seeds, saves or
    describes a layer: 4 s and 450 MB in each worker.
    """

    def __init__(self, module: Any) -> None:
        self._module = module

    @property
    def available(self) -> bool:
        return "tensorflow" in sys.modules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _spare_tensorflow() -> None:
    """Keeps Keras from importing TensorFlow for nothing; text layers still do."""
    from keras.src.saving import serialization_lib
    from keras.src.utils import rng_utils

    for user in (serialization_lib, rng_utils):
        module = getattr(user, "tf", None)  # none in a version of Keras that does without
        if module is not None and not isinstance(module, _Unless):
            user.tf = _Unless(module)
