"""Floating point operations of a model's forward pass, the same on every backend.

Counted are products of matrices, and convolutions, which are such products: dense, convolutional, recurrent
(every step) and attention layers. A multiplication and the addition after it are two. Biases, activations,
normalisation, pooling, element-wise sums and embeddings are not counted: a few per cent, which converters
merge into the products. PyTorch's `FlopCounterMode` counts the same.

TensorFlow's profiler counts a loop's body once, however often it runs, and no `Einsum`; XLA's estimate depends
on what it fused. So this watches a call of the model: what a layer receives and returns says how often it uses
its weights, whatever computes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.errors import ModelError, fault
from hpsearch.training.compatibility import try_input
from hpsearch.training.snapshot import Snapshot

if TYPE_CHECKING:
    from hpsearch.datasets import Split

Shape = tuple[int, ...]
Rule = Callable[[Any, Mapping[str, Any], Any], int]
"""Counts a call, from the layer, what it was given by name, and what it returned."""


class Counter:
    """What a call of a model came to."""

    def __init__(self) -> None:
        self._flops = 0
        self._unknown: dict[str, str] = {}
        """Class by the name of the layer."""

    def note(self, operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Takes in a layer that was called, without the layers that it called."""
        rule = _rule(operation)
        if rule is not None:
            given = inspect.signature(operation.call).bind_partial(*args, **kwargs).arguments
            self._flops += rule(operation, given, output)
        elif _multiplies(operation):
            self._unknown[operation.name] = type(operation).__name__

    def flops(self, rows: int, where: str) -> int:
        """Returns the operations of one row.

        Args:
            rows: That the model was called with.
            where: Names the model, for messages.

        Raises:
            ModelError: A layer multiplies in a way that is not known.
        """
        if self._unknown:
            raise ModelError(
                fault(
                    where,
                    "its `flops` cannot be counted",
                    expected="layers of Keras, and layers made of these",
                    received=", ".join(f"`{name}` ({kind})" for name, kind in self._unknown.items()),
                    advice="Give the layer a method `compute_flops(input_shape)`, which returns what it "
                    "computes itself for an input of that shape.",
                )
            )
        return self._flops // rows


@contextmanager
def counting() -> Iterator[Counter]:
    """Counts the layers that are called meanwhile, each time that they are."""
    counter, inside = Counter(), 0
    original = keras.Operation.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        whole = inside or _is_whole(self)
        inside += bool(whole)
        try:
            output = original(self, *args, **kwargs)
        finally:
            inside -= bool(whole)
        if not inside:
            counter.note(self, args, kwargs, output)
        return output

    keras.Operation.__call__ = call
    try:
        yield counter
    finally:
        keras.Operation.__call__ = original


def flops_of(model: keras.Model, batch: Split, where: str) -> int:
    """Counts the floating point operations of one row's forward pass; the model stays as it is.

    Args:
        model: Built.
        batch: A few rows.
        where: Names the model, for messages.

    Raises:
        ModelError: It does not accept the rows, or a layer multiplies in a way that is not known.
    """
    before = Snapshot.take(model)
    try:
        with counting() as counter:
            try_input(model, batch, where=where)
    finally:
        before.restore()
    return counter.flops(len(batch), where)


def _is_whole(operation: Any) -> bool:
    """Whether an operation is counted with all that it calls: how often it does depends on the backend."""
    if isinstance(operation, keras.layers.TimeDistributed):
        return isinstance(operation.layer, keras.layers.RNN)
    return isinstance(operation, keras.layers.RNN)


def _rule(operation: Any) -> Rule | None:
    """Returns what counts an operation's calls, but for those of layers that it calls; None if none is known."""
    own = getattr(operation, "compute_flops", None)
    if own is not None:
        return lambda _, given, __: int(own(_shapes(_first(given))))
    if isinstance(operation, keras.layers.TimeDistributed):
        return _each_step if _rule(operation.layer) else None
    if isinstance(operation, keras.layers.RNN):
        products = _recurrent if _cells(operation.cell) else None
    elif isinstance(operation, keras.Layer):
        products = next((rule for kind, rule in _LAYERS.items() if isinstance(operation, kind)), None)
    else:
        products = _FUNCTIONS.get(type(operation).__name__)
    return None if products is None else lambda *call: 2 * products(*call)


def _multiplies(operation: Any) -> bool:
    """Whether an operation without a rule may multiply matrices by itself."""
    if isinstance(operation, keras.layers.TimeDistributed):
        return _multiplies(operation.layer)
    if isinstance(operation, keras.layers.RNN):
        return True
    if not isinstance(operation, keras.Layer):
        return type(operation).__name__ in _OTHER_FUNCTIONS
    if type(operation) in _ELEMENTWISE:
        return False
    of_parts = {id(v) for part in operation._flatten_layers(include_self=False) for v in part.weights}
    return any(len(v.shape) > 1 for v in operation.weights if id(v) not in of_parts)


def _shape(tensor: Any) -> Shape:
    return tuple(map(int, tensor.shape))


