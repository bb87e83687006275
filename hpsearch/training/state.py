"""What a trial needs to go on from its last epoch, in its folder: written as it trains, read after a crash.

    state.npz          variables and optimizer after an epoch; epochs so far, generators, callbacks
    state-best-7.npz   variables and optimizer after the best epoch so far, if that is another

Keras's `BackupAndRestore` leaves out what makes a trial that goes on equal to one that was not interrupted:
the generators of Dropout and of noise, the counts of early stopping and plateaus, the history.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import keras
import numpy as np
from numpy.typing import NDArray

from hpsearch.files import whole
from hpsearch.training.generators import read_generators, write_generators
from hpsearch.training.snapshot import Snapshot, variables_of
from hpsearch.trial import Epoch

if TYPE_CHECKING:
    from hpsearch.training.watch import Watch

FORMAT = 1
FILE = "state.npz"
_BEST = "state-best-{}.npz"


@dataclass(frozen=True, eq=False)
class Saved:
    """A trial as it was after an epoch.

    Attributes:
        epochs: All up to then, as they were reported.
        best: Number of the best.
    """

    epochs: tuple[Epoch, ...]
    best: int
    _folder: Path
    _now: tuple[NDArray[Any], ...]
    _generators: Mapping[str, Any]
    _callbacks: Sequence[Mapping[str, Any]]

    def restore(self, model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> Snapshot:
        """Makes a model, its callbacks and the process's generators what they were.

        Args:
            model: Built as then, with an optimizer.
            callbacks: Those that were saved, made anew.

        Returns:
            The best epoch's snapshot.

        Raises:
            ValueError: The model has other variables.
        """
        model.optimizer.build(model.trainable_variables)
        best = (
            self._now
            if self.best == len(self.epochs)
            else _read_arrays(self._folder / _BEST.format(self.best))
        )
        now = Snapshot(model, tuple(zip(variables_of(model), self._now, strict=True)))
        now.restore()
        for callback, attributes in zip(callbacks, self._callbacks, strict=True):
            vars(callback).update(attributes)
        write_generators(self._generators)
        return Snapshot(model, tuple(zip(variables_of(model), best, strict=True)))


def read_state(folder: Path, identity: Mapping[str, Any]) -> Saved | None:
    """Returns what an interrupted trial left; None if it left nothing, or is not the same trial.

    Args:
        folder: The trial's.
        identity: Of the trial: what its numbers depend on.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            record = json.loads(bytes(file["record"]).decode())
        if record["identity"] != json.loads(json.dumps(identity)):
            return None
        epochs = tuple(Epoch(**entry) for entry in record["epochs"])
        if record["best"] != len(epochs) and not (folder / _BEST.format(record["best"])).is_file():
            return None
        now = _read_arrays(folder / FILE)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None
    return Saved(epochs, record["best"], folder, now, record["generators"], record["callbacks"])


def forget_state(folder: Path) -> None:
    """Removes what a `StateKeeper` wrote: the trial has ended, or begins anew."""
    for file in (folder / FILE, *folder.glob(_BEST.format("*"))):
        file.unlink(missing_ok=True)


class StateKeeper(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Writes a trial's state after its epochs, in a thread of its own; restores it when the training begins.

    It must come after all other callbacks: what they count belongs to the state.

    Args:
        folder: The trial's.
        identity: Of the trial: what its numbers depend on, for JSON.
        watch: Knows the epochs and the best.
        callbacks: Others whose plain attributes belong to the state.
        every_s: Least time between two states, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        watch: Watch,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        every_s: float,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._identity = {"format": FORMAT, **identity}
        self._watch = watch
        self._callbacks = callbacks
        self._every_s = every_s
        self._last_s = time.monotonic()
        self._written: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "hpsearch-state")
        self.saved = read_state(folder, self._identity)
        """What an interrupted run left, to go on from; None: begin."""
        if self.saved is None:
            forget_state(folder)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Restores: the other callbacks have just forgotten what they counted."""
        if self.saved is not None:
            best = self.saved.restore(self.model, self._callbacks)
            self._watch.resume(self.saved.epochs, self.saved.best, best)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Saves, if it is time to and the training goes on; in any case where it pauses."""
        course, snapshot = self._watch.course, self._watch.snapshot
        if self.model.stop_training or course.best is None or snapshot is None:
            return
        if not self._watch.paused:
            if time.monotonic() - self._last_s < self._every_s:
                return
            if self._written is not None and not self._written.done():
                return  # the disk is slower than the training; the next epoch will do
        self._last_s = time.monotonic()
        best = course.best.number
        record = {
            "identity": self._identity,
            "epochs": [asdict(each) for each in course.epochs],
            "best": best,
            "generators": read_generators(),
            "callbacks": [_plain(callback) for callback in self._callbacks],
        }
        now = snapshot if best == len(course.epochs) else Snapshot.take(self.model)
        self._written = self._thread.submit(self._write, record, now, snapshot)

    def close(self) -> None:
        """Waits until what was begun is written."""
        self._thread.shutdown()

    def _write(self, record: Mapping[str, Any], now: Snapshot, snapshot: Snapshot) -> None:
        best = self._folder / _BEST.format(record["best"])
        with suppress(OSError):  # a full disk: the trial goes on, and would begin anew
            if now is not snapshot and not best.exists():
                _write_arrays(best, snapshot)
            _write_arrays(self._folder / FILE, now, json.dumps(record).encode())
            for file in self._folder.glob(_BEST.format("*")):
                if file != best:
                    file.unlink()


def _write_arrays(target: Path, snapshot: Snapshot, record: bytes = b"") -> None:
    arrays = {f"{number:05d}": _storable(value) for number, (_, value) in enumerate(snapshot.values)}
    with whole(target) as path:
        np.savez(path, record=np.frombuffer(record, np.uint8), **arrays)  # type: ignore[arg-type]


def _read_arrays(file: Path) -> tuple[NDArray[Any], ...]:
    with np.load(file, allow_pickle=False) as arrays:
        return tuple(arrays[name] for name in sorted(arrays.files) if name != "record")


def _storable(value: NDArray[Any]) -> NDArray[Any]:
    """NumPy's files know no `bfloat16`: its values fit 32 bits, and are assigned back without loss."""
    return value if value.dtype.kind in "biufcU" else value.astype(np.float32)


def _plain(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns a callback's attributes that are plain values: its counts, its best so far."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in vars(callback).items()
        if isinstance(value, bool | int | float | str | None | np.generic)
    }
