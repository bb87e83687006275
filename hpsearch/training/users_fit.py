"""The user's own `HyperModel.fit`, called as Keras Tuner calls it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.errors import ExperimentError, ModelError, fault
from hpsearch.training.augmentation import KEY
from hpsearch.training.generators import seed_everything
from hpsearch.training.watch import scalars

if TYPE_CHECKING:
    from hpsearch.datasets import Data
    from hpsearch.experiment import Experiment
    from hpsearch.training.course import Course
    from hpsearch.training.prepare import Prepared
    from hpsearch.training.watch import Watch

_TWICE = re.compile(r"multiple values for (?:keyword )?argument '(\w+)'")
_YIELDING = frozenset({"epochs", "batch_size", "verbose"})
"""Keywords that a user's `fit` may pass to `model.fit` itself, ours then giving way."""


def check_users_fit(experiment: Experiment, prepared: Prepared, data: Data) -> None:
    """Refuses what the user's `fit` would leave out without a word.

    Args:
        experiment: Its `training` is read.
        prepared: Has the `fit`.
        data: What it would be given.

    Raises:
        UsageError: It cannot have its images augmented, or takes no weights of the rows.
    """
    where = f"model {experiment.model.name}"
    if experiment.training.augmentation:
        raise ExperimentError(
            fault(
                KEY,
                f"{where} trains in a `fit` of its own, which reads the images by itself",
                advice="Put `keras.layers.Random...` into the model, or change the images in `fit`.",
            )
        )
    weights = "`training.class_weight`" if experiment.training.class_weight else "weights of the data"
    if data.train.sample_weight is not None and not _accepted(prepared.hypermodel.fit, ["sample_weight"]):
        raise ModelError(
            fault(
                where,
                "its `fit` takes no `sample_weight`, but the training rows have weights",
                expected="`def fit(self, hp, model, x, y, sample_weight=None, ...)`, or `**kwargs`",
                received=weights,
            )
        )


def users_fit(
    prepared: Prepared,
    data: Data,
    watch: Watch,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    seed: int,
) -> dict[str, float]:
    """Trains a model by the user's `fit`, and reports the epochs that it kept to itself.

    Args:
        prepared: The model, and whose `fit` to call.
        data: Training and validation rows.
        watch: Receives the epochs.
        callbacks: What `fit` is given, `watch` among them.
        seed: Seeds all generators again if `fit` must be called a second time.

    Returns:
        What `fit` returned as the trial's metrics, in the forms that Keras Tuner allows.

    Raises:
        ModelError: It returned nothing to compare trials by.
        Exception: Whatever it raises itself.
    """
    for callback in callbacks:
        callback.set_model(prepared.model)  # a loop of the user's own may not
    value = _called(prepared, data, watch, callbacks, seed)
    metrics = _returned(value, watch.course)
    if not watch.course.epochs:
        watch.catch_up(_rows(value) or [metrics])
    return metrics


def _called(
    prepared: Prepared, data: Data, watch: Watch, callbacks: Sequence[keras.callbacks.Callback], seed: int
) -> Any:
    """Calls the user's `fit` as Keras Tuner does."""
    train, validation = data.train, data.validation
    weights = () if validation.sample_weight is None else (validation.sample_weight,)
    keywords: dict[str, Any] = {
        "validation_data": (validation.x, validation.y, *weights),
        "epochs": prepared.epochs,
        "callbacks": list(callbacks),
        "verbose": 0,
    }
    if prepared.batch_size is not None:
        keywords["batch_size"] = prepared.batch_size
    if train.sample_weight is not None:
        keywords["sample_weight"] = train.sample_weight
    function = prepared.hypermodel.fit
    keywords = {name: keywords[name] for name in _accepted(function, keywords) - prepared.fit_chooses}
    while True:
        try:
            return function(prepared.hp, prepared.model, train.x, train.y, **keywords)
        except TypeError as error:
            twice = _TWICE.search(str(error))
            if twice is None or twice[1] not in _YIELDING & keywords.keys() or watch.course.epochs:
                raise
            del keywords[twice[1]]  # the user's `fit` gives it to `model.fit` as well
            seed_everything(seed)


def _accepted(function: Any, keywords: Iterable[str]) -> set[str]:
    """Returns the keywords that a function takes."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return set(keywords)
    return set(keywords) & set(parameters)


def _returned(value: Any, course: Course) -> dict[str, float]:
    """Reads what the user's `fit` returned, in the forms that Keras Tuner allows."""
    match value:
        case keras.callbacks.History():
            return {}
        case list() | tuple():
            parts = [_returned(part, course) for part in value]
            names = dict.fromkeys(name for part in parts for name in part)
            return {name: float(np.mean([part[name] for part in parts if name in part])) for name in names}
        case Mapping():
            return scalars(value)
        case None if course.epochs:
            return {}
    if number := scalars({course.lead: value}):
        return number
    raise ModelError(
        fault(
            "HyperModel.fit",
            "returned nothing to compare trials by",
            expected="a History, a number, or a dictionary of metrics",
            received=value,
            advice="Or let it call `on_epoch_end(epoch, logs)` of its `callbacks` after every epoch.",
        )
    )


def _rows(value: Any) -> list[dict[str, float]]:
    """Returns the epochs of a History."""
    if not isinstance(value, keras.callbacks.History):
        return []
    return [
        scalars(dict(zip(value.history, row, strict=True)))
        for row in zip(*value.history.values(), strict=False)
    ]
