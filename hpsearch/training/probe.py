"""Look before the search: build the model once, learn its space and its metrics, train nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from hpsearch.datasets import load_data
from hpsearch.datasets.data import Data, Split
from hpsearch.deploy_metrics import BEFORE_TRAINING, FLOPS, epoch_objectives, wanted
from hpsearch.errors import ModelError, ObjectiveError, SpaceError, did_you_mean, fault
from hpsearch.experiment import Experiment
from hpsearch.files import write_text
from hpsearch.models.hdf5 import check_fits
from hpsearch.space import Parameter, Space
from hpsearch.training import distribution
from hpsearch.training.compatibility import first_rows, try_input, try_step
from hpsearch.training.deployed import score_names
from hpsearch.training.explore import explore
from hpsearch.training.fit import training_data
from hpsearch.training.flops import flops_of
from hpsearch.training.hyperparameters import overridden
from hpsearch.training.mirrored import distributed
from hpsearch.training.outputs import metric_names
from hpsearch.training.prepare import prepare
from hpsearch.training.schedules import RATE
from hpsearch.training.settings import fixed_settings
from hpsearch.trial import Probe, ProbeResult, Value


def probe(experiment: Experiment, job: Probe) -> ProbeResult:
    """Loads the data, builds the model with default values, checks that the two fit together.

    Further builds look for hyperparameters that appear only on branches. `model.txt`, Keras's summary
    of the default model, is written into the job's folder.

    Args:
        experiment: Of the user.
        job: Where to write.

    Returns:
        The space that was found, without the experiment's overrides; the metrics an epoch reports;
        sizes and versions.

    Raises:
        UsageError: The data, the model, an override of what it declares, or a setting of `training` that
            does not fit them is wrong.
    """
    data = load_data(experiment.data, experiment.evaluation)
    seed = experiment.search.seed
    prepared = prepare(experiment, data, lambda each: overridden(experiment, each).default, seed=seed)
    model, where = prepared.model, f"model {experiment.model.name}"
    batch = first_rows(model, training_data(experiment, prepared, data, seed=seed).data)
    with distribution.scope(experiment):  # where a model may make its variables
        outputs = try_input(model, batch, where=where)
        flops = _flops(experiment, model, batch, where)
    if "h5" in experiment.export.formats:
        check_fits(model, ModelError)
    parameters = model.count_params()
    _write_summary(model, Path(job.folder) / "model.txt")
    with distributed(model):
        names = () if prepared.custom_fit else try_step(model, data, batch, outputs, where=where)
    metrics = tuple(dict.fromkeys((*names, *((RATE,) if prepared.reporting else ()), *metric_names(data))))
    if not prepared.custom_fit:
        # A missing objective is said where objectives are checked.
        _check_monitors(prepared.callbacks, (*metrics, epoch_objectives(experiment)[0].metric))
    return ProbeResult(
        space=Space(_fixed(experiment, _declared(experiment, data, prepared.hp.declared))),
        metrics=metrics,
        any_metric=prepared.custom_fit,
        data=data.summary(),
        parameters=int(parameters),
        versions=_versions(),
        of_deployment=(*BEFORE_TRAINING, *score_names(data)),
        flops=flops,
    )


def _flops(experiment: Experiment, model: keras.Model, batch: Split, where: str) -> int | None:
    """Returns the operations of a row; that they cannot be counted matters where they are asked for."""
    try:
        return flops_of(model, batch, where)
    except ModelError:
        if FLOPS in wanted(experiment):
            raise
        return None


def _check_monitors(callbacks: Iterable[keras.callbacks.Callback], metrics: Sequence[str]) -> None:
    """Keras would only warn, after every epoch."""
    for callback in callbacks:
        if callback.monitor not in metrics:
            raise ObjectiveError(
                fault(
                    "training.schedule.monitor",
                    "there is no such metric",
                    expected=f"one of {', '.join(metrics)}",
                    received=callback.monitor,
                    advice=did_you_mean(callback.monitor, metrics),
                )
            )


def _write_summary(model: keras.Model, path: Path) -> None:
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=100)
    write_text(path, "\n".join(lines) + "\n")


def _declared(experiment: Experiment, data: Data, known: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Explores, where the experiment's overrides allow."""
    originals = {(parameter.name, parameter.conditions): parameter for parameter in known}

    def allowed(parameter: Parameter) -> Parameter:
        try:
            return overridden(experiment, parameter)
        except SpaceError:  # of what is not active by default; said when the overrides are checked
            return parameter

    def declare(values: dict[str, Value]) -> list[Parameter]:
        def choose(parameter: Parameter) -> Value:
            return values.get(parameter.name, allowed(parameter).default)

        hp = prepare(experiment, data, choose, seed=experiment.search.seed, free_memory=False).hp
        for parameter in hp.declared:
            originals.setdefault((parameter.name, parameter.conditions), parameter)
        return [allowed(parameter) for parameter in hp.declared]

    found = explore(declare, [allowed(parameter) for parameter in known])
    return tuple(originals[parameter.name, parameter.conditions] for parameter in found)


def _fixed(experiment: Experiment, parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """What `training` fixes is not searched."""
    fixed = fixed_settings(experiment)
    return tuple(
        Parameter(parameter.name, "fixed", fixed[parameter.name], conditions=parameter.conditions)
        if parameter.name in fixed
        else parameter
        for parameter in parameters
    )


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    versions = {
        "hpsearch": version("hpsearch"),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "keras-tuner": keras_tuner.__version__,
        "optuna": version("optuna"),
        "numpy": np.__version__,
        "backend": backend,
    }
    return versions | {backend: str(import_module(backend).__version__)}
