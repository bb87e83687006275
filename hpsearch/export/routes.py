"""Routes from a model to a LiteRT file: what to try, in which order.

Any batch size is best. A recurrent layer's loop cannot be converted so with built-in operations; it can
with a batch of one, which keeps the file small, or written out step by step, which keeps the batch free.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.export.endpoint import Endpoint

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Route:
    """One way to convert a model.

    Attributes:
        batch: Fixed batch size, or None for any.
        sized: Whether every free size but the batch is fixed to that of the samples.
        unroll: Whether recurrent layers are written out step by step.
    """

    batch: int | None = None
    sized: bool = False
    unroll: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user of the file must know."""
        notes = []
        if self.batch is not None:
            notes.append(f"fixed batch of {self.batch}")
        if self.sized:
            notes.append("input sizes fixed to those of the samples")
        if self.unroll:
            notes.append("recurrent layers unrolled")
        return tuple(notes)

    def shapes(self, endpoint: Endpoint) -> list[tuple[int | None, ...]]:
        """Returns each input's shape on this route, the batch first."""
        return [
            (self.batch, *(endpoint.samples[tensor.name].shape[1:] if self.sized else tensor.shape[1:]))
            for tensor in endpoint.inputs.tensors
        ]


def routes(endpoint: Endpoint) -> Iterator[Route]:
    """Yields the routes worth trying, best first."""
    loops = any(not layer.unroll for layer in recurrent_layers(endpoint.model))
    free = any(None in tensor.shape[1:] for tensor in endpoint.inputs.tensors)
    batch = endpoint.batch
    if not loops:
        yield Route(batch)
        if free:
            yield Route(batch, sized=True)
    if batch is None or loops:
        yield Route(batch or 1)
        if free:
            yield Route(batch or 1, sized=True)
    if loops:
        yield Route(batch, sized=free, unroll=True)


def recurrent_layers(model: keras.Model) -> list[Any]:
    """Returns every recurrent layer, also those inside wrappers and nested models."""
    import keras

    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]


@contextmanager
def unrolled(model: keras.Model, unroll: bool) -> Iterator[None]:
    """Has recurrent layers write out their steps while the block traces the model, if `unroll`."""
    layers = recurrent_layers(model) if unroll else []
    before = [layer.unroll for layer in layers]
    try:
        for layer in layers:
            layer.unroll = True
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.unroll = was
