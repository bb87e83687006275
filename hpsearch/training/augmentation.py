"""Random changes to the training images: Keras's own layers, applied batch by batch outside the model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.errors import ExperimentError, did_you_mean, fault
from hpsearch.references import summary

if TYPE_CHECKING:
    from hpsearch.datasets import Data
    from hpsearch.datasets.data import Array

KEY = "training.augmentation"
VALUE_RANGE = (0, 1)
"""Of the images, for the layers that have to know; Keras's own default is 0 to 255."""
_FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")
_LOOKED_AT, _TRIED_ON = 256, 8


class Augmentation:
    """Changes images by random layers, one after the other.

    What happens to a batch follows from the seed, the epoch and the batch's number alone. So a trial is the
    same in any worker, whatever ran before, and could go on from any epoch.

    Args:
        layers: By the names that messages use.
        seed: Of the trial.
        reconstructs: Whether the images are the targets too.
    """

    def __init__(self, layers: Mapping[str, keras.Layer], *, seed: int, reconstructs: bool = False) -> None:
        self._layers = dict(layers)
        self._seed = seed
        self._reconstructs = reconstructs
        # These layers have no weights: their variables are the states of their random generators.
        self._states = [variable for layer in layers.values() for variable in layer.variables]
        self._run: Any = None

    def __call__(self, x: Any, y: Any, epoch: int, batch: int) -> tuple[Array, Any]:
        """Changes one batch.

        Args:
            x: Images, `(rows, height, width)` or `(rows, height, width, channels)`.
            y: Their targets, returned as they are unless the images are the targets.
            epoch: Its number.
            batch: Its number in the epoch.

        Raises:
            ExperimentError: A layer does not work on these images.
        """
        images = x.astype(np.float32, copy=False)
        images = images if x.ndim == 4 else images[..., np.newaxis]
        if self._run is None:
            self._run = _compiled(self._change, images, len(self._states))
        words = np.random.SeedSequence(self._seed, spawn_key=(epoch, batch)).generate_state(
            2 * len(self._states)
        )
        states = (words >> 1).astype(np.int64).reshape(-1, 2)  # positive in any integer type
        changed = keras.ops.convert_to_numpy(self._run(images, states))
        changed = changed if x.ndim == 4 else changed[..., 0]
        return changed, changed if self._reconstructs else y

    def _change(self, images: Any, states: Any) -> Any:
        # On the CPU also where there is a GPU: the batches are put together there, ahead of the training.
        with _on_cpu():
            for number, variable in enumerate(self._states):
                variable.assign(states[number])
            for name, layer in self._layers.items():
                try:
                    images = layer(images, training=True)
                except Exception as failure:
                    raise _wrong(name, "does not work on the images", received=summary(failure)) from failure
            return images


def augmentation(settings: Mapping[str, Any], data: Data, *, seed: int) -> Augmentation | None:
    """Makes the layers of `training.augmentation`, and tries them on a few training images.

    Args:
        settings: By a layer's name in snake case, its first argument, a list of arguments, or a mapping.
        data: Its training rows are read.
        seed: Of the trial.

    Returns:
        None where nothing is to be changed.

    Raises:
        ExperimentError: A layer or an argument is wrong, or the data are no images.
    """
    if not settings:
        return None
    _check_data(data)
    known = {_snake_case(name): getattr(keras.layers, name) for name in _names()}
    layers: dict[str, keras.Layer] = {}
    with _on_cpu():
        for name, given in settings.items():
            if name not in known:
                raise _wrong(
                    name,
                    "Keras has no such layer",
                    expected=", ".join(known),
                    advice=did_you_mean(str(name), known),
                )
            layers[name] = _layer(name, known[name], given, data)
    augment = Augmentation(layers, seed=seed, reconstructs=data.labelled is not None)
    _try(augment, data)
    return augment


