"""What validation adds to an epoch's metrics: `val_loss`, what the model compiles with, and our own."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras

from hpsearch.training.graphs import Graphs
from hpsearch.training.lanes import arranged
from hpsearch.training.measure import forward, measure
from hpsearch.training.outputs import Judged, judge, targets_of

if TYPE_CHECKING:
    from hpsearch.datasets import Data, Split

Validate = Callable[[keras.Model, dict[str, float]], tuple[Judged, ...]]
"""Adds `val_...` metrics to an epoch's logs, in place, and returns the predictions."""


def validation(data: Data, batch_size: int, graphs: Graphs | None = None) -> Validate:
    """Returns what validates a model that we train: everything in one pass over the validation rows.

    Args:
        data: Its validation rows and targets are read.
        batch_size: Rows a step.
        graphs: Of the model. Default: none that could be used again.
    """
    kept = graphs or Graphs()
    run: Any = None
    split = data.validation

    def validate(model: keras.Model, logs: dict[str, float]) -> tuple[Judged, ...]:
        nonlocal run, split
        if run is None:
            split = arranged(model, data.validation)
            run = kept.get(("validate", batch_size), split, lambda: measure(model, split, batch_size))
        metrics, outputs = run()
        logs.update({f"val_{name}": value for name, value in metrics.items()})
        judged = read(data, split, model, outputs)
        _add(logs, judged)
        return judged

    return validate


def validation_after(data: Data, batch_size: int) -> Validate:
    """Returns what adds the validation's metrics where the user's `fit` trains.

    What `fit` has validated by itself stays; the predictions take a second pass, as Keras keeps those of
    its validation to itself. If what Keras measured shows that the user's validation rows are not the data
    set's (scaled in `fit`, say), our metrics would be wrong, so they are left out. Where `fit` does not
    validate, as a loop of `train_on_batch` may not, a compiled model is measured whole.
    """
    passes: dict[bool, Any] = {}  # by whether they measure, or predict only
    of: keras.Model | None = None
    split = data.validation

    def validate(model: keras.Model, logs: dict[str, float]) -> tuple[Judged, ...]:
        nonlocal of, split
        if model is not of:
            of, split = model, arranged(model, data.validation)
            passes.clear()
        metrics: dict[str, float] = {}
        outputs: Any = None
        if getattr(model, "compiled", False) and "val_loss" not in logs:
            try:
                passes[True] = passes.get(True) or measure(model, split, batch_size)
                metrics, outputs = passes[True]()
            except Exception as error:  # a loss that needs more than the validation rows
                _say(f"no `val_loss`: {error}")
        try:
            if outputs is None:
                passes[False] = passes.get(False) or forward(model, split, batch_size)
                outputs = passes[False]()
        except Exception as error:  # a model that takes the user's own form of the rows only
            _say(f"no metrics of our own: the validation rows do not fit the model: {error}")
            return ()
        judged = read(data, split, model, outputs)
        if judged and _differs(model, split, outputs, judged, logs):
            _say("no metrics of our own: `fit` validates on other rows than the data set's")
            return ()
        for name, value in metrics.items():
            logs.setdefault(f"val_{name}", value)
        _add(logs, judged)
        return judged

    return validate


def read(data: Data, split: Split, model: keras.Model, outputs: Any) -> tuple[Judged, ...]:
    """Reads classes or amounts from a model's outputs for a split of `data`.

    Outputs that do not fit the targets, which a loss of the user's own may want, are left to Keras's
    metrics; the trial's log says so.
    """
    try:
        return judge(targets_of(data), split.y, outputs, model)
    except (ValueError, KeyError, IndexError) as error:
        _say(f"no metrics of our own: {error}")
        return ()


def _add(logs: dict[str, float], judged: tuple[Judged, ...]) -> None:
    for entry in judged:
        for name, value in entry.metrics().items():
            logs.setdefault(f"val_{name}", value)  # the user's names win


def _differs(
    model: keras.Model, split: Split, outputs: Any, judged: tuple[Judged, ...], logs: Mapping[str, float]
) -> bool:
    """Whether `fit` reports another validation accuracy or loss than these predictions give."""
    if len(judged) == 1 and judged[0].confidence is not None and "val_accuracy" in logs:
        return not math.isclose(judged[0].metrics()["accuracy"], logs["val_accuracy"], abs_tol=1e-3)
    if "val_loss" not in logs or not getattr(model, "compiled", False):
        return False
    try:
        loss = float(model.compute_loss(None, split.y, outputs, split.sample_weight))
    except Exception:  # a loss of the user's own that needs more
        return False
    return math.isfinite(loss) and not math.isclose(loss, logs["val_loss"], rel_tol=1e-2, abs_tol=1e-4)


def _say(line: str) -> None:
    """Writes to the trial's log."""
    print(f"hpsearch: {line}", file=sys.stderr)
