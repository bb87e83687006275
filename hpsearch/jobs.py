"""What a worker does with a job. This function, bound to the experiment, is what executors run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

from hpsearch.channel import Channel
from hpsearch.errors import ModelError
from hpsearch.experiment import Experiment, ModelSection
from hpsearch.trial import (
    Evaluation,
    Export,
    ExportResult,
    Failure,
    Job,
    Outcome,
    Probe,
    RateRange,
    Survey,
    TrialSpec,
)

CONVERT_TIMEOUT_S = 600.0
ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1"}
"""The trial holds the memory of its GPU."""


def perform(experiment: Experiment, job: Job, channel: Channel) -> Outcome:
    """Does one job.

    Args:
        experiment: The experiment, with the models and data that were given from Python.
        job: What to do.
        channel: The way to the driver.

    Returns:
        The job's outcome; a `Failure` rather than an exception.
    """
    match job:
        case TrialSpec() if experiment.evaluation.parts and job.part is None:
            from hpsearch.training.parts import run_parts

            with _sampled(experiment, job):
                return run_parts(experiment, job, channel)
        case TrialSpec():
            from hpsearch.training.run import run_trial

            with _sampled(experiment, job):
                return run_trial(experiment, job, channel, partial(_convert, experiment))
        case Probe():
            from hpsearch.training import runtime
            from hpsearch.training.probe import probe

            runtime.set_up(experiment)
            return probe(experiment, job)
        case Evaluation():
            from hpsearch.training.evaluate import evaluate

            return evaluate(experiment, job)
        case Export():
            return _export(experiment, job)
        case RateRange():
            from hpsearch.training.rate_range import find_rates

            return find_rates(experiment, job, channel)
        case Survey():
            from hpsearch.training.survey import survey

            return survey(experiment, job)


def _sampled(experiment: Experiment, job: TrialSpec) -> AbstractContextManager[None]:
    """Has this process sampled while it trains, where the experiment says so."""
    if not experiment.tracking.system_metrics:
        return nullcontext()
    from hpsearch.training.system_metrics import sampled

    return sampled(Path(job.folder))


def _export(experiment: Experiment, job: Export) -> Outcome:
    import keras

    register = partial(_register, experiment.model)
    register()
    if keras.backend.backend() == "tensorflow":
        from hpsearch.export import export

        return export(job)
    from hpsearch.export import elsewhere

    return elsewhere.export(job, register=register)


def _convert(experiment: Experiment, job: Export) -> ExportResult | Failure:
    """Exports for a trial: in a process of its own, on the CPU, whose memory is not the trial's."""
    import keras

    from hpsearch.export import child, elsewhere

    register = partial(_register, experiment.model)
    if keras.backend.backend() == "tensorflow":
        return child.export(job, register=register, timeout_s=CONVERT_TIMEOUT_S, environment=ON_CPU)
    register()
    return elsewhere.export(job, register=register)


def _register(section: ModelSection) -> None:
    from hpsearch.models import register_custom_objects

    # A model given from Python is not there when a study is exported later; most need no class of it.
    with suppress(ModelError):
        register_custom_objects(section)


def warm_up() -> None:
    """Imports what every job needs, while the driver is still getting ready."""
    import hpsearch.training.run  # noqa: F401
