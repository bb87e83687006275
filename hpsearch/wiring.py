"""The parts that an experiment names, made: workers, tracker; what is wrong with it is told with its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from hpsearch import backends, datasets, executors, models
from hpsearch.errors import UsageError
from hpsearch.executors import Executor
from hpsearch.executors.local import LocalExecutor
from hpsearch.executors.placement import visible_gpus
from hpsearch.experiment import Experiment
from hpsearch.jobs import ON_CPU, perform, warm_up
from hpsearch.tracking import Tracker


@contextmanager
def workers(experiment: Experiment, **changes: int) -> Iterator[Executor]:
    """Starts the workers that `resources`, with some changes, describe."""
    resources = experiment.resources.model_copy(update=changes)
    workdir = Path(experiment.workdir).absolute()
    # On one machine only: what is compiled for the CPU of another may not run here.
    cache = workdir / ".jax" if resources.executor == "local" and visible_gpus() else None
    with named(experiment):
        environment = backends.environment(experiment.training.backend, cache=cache)
        executor = executors.create(resources, warm_up=warm_up, workdir=workdir, environment=environment)
    with closing(executor):
        with named(experiment):
            executor.start(partial(perform, experiment))
        yield executor


def companion(experiment: Experiment, executor: Executor) -> Executor:
    """Starts a worker beside those of a search, in none of their slots: on the CPU, giving way to all others.

    Args:
        experiment: What is searched.
        executor: Of the search, at work; where it is on this machine, the worker shares its data.
    """
    environment = {**backends.environment(experiment.training.backend), **ON_CPU, "JAX_PLATFORMS": "cpu"}
    made = LocalExecutor(1, warm_up=warm_up, environment=environment, fork=False, gives_way=True)
    if isinstance(executor, LocalExecutor) and experiment.training.distribute is None:
        made.start_beside(executor)
    else:
        training = experiment.training.model_copy(update={"distribute": None})  # it has one core
        made.start(partial(perform, experiment.model_copy(update={"training": training})))
    return made


@contextmanager
def tracker(experiment: Experiment) -> Iterator[Tracker]:
    """Opens the tracker; its store is made ready meanwhile."""
    from hpsearch.tracking.mlflow import MlflowTracker

    with named(experiment):
        made = MlflowTracker(experiment.tracking.uri, experiment.tracking.experiment or experiment.name)
    with closing(made):
        made.prepare()
        yield made


@contextmanager
def named(experiment: Experiment) -> Iterator[None]:
    """Puts the experiment's file in front of what is wrong with it."""
    try:
        yield
    except UsageError as error:
        raise type(error)(f"{experiment.where}: {error}") from None


def check_names(experiment: Experiment) -> None:
    """Finds a misspelt model or data set, or a backend that is not there, before a worker is started."""
    backends.check_installed(experiment.training.backend)
    models.check_name(experiment.model)
    datasets.check_name(experiment.data)
