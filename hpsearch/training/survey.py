"""A look at the space before the search: which points build, how large the models are.

survey(experiment, job) -> SurveyResult | Failure
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.datasets import load_data
from hpsearch.space import Parameter, suggest
from hpsearch.training import record, runtime
from hpsearch.training.failures import failure_of, one_line
from hpsearch.training.hyperparameters import overridden
from hpsearch.training.prepare import BATCH_SIZE, prepare
from hpsearch.training.saving import save_model
from hpsearch.trial import MODEL_FILE, Build, Failure, FailureKind, SurveyResult, Value

if TYPE_CHECKING:
    from hpsearch.datasets import Data
    from hpsearch.experiment import Experiment
    from hpsearch.training.prepare import Prepared
    from hpsearch.trial import Survey

HELD_FOR_GRADIENTS = 2
"""How often a batch's activations are held: as such, and as the gradients that go back through them."""


def survey(experiment: Experiment, job: Survey) -> SurveyResult | Failure:
    """Builds the model at its defaults and at random points, each drawn as `strategy: random` would.

    The same experiment gives the same points.

    Args:
        experiment: Its model, data, training and space are used; its seed is the search's.
        job: How many points, for how long, and where to leave the default model.

    Returns:
        What each build showed, those that failed included; or why even the default was not reached.
    """
    stage = FailureKind.DATA
    try:
        runtime.set_up(experiment)
        data = load_data(experiment.data, experiment.evaluation)
        stage = FailureKind.ERROR
        until_s = time.monotonic() + job.timeout_s
        build, prepared = _build(experiment, data, lambda parameter: parameter.default)
        builds, model = [build], None if prepared is None else _saved(prepared, Path(job.folder))
        del prepared
        for choose in _draws(job.points, experiment.search.seed):
            if time.monotonic() > until_s:
                break
            builds.append(_build(experiment, data, choose)[0])
        return SurveyResult(tuple(builds), model)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return failure_of(error, stage)
    finally:
        runtime.tidy()


def _draws(count: int, seed: int) -> Iterator[Callable[[Parameter], Value]]:
    """Yields functions that choose at random, each within a point of its own."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    for _ in range(count):
        trial = study.ask()
        yield partial(suggest, trial)


def _build(
    experiment: Experiment, data: Data, choose: Callable[[Parameter], Value]
) -> tuple[Build, Prepared | None]:
    """Builds the model at one point; it is compiled, and the optimizer has its state."""
    chosen: dict[str, Value] = {}

    def decide(parameter: Parameter) -> Value:
        chosen[parameter.name] = choose(overridden(experiment, parameter))
        return chosen[parameter.name]

    try:
        prepared = prepare(experiment, data, decide, seed=experiment.search.seed, free_memory=False)
        optimizer = prepared.model.optimizer
        if optimizer is not None:
            optimizer.build(prepared.model.trainable_variables)
        model = prepared.model
        held = [*model.variables, *model.trainable_variables, *(optimizer.variables if optimizer else ())]
        batch_size = prepared.batch_size or BATCH_SIZE
        memory = sum(map(_size_bytes, held)) + HELD_FOR_GRADIENTS * batch_size * _activation_bytes(model)
        return Build(chosen, int(model.count_params()), memory), prepared
    except Exception as error:  # such a point fails as a trial, too
        return Build(chosen, cause=one_line(error)), None


def _size_bytes(tensor: Any) -> int:
    """Sizes what is unknown of a shape, such as the rows, as 1."""
    numbers = math.prod(1 if size is None else size for size in tensor.shape)
    return int(numbers * np.dtype(keras.backend.standardize_dtype(tensor.dtype)).itemsize)


def _activation_bytes(model: Any) -> int:
    """Adds up what each layer returns for a row; nothing where that is not known beforehand."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "layers"):
            total += _activation_bytes(layer)
            continue
        with suppress(AttributeError):  # it has not been called on its own
            total += sum(map(_size_bytes, keras.tree.flatten(layer.output)))
    return total


def _saved(prepared: Prepared, folder: Path) -> str | None:
    try:
        record.write_params(folder, dict(prepared.hp.values))
        save_model(folder / MODEL_FILE, prepared.model)
    except Exception as error:
        print(f"hpsearch: the default model cannot be saved: {type(error).__name__}: {error}")
        return None
    return str(folder / MODEL_FILE)
