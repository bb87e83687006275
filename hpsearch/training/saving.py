"""Models in files: the best epoch's, and those of the section `checkpoints`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ModelError, fault
from hpsearch.files import whole
from hpsearch.training.failures import one_line
from hpsearch.training.schedules import portable
from hpsearch.trial import CHECKPOINTS_FOLDER

if TYPE_CHECKING:
    from hpsearch.experiment_checkpoints import CheckpointsSection
    from hpsearch.training.watch import Keep
    from hpsearch.trial import Epoch

LAST = "last.keras"


def save_model(target: Path, model: Any) -> str:
    """Saves the whole model, compiled, in Keras's format; returns the file's name.

    Raises:
        ModelError: It holds something Keras cannot save.
    """
    try:
        with portable(model), whole(target) as path:
            model.save(path)
    except OSError:
        raise
    except Exception as error:
        raise ModelError(
            fault(
                "model",
                "was trained but cannot be saved",
                received=one_line(error),
                advice="Give each layer of your own a `get_config()`, and register its class with "
                "`@keras.saving.register_keras_serializable()`.",
            )
        ) from error
    return target.name


def keeper(checkpoints: CheckpointsSection, folder: Path) -> Keep | None:
    """Returns what keeps models after epochs: `checkpoints/last.keras`, `checkpoints/epoch-0005.keras`.

    They stay in the trial's folder; they are no part of its result, and not sent to the tracker.

    Args:
        checkpoints: Which epochs'.
        folder: The trial's.

    Returns:
        None if there is nothing to keep.
    """
    if not checkpoints.last and checkpoints.every is None:
        return None

    def keep(model: Any, epoch: Epoch) -> None:
        if checkpoints.every is not None and epoch.number % checkpoints.every == 0:
            save_model(folder / CHECKPOINTS_FOLDER / f"epoch-{epoch.number:04d}.keras", model)
        if checkpoints.last:
            save_model(folder / CHECKPOINTS_FOLDER / LAST, model)

    return keep
