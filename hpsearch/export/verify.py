"""Whether a file says what Keras says, on real samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import ExportError, fault
from hpsearch.export.endpoint import Endpoint
from hpsearch.export.formats import Runner
from hpsearch.export.quality import Quality, Scores, loss_of
from hpsearch.export.samples import Array, Arrays, batches, rows_of, take
from hpsearch.trial import Export

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
        similarity: R² of the file's outputs to Keras's: 1 where they are the same; of the output where it
            is lowest.
        keras_scores: Of Keras on what is true of the samples; empty where that is not known.
        scores: The same of the file.
    """

    largest: float
    mean: float
    relative: float
    agreement: float | None
    similarity: float = 1.0
    keras_scores: Scores = field(default_factory=dict)
    scores: Scores = field(default_factory=dict)

    def __str__(self) -> str:
        agreement = "" if self.agreement is None else f", same class for {self.agreement:.1%} of the samples"
        return (
            f"largest difference {self.largest:.3g} ({self.relative:.3g} relative), "
            f"mean {self.mean:.3g}{agreement}"
        )


def verify(
    runner: Runner, endpoint: Endpoint, batch: int | None, *, job: Export, quantized: bool, quality: Quality
) -> Comparison:
    """Runs a file on every sample and compares it with Keras.

    Args:
        runner: The file.
        endpoint: Holds the samples, and Keras's predictions on them.
        batch: The file's batch size; None runs a batch of one, then larger ones.
        job: Its limits: `tolerance`, or of a quantized file `min_agreement` and `max_loss`. Single values
            of such a file may be far off; what counts is what it decides.
        quantized: Whether the file holds coarser numbers than the model, by intention.
        quality: What the outputs mean, and what is true of the samples.

    Raises:
        ExportError: The file does not run, or returns something else than Keras, or NaN.
    """
    order, received = _run(runner, endpoint, batch)
    expected = take(endpoint.reference, order)
    parts = {name: _compare(expected[name], received[name]) for name in expected}
    worst = max(parts, key=lambda name: parts[name].relative)
    once = np.unique(order, return_index=True)[1]  # some rows are run twice
    comparison = Comparison(
        largest=max(part.largest for part in parts.values()),
        mean=max(part.mean for part in parts.values()),
        relative=parts[worst].relative,
        agreement=quality.agreement(expected, received),
        similarity=min(part.similarity for part in parts.values()),
        keras_scores=quality.scores(endpoint.reference),
        scores=quality.scores(take(received, once)),
    )
    if quantized:
        _check_quality(comparison, job)
    elif comparison.relative > job.tolerance:
        raise ExportError(
            fault(
                f"output `{worst}`",
                "the file disagrees with Keras",
                expected=f"differences up to {job.tolerance:.3g} relative to the output's scale",
                received=str(comparison),
                advice="If that is good enough, raise `export.tolerance`.",
            )
        )
    return comparison


def _check_quality(comparison: Comparison, job: Export) -> None:
    if comparison.agreement is None:
        close = comparison.similarity
        wanted, found = f"R² to Keras of at least {job.min_agreement:g}", f"{close:.4f}"
    else:
        close = comparison.agreement
        wanted = f"the class that Keras predicts for at least {job.min_agreement:.1%} of the samples"
        found = f"{close:.1%}"
    if close < job.min_agreement:
        raise ExportError(
            fault(
                "quantization",
                "the file disagrees with Keras",
                expected=wanted,
                received=f"{found}; {comparison}",
                advice="If that is good enough, lower `export.min_agreement`.",
            )
        )
    score, loss = loss_of(comparison.keras_scores, comparison.scores)
    if loss > job.max_loss:
        before, after = comparison.keras_scores[score], comparison.scores[score]
        raise ExportError(
            fault(
                "quantization",
                f"the file loses too much of its {score}",
                expected=f"a loss of at most {job.max_loss:g}",
                received=f"{before:.4f} of Keras, {after:.4f} of the file",
                advice="If that is good enough, raise `export.max_loss`.",
            )
        )


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


def _run(runner: Runner, endpoint: Endpoint, batch: int | None) -> tuple[NDArray[np.intp], Arrays]:
    """Returns the row numbers in the order in which the file was run, and its outputs in that order."""
    order = batches(rows_of(endpoint.samples), batch)
    wanted = {tensor.name for tensor in runner.inputs}
    given = {name: array for name, array in endpoint.samples.items() if name in wanted}
    parts = []
    for rows in order:
        outputs = runner(take(given, rows))
        _check(outputs, take(endpoint.reference, rows))
        parts.append(outputs)
    received = {name: np.concatenate([part[name] for part in parts]) for name in endpoint.reference}
    return np.concatenate(order), received


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
    wanted = expected.astype(np.float64)
    error = wanted - received.astype(np.float64)
    largest = float(np.abs(error).max())
    relative = 0.0 if largest <= _NOISE else largest / max(scale(expected), _NOISE)
    spread, squares = float(wanted.var()), float((error**2).mean())
    similarity = 1 - squares / spread if spread > _NOISE**2 else float(relative <= _NOISE)
    return Comparison(largest, float(np.abs(error).mean()), relative, None, similarity)