def _shapes(tensors: Any) -> Any:
    """Returns a tensor's shape; of a structure, the structure of shapes."""
    if isinstance(tensors, Mapping):
        return {name: _shapes(each) for name, each in tensors.items()}
    if isinstance(tensors, list | tuple):
        return [_shapes(each) for each in tensors]
    return _shape(tensors)


def _first(given: Mapping[str, Any]) -> Any:
    return next(iter(given.values()))


# === Rules: products, each with its addition ===


def _dense(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    return prod(_shape(output)) * _shape(_first(given))[-1]


def _einsum_dense(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    return _einsum(layer.equation, _shape(_first(given)), _shape(layer.kernel))


def _convolution(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    return prod(_shape(output)) * prod(layer.kernel.shape[:-1])


def _transposed(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    return prod(_shape(_first(given))) * prod(layer.kernel.shape[:-1])


def _depthwise(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    return prod(_shape(output)) * prod(layer.kernel.shape[:-2])


def _separable(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    places = prod(_shape(output)) // layer.filters
    return places * (prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape))


def _recurrent(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    rows, steps, *_ = _shape(_first(given))
    cells = _cells(layer.cell)
    return rows * steps * sum(prod(c.kernel.shape) + prod(c.recurrent_kernel.shape) for c in cells)


def _cells(cell: Any) -> list[Any]:
    """Returns the cells that a step goes through; none if one of them is not Keras's."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        parts = [_cells(each) for each in cell.cells]
        return sum(parts, []) if all(parts) else []
    known = (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell)
    return [cell] if isinstance(cell, known) else []


def _each_step(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    """Counts what is called at each step without being called as a layer."""
    rows, steps, *rest = _shape(_first(given))
    result = keras.KerasTensor((rows, *_shape(output)[2:]))
    rule = _rule(layer.layer)
    return steps * rule(layer.layer, {"inputs": keras.KerasTensor((rows, *rest))}, result) if rule else 0


def _attention(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    query, value = map(_shape, _first(given)[:2])
    scored = query[-1] if layer.score_mode == "dot" else 0  # the additive scores are no product
    return prod(query[:-1]) * value[-2] * (scored + value[-1])


def _multi_head(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    """Counts scores and sums; the projections are layers of their own."""
    query, value = _shape(given["query"]), _shape(given["value"])
    attended = prod(value[axis] for axis in layer.attention_axes)
    return prod(query[:-1]) * attended * layer.num_heads * (layer.key_dim + layer.value_dim)


def _grouped_query(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    query, value = _shape(given["query"]), _shape(given["value"])
    return prod(query[:-1]) * value[-2] * layer.num_query_heads * 2 * layer.head_dim


def _dot_layer(layer: Any, given: Mapping[str, Any], output: Any) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return prod(_shape(output)) * _shape(_first(given)[0])[axis]


def _matmul(operation: Any, given: Mapping[str, Any], output: Any) -> int:
    return prod(_shape(output)) * _shape(_first(given))[-1]


def _einsum_function(operation: Any, given: Mapping[str, Any], output: Any) -> int:
    return _einsum(operation.subscripts, *map(_shape, given["operands"]))


def _einsum(equation: str, *shapes: Shape) -> int:
    """Returns the product of all indices' sizes: those of the result, and those that are summed over."""
    sizes: dict[Any, int] = {}
    operands = equation.replace(" ", "").partition("->")[0].split(",")
    for letters, shape in zip(operands, shapes, strict=True):
        before, _, after = letters.partition("...")
        between = len(shape) - len(before) - len(after)
        for name, size in zip([*before, *range(-between, 0), *after], shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return prod(sizes.values())


_KERAS = keras.layers
_LAYERS: Mapping[Any, Rule] = {
    _KERAS.Dense: _dense,
    _KERAS.EinsumDense: _einsum_dense,
    (_KERAS.Conv1D, _KERAS.Conv2D, _KERAS.Conv3D): _convolution,
    (_KERAS.Conv1DTranspose, _KERAS.Conv2DTranspose, _KERAS.Conv3DTranspose): _transposed,
    (_KERAS.DepthwiseConv1D, _KERAS.DepthwiseConv2D): _depthwise,
    (_KERAS.SeparableConv1D, _KERAS.SeparableConv2D): _separable,
    _KERAS.Attention: _attention,
    _KERAS.MultiHeadAttention: _multi_head,
    _KERAS.GroupQueryAttention: _grouped_query,
    _KERAS.Dot: _dot_layer,
}
_ELEMENTWISE = (
    _KERAS.Embedding,
    _KERAS.LayerNormalization,
    _KERAS.Normalization,
    _KERAS.PReLU,
    _KERAS.SpectralNormalization,
)
"""Those of Keras's layers that have arrays of weights, and multiply no matrices when they predict."""
_FUNCTIONS: Mapping[str, Rule] = {"Matmul": _matmul, "Dot": _matmul, "Einsum": _einsum_function}
"""Of `keras.ops`, in a functional model, by the class that Keras makes of them."""
_OTHER_FUNCTIONS = frozenset(
    ("Tensordot", "Inner", "Vdot", "Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose")
    + ("DotProductAttention",)
)
