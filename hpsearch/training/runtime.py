"""The process a job runs in: threads, determinism, and no rubbish left for the next job."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

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


def _freeze() -> None:
    """Takes what the imports made out of the garbage collector's rounds, once.

    TensorFlow alone makes a million objects; looking at them again took 0.2 to 0.6 s after every trial.
    """
    global _frozen
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen = True
