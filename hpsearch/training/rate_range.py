"""The learning-rate range test: one short training whose rate grows from step to step.

find_rates(experiment, job, channel) -> RateRangeResult | Failure
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.datasets import load_data
from hpsearch.errors import ModelError, fault
from hpsearch.models.compiled import inner_optimizer
from hpsearch.models.stateful import reset_states
from hpsearch.training import runtime
from hpsearch.training.failures import failure_of
from hpsearch.training.fit import source_of, training_data
from hpsearch.training.hyperparameters import overridden
from hpsearch.training.optimizers import optimizer_name, require_one, set_rate
from hpsearch.training.plots import draw_rates
from hpsearch.training.prepare import BATCH_SIZE, prepare
from hpsearch.training.rate_curve import Divergence, read
from hpsearch.trial import Epoch, Failure, FailureKind, RateRangeResult

if TYPE_CHECKING:
    from hpsearch.channel import Channel
    from hpsearch.experiment import Experiment
    from hpsearch.training.feed import Shuffled
    from hpsearch.training.prepare import Prepared
    from hpsearch.trial import RateRange


def find_rates(experiment: Experiment, job: RateRange, channel: Channel) -> RateRangeResult | Failure:
    """Trains the default model on mini-batches while its learning rate grows geometrically.

    The test ends early when the loss runs away. The same experiment gives the same numbers.

    Args:
        experiment: Its model, data, training and space are used; its seed is the search's.
        job: The rates and the number of steps.
        channel: Receives an `Epoch` after each step, with `learning_rate` and `loss`.

    Returns:
        The rates, the losses and what they suggest; or why there are none.
    """
    stage = FailureKind.ERROR
    try:
        runtime.set_up(experiment)
        stage = FailureKind.DATA
        data = load_data(experiment.data, experiment.evaluation)
        stage = FailureKind.BUILD
        seed = experiment.search.seed
        prepared = prepare(experiment, data, lambda each: overridden(experiment, each).default, seed=seed)
        _check_compiled(prepared, f"model {experiment.model.name}")
        source = source_of(prepared, training_data(experiment, prepared, data, seed=seed))
        stage = FailureKind.ERROR
        return _result(prepared, job, *_train(prepared.model, source, job, channel))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return failure_of(error, stage)
    finally:
        runtime.tidy()


def _check_compiled(prepared: Prepared, where: str) -> None:
    """Refuses a model that only the user's `fit` can train."""
    if not prepared.model.compiled:
        raise ModelError(
            fault(
                where,
                "its learning rate cannot be tested, because only its own `HyperModel.fit` can train it",
                expected="`model.compile(optimizer=..., loss=...)` in build",
                received="a model that is not compiled",
            )
        )


def _train(
    model: keras.Model, source: Shuffled, job: RateRange, channel: Channel
) -> tuple[list[float], list[float]]:
    """Returns the rates and losses of the steps, until the loss runs away."""
    optimizer = inner_optimizer(model.optimizer)
    require_one(optimizer)
    set_rate(optimizer, job.low)  # in the place of a schedule, if there is one
    model.steps_per_execution = 1  # several are for epochs
    rates: list[float] = []
    losses: list[float] = []
    divergence = Divergence()
    for rate, batch in zip(np.geomspace(job.low, job.high, job.steps), _batches(model, source), strict=False):
        optimizer.learning_rate = rate
        loss = _loss(model.train_on_batch(*batch, return_dict=True), model)
        stop = divergence.seen(loss)
        if np.isfinite(loss):
            rates.append(float(rate))
            losses.append(loss)
            metrics = {"learning_rate": float(rate), "loss": loss}
            channel.report(Epoch(len(rates), metrics, time.time()), await_answer=False)
        if stop:
            break
    return rates, losses


def _batches(model: keras.Model, source: Shuffled) -> Iterator[tuple[Any, ...]]:
    """Yields batches without an end; only whole ones, whose losses are equally noisy."""
    for epoch in itertools.count():
        source.turn(epoch)
        reset_states(model)
        for index in range(source.whole_batches or 1):
            yield source[index]


def _loss(logs: dict[str, Any], model: keras.Model) -> float:
    if "loss" not in logs:
        raise ModelError(
            fault(
                f"{type(model).__name__}.train_step",
                "reports no loss, so its learning rate cannot be tested",
                expected="a dictionary with `loss`",
                received=", ".join(logs),
            )
        )
    return float(logs["loss"])


def _result(prepared: Prepared, job: RateRange, rates: list[float], losses: list[float]) -> RateRangeResult:
    reading = read(rates, losses)
    notes = reading.notes
    if prepared.custom_fit:
        notes = ("The model's own `HyperModel.fit` was not used.", *notes)
    result = RateRangeResult(
        suggestion=reading.suggestion,
        low=reading.low,
        high=reading.high,
        rates=tuple(rates),
        losses=tuple(losses),
        smoothed=reading.smoothed,
        optimizer=optimizer_name(prepared.model),
        batch_size=prepared.batch_size or BATCH_SIZE,
        picture=job.picture if rates else None,
        notes=notes,
    )
    if result.picture is not None:
        draw_rates(Path(result.picture), result)
    return result
