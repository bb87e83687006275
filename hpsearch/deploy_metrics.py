"""Metrics of what will be deployed: which there are, and which of them an experiment asks for.

    parameters            weights of the model, counted one by one     \\
    flops                 floating point operations of one row          known before a trial is trained
    tflite_size_kib       size of the exported file                     |
    tflite_latency_ms     median time of one row, one thread           /
    tflite_accuracy, ...  scores of the exported file on the validation rows

They are objectives and constraints like any other metric, under these names. A file is only made where one of
its metrics is asked for; its format is `Experiment.tflite_format`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpsearch.experiment import Experiment, ObjectiveSection
from hpsearch.experiment_constraints import Constraint

PARAMETERS, FLOPS = "parameters", "flops"
SIZE, LATENCY = "tflite_size_kib", "tflite_latency_ms"
BEFORE_TRAINING = (PARAMETERS, FLOPS, SIZE, LATENCY)
OF_FILE = "tflite_"
"""Prefix of the metrics of the file."""
STAND_IN = "val_loss"
"""What tells the best epoch where epochs report no objective."""


def is_of_deployment(metric: str) -> bool:
    """Whether a metric is one of what will be deployed, which no epoch reports."""
    return metric in (PARAMETERS, FLOPS) or metric.startswith(OF_FILE)


def wanted(experiment: Experiment) -> frozenset[str]:
    """Returns the metrics of what will be deployed that an experiment's objectives and constraints name."""
    constrained = (Constraint.parse(text).metric for text in experiment.search.constraints or ())
    named = (*(section.metric for section in experiment.objective), *constrained)
    return frozenset(filter(is_of_deployment, named))


def epoch_objectives(experiment: Experiment) -> tuple[ObjectiveSection, ...]:
    """Returns the objectives that epochs report, of which the first tells the best epoch.

    Where there is none, that is `val_loss`.
    """
    reported = tuple(each for each in experiment.objective if not is_of_deployment(each.metric))
    return reported or (ObjectiveSection(metric=STAND_IN),)


def rung_metrics(objectives: Sequence[str]) -> tuple[str | None, ...]:
    """Returns the metrics by which trials that have not ended are compared.

    Args:
        objectives: The metrics of a search.

    Returns:
        The objectives, None in the place of one that is known only of a whole trial; and `val_loss`, which
        stands in if epochs report none of them.
    """
    known = tuple(
        metric if metric in BEFORE_TRAINING or not is_of_deployment(metric) else None for metric in objectives
    )
    return known if not all(map(is_of_deployment, objectives)) else (*known, STAND_IN)
