"""What a model was compiled with, to compile it again with something changed."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from hpsearch.errors import ModelError, fault

if TYPE_CHECKING:
    import keras


def inner_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer itself, which mixed precision wraps."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def compiled_with(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments of `keras.Model.compile` that a model was compiled with.

    They are the objects themselves, not those of `get_compile_config()`: that cannot copy a user's own
    loss or metric.
    """
    config: dict[str, Any] = model._compile_config.config
    return config


def recompile(model: keras.Model, where: str, **changes: Any) -> None:
    """Compiles a model again; all that is not among `changes` stays.

    Args:
        model: Compiled.
        where: What is replaced, for messages: `optimizer` or `loss`.
        **changes: Arguments of `keras.Model.compile`.

    Raises:
        ModelError: The model compiles in its own way.
    """
    import keras

    overridden = type(model).compile is not keras.Model.compile
    own_way = overridden and "optimizer" not in signature(type(model).compile).parameters
    if own_way or getattr(model, "_compile_config", None) is None:
        raise ModelError(
            fault(
                where,
                f"`{type(model).__name__}.compile` is the model's own, its {where} cannot be replaced",
                advice=f'Let the model declare hp.Choice("{where}", ...) itself.',
            )
        )
    # Keras's compile, because an overriding one takes other arguments; what it added stays.
    scaled = inner_optimizer(model.optimizer) is not model.optimizer
    keras.Model.compile(model, **{**compiled_with(model), **changes}, auto_scale_loss=scaled)