def _layer(name: str, kind: Any, given: Any, data: Data) -> keras.Layer:
    arguments, keywords = _arguments(given)
    signature = inspect.signature(kind)
    takes = [name for name in signature.parameters if name not in ("seed", "kwargs")]
    if "seed" in keywords:
        raise _wrong(name, "`seed` is not to be given", advice="The trial's own seed is used: `search.seed`.")
    try:
        bound = signature.bind(*arguments, **keywords)
        if "value_range" in takes and "value_range" not in bound.arguments:
            _check_range(name, data)
            keywords["value_range"] = VALUE_RANGE
        # A seed, so that none is drawn from Python's generator, which is the user's.
        layer = kind(*arguments, **{"dtype": "float32", **keywords, "seed": 0})
        if kind is keras.layers.RandomFlip and layer.mode not in _FLIPS:  # Keras would flip nothing
            raise ValueError(f"`mode` is one of {', '.join(_FLIPS)}")
        return layer
    except ExperimentError:
        raise
    except Exception as failure:
        raise _wrong(
            name,
            f"these are no arguments of keras.layers.{kind.__name__}",
            expected=", ".join(takes),
            received=f"{given!r}: {summary(failure)}",
        ) from failure


def _arguments(given: Any) -> tuple[list[Any], dict[str, Any]]:
    match given:
        case None:
            return [], {}
        case Mapping():
            return [], {str(name): value for name, value in given.items()}
        case list() | tuple():
            return list(given), {}
    return [given], {}


def _check_data(data: Data) -> None:
    """Makes sure that the inputs are images, and that the targets stay true when these change."""
    x = data.train.x
    shapes = data.summary().shapes
    if isinstance(x, Mapping) or x.ndim not in (3, 4) or x.dtype.kind not in "biuf":
        raise ExperimentError(
            fault(
                KEY,
                f"the inputs of {data.name} are no images",
                expected="one input of shape (height, width) or (height, width, channels)",
                received=", ".join(shape for label, shape in shapes.items() if label.startswith("x")),
            )
        )
    targets = [array for label, array in data.train.arrays() if label.startswith("y")]
    if data.labelled is None and any(array.ndim > 2 for array in targets):
        raise ExperimentError(
            fault(
                KEY,
                "the targets are images themselves, which would stay as they are",
                expected="classes or amounts, or `data.options.reconstruct`",
                received=", ".join(str(array.shape[1:]) for array in targets),
            )
        )


def _check_range(name: str, data: Data) -> None:
    sample: Any = data.train.take(slice(_LOOKED_AT)).x
    low, high = float(sample.min()), float(sample.max())
    if low < VALUE_RANGE[0] or high > VALUE_RANGE[1]:
        raise _wrong(
            name,
            "the images' values are not between 0 and 1",
            expected="`value_range`",
            received=f"values from {low:g} to {high:g}",
            advice=f"Write the arguments by name, and among them such as `value_range: [0, {high:g}]`.",
        )


def _try(augment: Augmentation, data: Data) -> None:
    images: Any = data.train.take(slice(_TRIED_ON)).x
    changed, _ = augment(images, None, 0, 0)
    if changed.shape != images.shape:
        raise ExperimentError(
            fault(
                KEY,
                "the images' size changes",
                expected=str(data.input_shape),
                received=str(changed.shape[1:]),
                advice="`random_translation` moves images without cropping them.",
            )
        )


def _on_cpu() -> Any:
    # Variables that torch makes on `cpu:0` rather than `cpu` are no parameters, which fails later.
    return keras.device("cpu" if keras.backend.backend() == "torch" else "cpu:0")


def _compiled(function: Any, images: Array, states: int) -> Any:
    """Makes one call of the whole, five to ten times as fast as operation by operation."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    signature = [
        tf.TensorSpec((None, *images.shape[1:]), tf.float32),
        tf.TensorSpec((states, 2), tf.int64),
    ]
    return tf.function(function, input_signature=signature, autograph=False)


def _names() -> list[str]:
    return [name for name in dir(keras.layers) if name.startswith("Random")]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _wrong(name: object, problem: str, **more: Any) -> ExperimentError:
    return ExperimentError(fault(f"{KEY}.{name}", problem, **more))
