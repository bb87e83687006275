"""Whether a file says what Keras says, on real samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpsearch.errors import ExportError, fault
from hpsearch.export.classes import decision
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Runner
from hpsearch.export.samples import Array, Arrays, batches, rows_of, take

_NOISE = float(np.finfo(np.float32).eps)
"""Absolute differences too small to mean anything, even where all outputs are tiny."""


@dataclass(frozen=True)
class Comparison:
    """How far a file is from Keras.

    Attributes:
        largest: Largest absolute difference of any value.
        mean: Mean absolute difference, of the output where it is largest.
        relative: The largest difference, relative to the output's scale; what `tolerance` bounds.
        agreement: Share of samples with the same predicted classes; None for regression.
    """

    largest: float
    mean: float
    relative: float
    agreement: float | None

    def __str__(self) -> str:
        agreement = "" if self.agreement is None else f", same class for {self.agreement:.1%} of the samples"
        return (
            f"largest difference {self.largest:.3g} ({self.relative:.3g} relative), "
            f"mean {self.mean:.3g}{agreement}"
        )


def verify(
    runner: Runner, endpoint: Endpoint, batch: int | None, *, tolerance: float, task: str | None, loss: str
) -> Comparison:
    """Runs a file on every sample and compares it with Keras.

    Args:
        runner: The file.
        endpoint: Holds the samples, and Keras's predictions on them.
        batch: The file's batch size; None runs a batch of one, then larger ones.
        tolerance: Largest difference allowed, relative to an output's scale (see `scale`).
        task: What the model is for; None to infer it (see `classes.decision`).
        loss: The name of the loss it was trained with, in lower case.

    Raises:
        ExportError: The file does not run, returns something else than Keras, or NaN.
    """
    expected, received = _run(runner, endpoint, batch)
    parts = [_compare(expected[name], received[name]) for name in expected]
    agreement = _agreement(expected, received, task=task, loss=loss)
    worst = max(parts, key=lambda part: part.relative)
    comparison = Comparison(
        largest=max(part.largest for part in parts),
        mean=max(part.mean for part in parts),
        relative=worst.relative,
        agreement=agreement,
    )
    if comparison.relative > tolerance:
        name = list(expected)[parts.index(worst)]
        raise ExportError(
            fault(
                f"output `{name}`",
                "the file disagrees with Keras",
                expected=f"differences up to {tolerance:.3g} relative to the output's scale",
                received=str(comparison),
                advice="If that is good enough, raise `export.tolerance`.",
            )
        )
    return comparison


def verify_backend(here: Arrays, trained: Arrays, *, tolerance: float) -> None:
    """Makes sure that Keras says the same here as on the backend that trained the model.

    Args:
        here: Its outputs on the samples, by name.
        trained: Those on the other backend.
        tolerance: Largest difference allowed, relative to an output's scale.

    Raises:
        ExportError: It does not.
    """
    _check(here, trained)
    for name, expected in trained.items():
        comparison = _compare(expected, here[name])
        if comparison.relative > tolerance:
            raise ExportError(
                fault(
                    f"output `{name}`",
                    "Keras on TensorFlow, which exports, disagrees with the backend that trained the model",
                    expected=f"differences up to {tolerance:.3g} relative to the output's scale",
                    received=str(comparison),
                    advice="If that is good enough, raise `export.tolerance`.",
                )
            )


def scale(expected: Array) -> float:
    """Returns what differences are relative to: the largest absolute output, at least 1.

    Outputs below a hundredth are the exception, for any file would pass there: a hundred times the largest.

    Example:
        >>> scale(np.array([-3.0, 2.0])), scale(np.array([0.2])), scale(np.array([0.0001]))
        (3.0, 1.0, 0.01)
    """
    largest = float(np.abs(expected).max())
    return largest if largest > 1 else min(1.0, 100 * largest)


def _run(runner: Runner, endpoint: Endpoint, batch: int | None) -> tuple[Arrays, Arrays]:
    """Returns Keras's and the file's outputs, in the order in which the file was run."""
    order = batches(rows_of(endpoint.samples), batch)
    wanted = {tensor.name for tensor in runner.inputs}
    given = {name: array for name, array in endpoint.samples.items() if name in wanted}
    parts = []
    for rows in order:
        outputs, reference = runner(take(given, rows)), take(endpoint.reference, rows)
        _check(outputs, reference)
        parts.append(outputs)
    received = {name: np.concatenate([part[name] for part in parts]) for name in endpoint.reference}
    return take(endpoint.reference, np.concatenate(order)), received


def _check(outputs: Arrays, reference: Arrays) -> None:
    if set(outputs) != set(reference):
        raise ExportError(
            fault("the file", "other outputs", expected=str(sorted(reference)), received=str(sorted(outputs)))
        )
    for name, expected in reference.items():
        received = outputs[name]
        if received.shape != expected.shape:
            raise ExportError(
                fault(
                    f"output `{name}`",
                    "the file returns another shape",
                    expected=str(expected.shape),
                    received=str(received.shape),
                )
            )
        if wrong := np.count_nonzero(~np.isfinite(received)):
            raise ExportError(
                fault(
                    f"output `{name}`",
                    "the file returns NaN or infinity",
                    expected="finite numbers, as Keras",
                    received=f"{wrong} of {received.size} values",
                )
            )


def _compare(expected: Array, received: Array) -> Comparison:
    difference = np.abs(expected.astype(np.float64) - received.astype(np.float64))
    largest = float(difference.max())
    relative = 0.0 if largest <= _NOISE else largest / max(scale(expected), _NOISE)
    return Comparison(largest, float(difference.mean()), relative, None)


def _agreement(expected: Arrays, received: Arrays, *, task: str | None, loss: str) -> float | None:
    """Returns the share of samples for which every predicted class is the same."""
    same = []
    for name, output in expected.items():
        decide = decision(output, task=task, loss=loss)
        if decide is not None:
            equal = decide(output) == decide(received[name])
            same.append(equal.reshape(len(equal), -1).all(axis=1))
    return float(np.all(same, axis=0).mean()) if same else None
