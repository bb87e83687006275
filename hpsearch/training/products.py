"""How many products, each with its addition, a call of one of Keras's layers computes.

A rule knows a layer and the shapes that it received and returned. What a layer calls is counted where it is
called, with two exceptions: `RNN` calls its cell as often as the backend likes, and `TimeDistributed` calls
its layer behind Keras's back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
from keras import layers

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of a function in a functional model."""

    layer: Any
    given: Mapping[str, Any]
    """Its arguments, tensors, by name."""
    output: Any

    @property
    def first(self) -> Any:
        """The first argument."""
        return next(iter(self.given.values()))

    @property
    def received(self) -> Shape:
        """Shape of the first argument."""
        return _shape(self.first)

    @property
    def returned(self) -> Shape:
        """Shape of the output."""
        return _shape(self.output)


Rule = Callable[[Call], int]
"""Counts the floating point operations of a call."""


def rule_of(operation: Any) -> Rule | None:
    """Returns what counts the calls of a layer or function, but for those of layers that it calls.

    A layer of the user's own may have a method `compute_flops(input_shape)`.

    Returns:
        None if no rule is known.
    """
    own = getattr(operation, "compute_flops", None)
    if own is not None:
        return lambda call: int(own(_shapes(call.first)))
    if isinstance(operation, layers.TimeDistributed):
        return _each_step if rule_of(operation.layer) else None
    products: Rule | None
    if isinstance(operation, layers.RNN):
        products = _recurrent if _cells(operation.cell) else None
    elif isinstance(operation, keras.Layer):
        products = next((rule for kind, rule in _LAYERS.items() if isinstance(operation, kind)), None)
    else:
        products = _FUNCTIONS.get(type(operation).__name__)
    return None if products is None else lambda call: 2 * products(call)


def counts_its_parts(operation: Any) -> bool:
    """Whether a layer's rule counts what it calls as well."""
    inner = operation.layer if isinstance(operation, layers.TimeDistributed) else operation
    return isinstance(inner, layers.RNN)


def may_multiply(operation: Any) -> bool:
    """Whether a layer or function without a rule may multiply matrices by itself."""
    if isinstance(operation, layers.TimeDistributed):
        return may_multiply(operation.layer)
    if isinstance(operation, layers.RNN):
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


# === Rules ===


def _dense(call: Call) -> int:
    return prod(call.returned) * call.received[-1]


def _einsum_dense(call: Call) -> int:
    return _einsum(call.layer.equation, call.received, _shape(call.layer.kernel))


def _convolution(call: Call) -> int:
    return prod(call.returned) * prod(_shape(call.layer.kernel)[:-1])


def _transposed(call: Call) -> int:
    return prod(call.received) * prod(_shape(call.layer.kernel)[:-1])


def _depthwise(call: Call) -> int:
    return prod(call.returned) * prod(_shape(call.layer.kernel)[:-2])


def _separable(call: Call) -> int:
    kernels = (call.layer.depthwise_kernel, call.layer.pointwise_kernel)
    places = prod(call.returned) // int(call.layer.filters)
    return places * sum(prod(_shape(kernel)) for kernel in kernels)


def _recurrent(call: Call) -> int:
    rows, steps, *_ = call.received
    kernels = (kernel for c in _cells(call.layer.cell) for kernel in (c.kernel, c.recurrent_kernel))
    return rows * steps * sum(prod(_shape(kernel)) for kernel in kernels)


def _cells(cell: Any) -> list[Any]:
    """Returns the cells that a step goes through; none if one of them is not Keras's."""
    if isinstance(cell, layers.StackedRNNCells):
        parts = [_cells(each) for each in cell.cells]
        return [each for part in parts for each in part] if all(parts) else []
    known = (layers.SimpleRNNCell, layers.LSTMCell, layers.GRUCell)
    return [cell] if isinstance(cell, known) else []


def _each_step(call: Call) -> int:
    inner, (rows, steps, *rest) = call.layer.layer, call.received
    rule = rule_of(inner)
    given = {"inputs": keras.KerasTensor((rows, *rest))}
    returned = keras.KerasTensor((rows, *call.returned[2:]))
    return steps * rule(Call(inner, given, returned)) if rule else 0


def _attention(call: Call) -> int:
    query, value = map(_shape, call.first[:2])
    additive = call.layer.score_mode == "concat" or isinstance(call.layer, layers.AdditiveAttention)
    scored = 0 if additive else query[-1]  # additive scores are no product
    return prod(query[:-1]) * value[-2] * (scored + value[-1])


def _multi_head(call: Call) -> int:
    """Counts scores and sums; the projections are layers of their own."""
    layer, query, value = call.layer, _shape(call.given["query"]), _shape(call.given["value"])
    attended = prod([value[int(axis)] for axis in layer.attention_axes])
    width = int(layer.num_heads * (layer.key_dim + layer.value_dim))
    return prod(query[:-1]) * attended * width


def _grouped_query(call: Call) -> int:
    layer, query, value = call.layer, _shape(call.given["query"]), _shape(call.given["value"])
    return prod(query[:-1]) * value[-2] * int(layer.num_query_heads * 2 * layer.head_dim)


def _dot_layer(call: Call) -> int:
    axes, left = call.layer.axes, _shape(call.first[0])
    summed = left[axes if isinstance(axes, int) else axes[0]]
    return prod(call.returned) * summed


def _einsum_function(call: Call) -> int:
    return _einsum(call.layer.subscripts, *map(_shape, call.given["operands"]))


def _einsum(equation: str, *shapes: Shape) -> int:
    """Returns the product of all indices' sizes: those of the result, and those that are summed over."""
    sizes: dict[str | int, int] = {}
    operands = equation.replace(" ", "").partition("->")[0].split(",")
    for letters, shape in zip(operands, shapes, strict=True):
        before, _, after = letters.partition("...")
        between = len(shape) - len(before) - len(after)
        for name, size in zip([*before, *range(-between, 0), *after], shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return prod(sizes.values())


_LAYERS: Mapping[Any, Rule] = {
    layers.Dense: _dense,
    layers.EinsumDense: _einsum_dense,
    (layers.Conv1D, layers.Conv2D, layers.Conv3D): _convolution,
    (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose): _transposed,
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D): _depthwise,
    (layers.SeparableConv1D, layers.SeparableConv2D): _separable,
    layers.Attention: _attention,
    layers.MultiHeadAttention: _multi_head,
    layers.GroupQueryAttention: _grouped_query,
    layers.Dot: _dot_layer,
}
_ELEMENTWISE = (
    layers.Embedding,
    layers.LayerNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.SpectralNormalization,
)
"""Those of Keras's layers that have arrays of weights, and multiply no matrices when they predict."""
_FUNCTIONS: Mapping[str, Rule] = {"Matmul": _dense, "Dot": _dense, "Einsum": _einsum_function}
"""Of `keras.ops`, in a functional model, by the class that Keras makes of them."""
_OTHER_FUNCTIONS = (
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
    "DotProductAttention",
    "Inner",
    "SeparableConv",
    "Tensordot",
    "Vdot",
)
