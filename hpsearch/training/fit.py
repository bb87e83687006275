"""Training a model: in our own order of the rows, or by the user's `HyperModel.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras

from hpsearch.models.stateful import fixed_batch
from hpsearch.training.augmentation import Augmentation, augmentation
from hpsearch.training.class_weight import weighted
from hpsearch.training.feed import InLanes, Shuffled, Turn
from hpsearch.training.prepare import BATCH_SIZE, Prepared
from hpsearch.training.users_fit import check_users_fit, users_fit
from hpsearch.training.whole_epoch import TrainEpoch, train_by_epochs, whole_epoch

if TYPE_CHECKING:
    from hpsearch.datasets import Data, Split
    from hpsearch.experiment import Experiment
    from hpsearch.training.state import StateKeeper
    from hpsearch.training.watch import Watch


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a model learns from.

    Attributes:
        data: Training rows, weighted by class if the experiment says so, and validation rows.
        augmentation: Changes each batch of the training rows, or None.
        seed: Of the rows' order.
    """

    data: Data
    augmentation: Augmentation | None
    seed: int


def training_data(experiment: Experiment, prepared: Prepared, data: Data, *, seed: int) -> TrainingData:
    """Makes ready what a model learns from.

    Args:
        experiment: Its `training` is read.
        prepared: The model.
        data: The data set.
        seed: Of the trial.

    Raises:
        UsageError: `class_weight` or `augmentation` does not fit the data or the user's `fit`.
    """
    training = experiment.training
    data = weighted(data, training.class_weight)
    if prepared.custom_fit:
        check_users_fit(experiment, prepared, data)
    return TrainingData(data, augmentation(training.augmentation, data, seed=seed), seed)


def source_of(prepared: Prepared, training: TrainingData) -> Shuffled:
    """Returns the batches that a model is trained on."""
    batches = InLanes if fixed_batch(prepared.model) else Shuffled
    batch_size = prepared.batch_size or BATCH_SIZE
    return batches(training.data.train, batch_size, training.seed, training.augmentation)


def fit(
    prepared: Prepared,
    training: TrainingData,
    watch: Watch,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    state: StateKeeper | None = None,
    pause_after: int | None = None,
) -> dict[str, float]:
    """Trains a model; `watch` sees every epoch.

    Args:
        prepared: The model and how to train it.
        training: What it learns from.
        watch: Receives the epochs.
        callbacks: See them last, with all metrics.
        state: Keeps what the training could go on from, and has it go on. Default: None.
        pause_after: The epoch after which to stop for now. Default: after the last.

    Returns:
        What the user's `fit` returned as the trial's metrics; else nothing.

    Raises:
        Exception: Whatever the training, or `watch`, raises.
    """
    callbacks = [watch, *prepared.callbacks, *callbacks]
    if prepared.custom_fit:
        return users_fit(prepared, training.data, watch, callbacks, seed=training.seed)
    model, source = prepared.model, source_of(prepared, training)
    callbacks = [Turn(source), *callbacks, *([state] if state else [])]
    epochs = min(prepared.epochs, pause_after or prepared.epochs)
    initial_epoch = len(state.saved.epochs) if state and state.saved else 0
    train_epoch = None if training.augmentation else _train_epoch(prepared, training.data.train)
    if train_epoch is not None:
        train_by_epochs(
            model,
            train_epoch,
            source,
            initial_epoch=initial_epoch,
            epochs=epochs,
            callbacks=callbacks,
        )
    else:
        model.fit(
            source,
            initial_epoch=initial_epoch,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
    return {}


def _train_epoch(prepared: Prepared, split: Split) -> TrainEpoch | None:
    batch_size = prepared.batch_size or BATCH_SIZE

    def make() -> TrainEpoch | None:
        return whole_epoch(prepared.model, split, batch_size)

    return prepared.graphs.get(("train", batch_size), split, make)
