"""Names of a model's inputs and outputs, the same in every process.

The user's names win. Those that Keras makes up (`keras_tensor_13`, `input_layer`, `dense_2`) change from
one process to the next, so `input_0`, `output_0`, ... stand for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ExportError, fault

if TYPE_CHECKING:
    import keras

    from hpsearch.export.samples import Arrays


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    Attributes:
        name: What the file calls it.
        shape: With the batch; None where a size is free.
        dtype: E.g. `float32`.
        aliases: What else the Keras model calls it.
        scale: Where integers stand for real numbers: these are `scale * (integer - zero_point)`.
        zero_point: See `scale`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    aliases: tuple[str, ...] = ()
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True)
class Inputs:
    """A model's inputs, and how to pass them to it.

    Attributes:
        tensors: One an input.
        pack: Makes of one value an input, in order, what the model is called with.
    """

    tensors: tuple[Tensor, ...]
    pack: Callable[[Sequence[Any]], Any]


def inputs_of(model: keras.Model, samples: Arrays) -> Inputs:
    """Names a model's inputs.

    A sequential or functional model declares them. A subclassed one does not: they are what the samples
    are, a single array or a dict of arrays.
    """
    return _declared(model) if getattr(model, "inputs", None) else _observed(samples)


def name_outputs(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Names what a model returned: by its keys, else by the layers that made it, else `output_0`, ...

    Raises:
        ExportError: Outputs are nested in outputs.
    """
    if isinstance(outputs, Mapping):
        named = {clean(str(key)): value for key, value in outputs.items()}
    else:
        values = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        named = dict(zip(_layer_names(model, len(values)), values, strict=True))
    for name, value in named.items():
        if isinstance(value, Mapping | list | tuple):
            raise ExportError(
                fault(
                    f"output `{name}`",
                    "outputs within outputs cannot be exported",
                    expected="one tensor, or a flat list or dict of tensors",
                    received=type(value).__name__,
                )
            )
    return named


def _declared(model: keras.Model) -> Inputs:
    import keras

    structure = getattr(model, "_inputs_struct", None)  # sequential models have none
    sources = [tensor.name for tensor in model.inputs]
    if isinstance(structure, dict) and len(structure) == len(sources):
        sources = sorted(structure)  # the order in which Keras flattens a dict
    tensors = tuple(
        Tensor(_input_name(source, i), (None, *tensor.shape[1:]), str(tensor.dtype), (source, tensor.name))
        for i, (source, tensor) in enumerate(zip(sources, model.inputs, strict=True))
    )
    if structure is None:
        return Inputs(tensors, _only)
    return Inputs(tensors, lambda values: keras.tree.pack_sequence_as(structure, list(values)))


def _observed(samples: Arrays) -> Inputs:
    names = list(samples)
    single = len(names) == 1
    tensors = tuple(
        Tensor(
            "input_0" if single else _input_name(name, i),
            (None, *samples[name].shape[1:]),
            "float32" if samples[name].dtype.kind == "f" else str(samples[name].dtype),
            (name,),
        )
        for i, name in enumerate(names)
    )
    return Inputs(tensors, _only if single else lambda values: dict(zip(names, values, strict=True)))


def _only(values: Sequence[Any]) -> Any:
    return values[0]


def _input_name(source: str, position: int) -> str:
    made_up = re.fullmatch(r"(keras_tensor|input_layer)(_\d+)?", source)
    return f"input_{position}" if made_up else clean(source)


def _layer_names(model: keras.Model, count: int) -> list[str]:
    numbered = [f"output_{i}" for i in range(count)]
    names = getattr(model, "output_names", None)
    if names is None and getattr(model, "inputs", None):  # sequential
        names = [model.layers[-1].name]
    if names is None or len(names) != count or len(set(names)) != count:
        return numbered
    classes = {each.name: type(each).__name__ for each in getattr(model, "operations", model.layers)}
    return [
        number if _is_made_up(name, classes.get(name, "")) else clean(name)
        for name, number in zip(names, numbered, strict=True)
    ]


def _is_made_up(name: str, class_name: str) -> bool:
    """Whether Keras named a layer itself: its class in snake case, and a number."""
    snake = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", snake).lower()
    return re.fullmatch(rf"{re.escape(snake)}(_\d+)?", name) is not None


def clean(name: str) -> str:
    """Returns the name as a signature can hold it."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)
