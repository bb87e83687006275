"""The training rows in batches, in an order of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.datasets.data import pick
from hpsearch.models.stateful import reset_states
from hpsearch.training.lanes import lanes

if TYPE_CHECKING:
    from hpsearch.datasets import Split
    from hpsearch.datasets.data import Array
    from hpsearch.training.augmentation import Augmentation


class Shuffled(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Batches of a split, in an order that depends on the seed and the epoch only.

    With a seed set, Keras on TensorFlow shuffles arrays into the same order in every epoch.

    Args:
        split: The rows.
        batch_size: Rows a batch; the last may be smaller.
        seed: Of the order.
        augmentation: Changes every batch, or None.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, augmentation: Augmentation | None = None
    ) -> None:
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._seed = seed
        self._augmentation = augmentation
        self.turn(0)

    @property
    def order(self) -> Array:
        """Numbers of the rows in this epoch's order, `(rows,)`."""
        return self._order

    def turn(self, epoch: int) -> None:
        """Begins an epoch, numbered from 0."""
        self._epoch = epoch
        self._order = self._ordered()

    def _ordered(self) -> Array:
        return np.random.default_rng([self._seed, self._epoch]).permutation(len(self._split))

    @property
    def whole_batches(self) -> int:
        """How many batches are not smaller than the others."""
        return len(self._order) // self._batch_size

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        split = self._split
        batch = (pick(split.x, rows), pick(split.y, rows))
        if self._augmentation is not None:
            batch = self._augmentation(*batch, self._epoch, index)
        return batch if split.sample_weight is None else (*batch, split.sample_weight[rows])


class InLanes(Shuffled):
    """Batches of a split in the order that a stateful model needs, the same in every epoch.

    Rows that do not fill a batch are left out.
    """

    def _ordered(self) -> Array:
        return lanes(len(self._split), self._batch_size)


class Turn(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Begins an epoch: its order of rows, and no state of the one before.

    The source cannot do it alone: only the trainer knows where it starts.
    """

    def __init__(self, source: Shuffled) -> None:
        super().__init__()
        self._source = source

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Begins it, numbered from 0."""
        self._source.turn(epoch)
        reset_states(self.model)
