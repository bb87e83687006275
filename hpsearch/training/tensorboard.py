"""TensorBoard's logs of a trial: `training.tensorboard`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from hpsearch.training.record import TENSORBOARD

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment
    from hpsearch.training.prepare import Prepared


@contextmanager
def tensorboard(
    experiment: Experiment, prepared: Prepared, folder: Path
) -> Iterator[tuple[keras.callbacks.Callback, ...]]:
    """Gives Keras's callback that writes `tensorboard/` in the trial's folder, if it is asked for.

    What it has seen is in the files when the block ends, however it ends.

    Args:
        experiment: `training.tensorboard` says whether to write.
        prepared: What is trained.
        folder: The trial's.
    """
    if not experiment.training.tensorboard:
        yield ()
        return
    users_own = prepared.custom_fit  # which may call nothing but `on_epoch_end`, or fit twice
    callback = keras.callbacks.TensorBoard(folder / TENSORBOARD, write_graph=not users_own)
    if users_own:
        callback.set_model(prepared.model)
    try:
        yield (callback,)
    finally:
        callback.on_train_end()
