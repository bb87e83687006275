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
    # A `fit` of the user's own may set the model several times, which would write as many graphs.
    callback = keras.callbacks.TensorBoard(folder / TENSORBOARD, write_graph=not prepared.custom_fit)
    try:
        yield (callback,)
    finally:
        callback.on_train_end()
