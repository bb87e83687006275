"""Floating point operations of a model's forward pass, the same on every backend.

Counted are products of matrices, and convolutions, which are such products: dense, convolutional, recurrent
(every step) and attention layers (`products.py`). A multiplication and the addition after it are two. Biases,
activations, normalisation, pooling, element-wise sums and embeddings are not counted: converters merge many
of them into the products. PyTorch's `FlopCounterMode` counts the same.

TensorFlow's profiler counts a loop's body once, however often it runs; XLA's estimate depends on what it
fused. So this watches a call of the model: what a layer receives and returns says how often it uses its
weights, whatever computes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.errors import ModelError, fault
from hpsearch.training.compatibility import try_input
from hpsearch.training.products import Call, counts_its_parts, may_multiply, rule_of
from hpsearch.training.snapshot import Snapshot

if TYPE_CHECKING:
    from hpsearch.datasets import Split


def flops_of(model: keras.Model, batch: Split, where: str) -> int:
    """Counts the floating point operations of one row's forward pass; the model stays as it is, but is built.

    Args:
        model: Of any kind.
        batch: A few rows.
        where: Names the model, for messages.

    Raises:
        ModelError: It does not accept the rows, or a layer multiplies in a way that is not known.
    """
    if not all(layer.built for layer in model._flatten_layers()):
        try_input(model, batch, where=where)  # to be built, layers are called as well
    before = Snapshot.take(model)
    try:
        with _counting() as counter:
            try_input(model, batch, where=where)
    finally:
        before.restore()
    if counter.unknown:
        raise ModelError(
            fault(
                where,
                "its `flops` cannot be counted",
                expected="layers of Keras, and layers made of these",
                received=", ".join(f"`{name}` ({kind})" for name, kind in counter.unknown.items()),
                advice="Give the layer a method `compute_flops(input_shape)`, which returns what it "
                "computes itself for an input of that shape.",
            )
        )
    return counter.flops // len(batch)


class _Counter:
    """What the calls of layers came to."""

    def __init__(self) -> None:
        self.flops = 0
        self.unknown: dict[str, str] = {}
        """Layers that cannot be counted: the class by the name."""

    def note(self, operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Takes in a call of a layer; those that it calls are noted by themselves."""
        rule, known = rule_of(operation), True
        if rule is None:
            known = not may_multiply(operation)
        else:
            try:
                given = inspect.signature(operation.call).bind_partial(*args, **kwargs).arguments
                self.flops += rule(Call(operation, given, output))
            except Exception:  # a subclass with a call of its own, to which the rule does not apply
                known = False
        if not known:
            self.unknown[operation.name] = type(operation).__name__


@contextmanager
def _counting() -> Iterator[_Counter]:
    """Counts the layers that are called meanwhile, each time that they are."""
    counter, inside = _Counter(), 0
    original = keras.Operation.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        hides = int(counts_its_parts(self))
        inside += hides
        try:
            output = original(self, *args, **kwargs)
        finally:
            inside -= hides
        if not inside:
            counter.note(self, args, kwargs, output)
        return output

    keras.Operation.__call__ = call
    try:
        yield counter
    finally:
        keras.Operation.__call__ = original
