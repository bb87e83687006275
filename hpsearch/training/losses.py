"""The loss of a compiled model: another one, and label smoothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras

from hpsearch.errors import ModelError, did_you_mean, fault
from hpsearch.models.compiled import compiled_with, complete_config
from hpsearch.references import summary

_SHORT = {
    "mse": "meansquarederror",
    "mae": "meanabsoluteerror",
    "mape": "meanabsolutepercentageerror",
    "msle": "meansquaredlogarithmicerror",
    "bce": "binarycrossentropy",
    "kld": "kldivergence",
}
_CLASSES = {
    name.lower(): found
    for name, found in vars(keras.losses).items()
    if inspect.isclass(found) and issubclass(found, keras.losses.Loss) and name != "Loss"
}


def make_loss(written: str | Mapping[str, Any], where: str = "loss") -> Any:
    """Makes a loss as `training.loss` describes it.

    Args:
        written: Keras's name of the loss or of its class, or a mapping of `name` and arguments.
        where: Names it, for messages.

    Returns:
        The name alone where Keras takes it, else a `keras.losses.Loss`.

    Raises:
        ModelError: There is no such loss, or it refuses the arguments.
    """
    arguments = {} if isinstance(written, str) else {**written}
    name = written if isinstance(written, str) else arguments.pop("name")
    made = _class_of(name) or keras.saving.get_registered_object(name)
    if made is None:
        raise ModelError(
            fault(
                where,
                "Keras has no such loss",
                expected=f"one of {', '.join(sorted(each.__name__ for each in _CLASSES.values()))}, "
                "or its name in small letters with underscores",
                received=name,
                advice=did_you_mean(_letters(name), _CLASSES),
            )
        )
    if not arguments and (_is_keras_name(name) or not inspect.isclass(made)):
        return name if _is_keras_name(name) else made
    try:
        loss = made(**arguments)
    except Exception as failure:
        known = [each for each in inspect.signature(made).parameters if each not in ("name", "dtype")]
        raise ModelError(
            fault(
                where,
                f"`{name}` refuses its arguments",
                expected=f"arguments among {', '.join(known)}",
                received=summary(failure),
            )
        ) from failure
    complete_config(loss, arguments)
    return loss


def changed_loss(model: keras.Model, written: Any, smoothing: float | None) -> Any:
    """Returns the loss to compile a model with.

    Args:
        model: Compiled.
        written: As `training.loss`; None keeps what the model compiled with.
        smoothing: Of the labels; None keeps what the loss does.

    Returns:
        As `keras.Model.compile` takes it.

    Raises:
        ModelError: There is no such loss or output, or no loss that can smooth labels.
    """
    loss = compiled_with(model)["loss"]
    if isinstance(written, Mapping) and "name" not in written:
        changes = {output: make_loss(each, f"loss.{output}") for output, each in written.items()}
        loss = {**_by_output(model, loss, changes), **changes}
    elif written is not None:
        loss = make_loss(written)
    return loss if smoothing is None else _smoothed(loss, smoothing)


def _by_output(model: keras.Model, loss: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the loss of each output."""
    structure = getattr(model, "output", None)
    named = structure if isinstance(structure, Mapping) else getattr(model, "output_names", None)
    outputs = list(named or (loss if isinstance(loss, Mapping) else changes))
    for output in changes:
        if output not in outputs:
            raise ModelError(
                fault(
                    f"loss.{output}",
                    "the model has no such output",
                    expected=f"one of {', '.join(outputs)}",
                    received=output,
                    advice=did_you_mean(output, outputs),
                )
            )
    if isinstance(loss, Mapping):
        return dict(loss)
    if isinstance(loss, list | tuple):
        return dict(zip(outputs, loss, strict=True))
    return {} if loss is None else dict.fromkeys(outputs, loss)


def _smoothed(loss: Any, smoothing: float) -> Any:
    """Gives every cross-entropy of a loss, which may be several by output, its label smoothing."""
    several = isinstance(loss, Mapping | list | tuple)
    found = [each for each in keras.tree.flatten(loss) if _takes_smoothing(each)]
    sparse = [each for each in keras.tree.flatten(loss) if _name(each).startswith("sparse")]
    if smoothing and (sparse or not found):
        received = ", ".join(dict.fromkeys(map(_name, keras.tree.flatten(loss)))) or "no loss"
        raise ModelError(
            fault(
                "label_smoothing",
                "Keras cannot smooth class numbers" if sparse else "the loss has no labels to smooth",
                expected="a cross-entropy over one-hot or binary targets",
                received=received,
                advice="Write `data: {options: {one_hot: true}}`: built-in models then take "
                "`categorical_crossentropy`; a model of your own must, too."
                if sparse
                else None,
            )
        )
    smooth: Callable[[Any], Any] = lambda each: (  # noqa: E731
        _with_smoothing(each, smoothing) if _takes_smoothing(each) else each
    )
    return keras.tree.map_structure(smooth, loss) if several else smooth(loss)


def _takes_smoothing(loss: Any) -> bool:
    made = _keras_class(loss)
    return made is not None and "label_smoothing" in inspect.signature(made).parameters


def _with_smoothing(loss: Any, smoothing: float) -> Any:
    made = _keras_class(loss)
    if made is None:
        return loss
    config = {**loss.get_config(), "dtype": loss.dtype} if isinstance(loss, keras.losses.Loss) else {}
    return made(**{**config, "label_smoothing": smoothing})


def _keras_class(loss: Any) -> type[Any] | None:
    """Returns the class of a loss of Keras's: of an object, a function or a name."""
    if isinstance(loss, keras.losses.Loss):
        return type(loss) if type(loss) in _CLASSES.values() else None
    if isinstance(loss, str):
        return _class_of(loss)
    is_keras = getattr(loss, "__module__", "").startswith("keras.")
    return _class_of(loss.__name__) if is_keras else None


def _name(loss: Any) -> str:
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", loss))


def _class_of(name: str) -> type[Any] | None:
    letters = _letters(name)
    return _CLASSES.get(_SHORT.get(letters, letters))


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _is_keras_name(name: str) -> bool:
    try:
        return keras.losses.get(name) is not None
    except ValueError:
        return False
