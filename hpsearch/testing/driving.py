"""Runs jobs on an executor as the search does, for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch.executors import Executor, Report, Suggest
from hpsearch.space import Parameter
from hpsearch.trial import Epoch, Outcome, Result, TrialSpec, Value

PATIENCE_S = 60.0
UNITS = Parameter("units", "int", 8, low=1, high=64)
DONE = Result(params={}, metrics={"loss": 0.5}, epochs=1, best_epoch=1, duration_s=0.0)
epoch = partial(Epoch, metrics={"loss": 0.5}, ended_at_s=0.0)


def trial(number: int, **params: Value) -> TrialSpec:
    """Returns a job whose only purpose is to be run."""
    return TrialSpec(number, params, seed=0, folder="")


def drive(
    executor: Executor,
    specs: Sequence[TrialSpec],
    log: Path,
    *,
    answer: Callable[[Suggest | Report], Value] = lambda _asked: True,
    timeout_s: float | None = None,
) -> dict[int, list[Any]]:
    """Runs jobs as the search does; returns what happened to each, by trial number."""
    happened: dict[int, list[Any]] = {spec.number: [] for spec in specs}
    waiting, running = list(specs), set[int]()
    until_s = time.monotonic() + PATIENCE_S
    while waiting or running:
        assert time.monotonic() < until_s, f"no outcome of {running} in {PATIENCE_S} s: {happened}"
        while waiting and len(running) < executor.slots:
            spec = waiting.pop(0)
            executor.submit(spec.number, spec, log=str(log), timeout_s=timeout_s)
            running.add(spec.number)
        for event in executor.wait(1.0):
            happened[event.key].append(event.body)
            if isinstance(event.body, Suggest) or (
                isinstance(event.body, Report) and event.body.awaits_answer
            ):
                executor.answer(event.key, answer(event.body))
            elif isinstance(event.body, Outcome):
                running.remove(event.key)
    assert not executor.wait(0.1), "events after the outcome"
    return happened


def wait_for(executor: Executor, *kinds: type) -> list[Any]:
    """Returns the events up to the first of some kinds."""
    events: list[Any] = []
    until_s = time.monotonic() + PATIENCE_S
    while not any(isinstance(event.body, kinds) for event in events):
        assert time.monotonic() < until_s, f"none of {kinds} in {PATIENCE_S} s: {events}"
        events += executor.wait(1.0)
    return events
