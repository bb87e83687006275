"""What a model was compiled with, to compile it again with something changed."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from types import MappingProxyType
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


def complete_config(made: Any, arguments: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Has a loss or metric put all of its arguments into its config.

    Keras 3.15 leaves out `Huber`'s `delta`, and the `axis` of some: a model that is loaded would measure
    something else than the one that was saved.

    Args:
        made: Of Keras's, or of any class if its arguments are given.
        arguments: What it was made with. Default: what Keras's own keep of theirs.
    """
    arguments = arguments or getattr(made, "_fn_kwargs", {})
    if not arguments:
        return
    config, known = made.get_config(), signature(type(made)).parameters
    left_out = {name: value for name, value in arguments.items() if name in known and name not in config}
    if left_out:
        made.get_config = lambda: {**config, **left_out}


def complete_configs(model: keras.Model) -> None:
    """Has what a model was compiled with be saved as it is; see `complete_config`."""
    import keras

    if getattr(model, "_compile_config", None) is None:  # compiled in a way of its own
        return
    compiled = compiled_with(model)
    for made in keras.tree.flatten([compiled[name] for name in ("loss", "metrics", "weighted_metrics")]):
        complete_config(made)


def compiles_its_own_way(model: keras.Model) -> bool:
    """Whether a model's class has a `compile` without `optimizer`, so that Keras's cannot stand in for it."""
    import keras

    own = type(model).compile
    overridden = own is not keras.Model.compile
    return getattr(model, "_compile_config", None) is None or (
        overridden and "optimizer" not in signature(own).parameters
    )


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

    if compiles_its_own_way(model):
        raise ModelError(
            fault(
                where,
                f"`{type(model).__name__}.compile` is the model's own, its {where} cannot be replaced",
                advice=f'Let the model declare hp.Choice("{where}", ...) itself.',
            )
        )
    arguments = {**compiled_with(model), **changes}
    scaling = keras.optimizers.LossScaleOptimizer
    if isinstance(model.optimizer, scaling) and not isinstance(arguments["optimizer"], scaling):
        # Keras would do so by the model's policy, which a saved model does not keep.
        arguments["optimizer"] = scaling(arguments["optimizer"], name="loss_scale_optimizer")
    # Keras's compile, because an overriding one takes other arguments; what it added stays.
    keras.Model.compile(model, **arguments, auto_scale_loss=False)
