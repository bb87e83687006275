"""From an experiment and the values of one trial to a compiled model, ready to train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner

from hpsearch.errors import HpsearchError, ModelError, fault
from hpsearch.models import load_hypermodel
from hpsearch.models.compiled import complete_configs
from hpsearch.models.frozen import freeze
from hpsearch.models.stateful import fixed_batch
from hpsearch.references import summary
from hpsearch.space import Parameter
from hpsearch.training import distribution
from hpsearch.training.compiling import apply_settings
from hpsearch.training.failures import out_of_memory
from hpsearch.training.generators import seed_everything
from hpsearch.training.graphs import Graphs
from hpsearch.training.hyperparameters import Choose, TrialHyperParameters
from hpsearch.training.schedules import LearningRateLog, Pace, follows_schedule, make_plateau
from hpsearch.training.settings import (
    NAMES,
    check_settings,
    declare_settings,
    fixed_settings,
    settings_to_give,
)
from hpsearch.trial import Value

if TYPE_CHECKING:
    from hpsearch.datasets.data import Data
    from hpsearch.experiment import Experiment


BATCH_SIZE = 32
"""Of Keras's `fit`, where nobody says."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model that stands, and how to train it.

    Attributes:
        model: Compiled, unless `custom_fit`.
        hypermodel: What built it; call `hypermodel.fit(hp, model, ...)` when `custom_fit`.
        hp: Its hyperparameters; `hp.values` is what the trial used. A custom fit may add to it.
        epochs: How many to train.
        batch_size: Rows a step. None when `custom_fit` and the experiment does not say.
        custom_fit: Whether the user overrode `HyperModel.fit`.
        fit_chooses: Names (`epochs`, `batch_size`) that the user's fit gives `model.fit` itself, so
            that giving them to the user's fit as keywords would be an error.
        reporting: Callbacks that add to an epoch's metrics, before `Watch` takes them.
        callbacks: Callbacks that come after `Watch`, which puts all metrics into the logs.
        graphs: What has been compiled for the model.
    """

    model: keras.Model
    hypermodel: keras_tuner.HyperModel
    hp: TrialHyperParameters
    epochs: int
    batch_size: int | None
    custom_fit: bool
    fit_chooses: frozenset[str] = frozenset()
    reporting: tuple[keras.callbacks.Callback, ...] = ()
    callbacks: tuple[keras.callbacks.Callback, ...] = ()
    graphs: Graphs = field(default_factory=Graphs)


def prepare(
    experiment: Experiment, data: Data, choose: Choose, *, seed: int, free_memory: bool = True
) -> Prepared:
    """Builds and compiles the model of one trial.

    Forgets all earlier models (`keras.utils.clear_session`) and seeds every generator first, so that
    the result depends on nothing but the arguments.

    Args:
        experiment: Its `model`, `training` and `search.space` are read.
        data: Gives the model its input shape and number of classes.
        choose: Decides each hyperparameter's value, e.g. `chooser(spec.params, channel)`. It is not
            asked for what `training` fixes.
        seed: Seeds Python, NumPy and the backend.
        free_memory: Whether to collect garbage first, 0.2 s in a process that has imported TensorFlow,
            0.01 s after `gc.freeze()`.

    Raises:
        ModelError: The model cannot be found or built, is not compiled, or refuses a setting.
        Exception: Whatever `choose` raises.
    """
    hypermodel = load_hypermodel(experiment.model, data)
    fixed = fixed_settings(experiment)
    own_fit = custom_fit(hypermodel)
    in_fit = _settings_in_fit(hypermodel) if own_fit else frozenset()

    def decide(parameter: Parameter) -> Value:
        return fixed[parameter.name] if parameter.name in fixed else choose(parameter)

    hp = TrialHyperParameters(decide)
    policy = experiment.training.dtype_policy
    with _fresh_session(seed, policy, free_memory=free_memory), distribution.scope(experiment):
        model = _build(experiment.model.name, hypermodel, hp)
    if not model.compiled and not own_fit:
        raise ModelError(
            fault(
                f"model {experiment.model.name}",
                "the model is not compiled",
                expected="`model.compile(optimizer=..., loss=...)` in build, or your own `HyperModel.fit`",
            )
        )
    _check_backend(experiment.model.name, model)
    declared = dict(hp.values)
    check_settings(experiment, hypermodel, compiled=model.compiled, skip=in_fit | declared.keys())
    declare_settings(experiment, hp, model, skip=in_fit)
    values = {**fixed, **hp.values}
    batch_size = _batch_size(experiment, model, values, own_fit=own_fit)
    epochs = int(values.get("epochs", experiment.training.epochs))
    unknown = in_fit - values.keys()
    pace = Pace(
        steps=None if "batch_size" in unknown else _steps(model, data, batch_size),
        epochs=None if "epochs" in unknown else epochs,
    )
    given = settings_to_give(experiment, hp, declared=declared)
    freeze(model, experiment.training.frozen)
    if model.compiled:
        with distribution.scope(experiment):
            apply_settings(model, experiment.training, given, declared=declared, pace=pace)
        complete_configs(model)
    return Prepared(
        model=model,
        hypermodel=hypermodel,
        hp=hp,
        epochs=epochs,
        batch_size=batch_size,
        custom_fit=own_fit,
        fit_chooses=in_fit & {"batch_size", "epochs"},
        reporting=(LearningRateLog(),) if "schedule" in given or follows_schedule(model) else (),
        callbacks=(make_plateau(experiment),) if given.get("schedule") == "plateau" else (),
    )


def custom_fit(hypermodel: keras_tuner.HyperModel) -> bool:
    """Whether the user overrode `keras_tuner.HyperModel.fit`."""
    return getattr(hypermodel.fit, "__func__", hypermodel.fit) is not keras_tuner.HyperModel.fit


@contextmanager
def _fresh_session(seed: int, policy: str | None, *, free_memory: bool) -> Iterator[None]:
    # Without it a second trial's metrics would be called `precision_1`, its layers `dense_3`.
    # A global precision policy is the user's, and must neither be lost nor leak out of a build.
    users = keras.config.dtype_policy()
    keras.utils.clear_session(free_memory=free_memory)
    keras.config.set_dtype_policy(policy or users)
    seed_everything(seed)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(users)


def _build(name: str, hypermodel: keras_tuner.HyperModel, hp: TrialHyperParameters) -> keras.Model:
    try:
        model = hypermodel.build(hp)
    except (HpsearchError, MemoryError):
        raise
    except Exception as failure:
        if failure is hp.refusal or out_of_memory(failure):
            raise
        advice = None
        if isinstance(failure, NotImplementedError) and not hp.declared:
            advice = "A HyperModel needs a method `build(self, hp)`."
        raise ModelError(
            fault(f"model {name}", "building it failed", received=summary(failure), advice=advice)
        ) from failure
    if not isinstance(model, keras.Model):
        received = (
            "nothing (no `return`?)" if model is None else f"{type(model).__module__}.{type(model).__name__}"
        )
        raise ModelError(
            fault(
                f"model {name}",
                "build returned no Keras model",
                expected="a `keras.Model`",
                received=received,
            )
        )
    return model


def _check_backend(name: str, model: keras.Model) -> None:
    """Refuses what Keras cannot train on a backend."""
    if keras.backend.backend() == "torch" and fixed_batch(model) is not None:
        raise ModelError(
            fault(
                f"model {name}",
                "Keras cannot train stateful layers on torch: it changes their state, which gradients forbid",
                expected="layers without `stateful=True`, or another `training.backend`",
                received="backend: torch",
            )
        )


def _batch_size(
    experiment: Experiment, model: keras.Model, values: Mapping[str, Value], *, own_fit: bool
) -> int | None:
    """Returns the rows of a step; None if the experiment leaves them to the user's fit."""
    built_for = fixed_batch(model)
    if built_for is not None and values.get("batch_size", built_for) != built_for:
        raise ModelError(
            fault(
                "batch_size",
                "the model is stateful and was built for batches of another size",
                expected=str(built_for),
                received=values["batch_size"],
                advice='Let the model declare hp.Choice("batch_size", ...) and build its inputs with it.',
            )
        )
    if "batch_size" in values:
        return int(values["batch_size"])
    return None if own_fit else built_for or experiment.training.batch_size


def _steps(model: keras.Model, data: Data, batch_size: int | None) -> int:
    """Counts the steps of an epoch; a stateful model sees whole batches only."""
    rows, built_for = len(data.train), fixed_batch(model)
    return rows // built_for if built_for else -(-rows // (batch_size or BATCH_SIZE))


def _settings_in_fit(hypermodel: keras_tuner.HyperModel) -> frozenset[str]:
    """Finds which settings the user's fit chooses itself: their names are constants in its code.

    `model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs)` is how Keras Tuner's
    guide does it; a `batch_size` among `kwargs` would be a second one. What the fit has as an argument
    of its own it wants to be given.
    """
    code = getattr(hypermodel.fit, "__code__", None)
    if not isinstance(code, CodeType):
        return frozenset()
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return frozenset(_constants(code)) & set(NAMES) - set(arguments)


def _constants(code: CodeType | tuple[Any, ...]) -> Iterator[str]:
    for constant in code.co_consts if isinstance(code, CodeType) else code:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType | tuple):
            yield from _constants(constant)
