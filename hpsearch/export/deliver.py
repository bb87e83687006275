"""The steps of one export, in order."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.errors import DataError, ExportError, HpsearchError, ModelError, UsageError, fault
from hpsearch.export import formats, keras_file, record
from hpsearch.export import samples as samples_file
from hpsearch.export.classes import Decision
from hpsearch.export.endpoint import Endpoint, open_endpoint
from hpsearch.export.formats import Attempt, Format, Runner
from hpsearch.export.quality import quality_of
from hpsearch.export.samples import rows_of, take
from hpsearch.export.verify import Comparison, verify, verify_backend
from hpsearch.files import remove, size_of, whole, whole_folder
from hpsearch.models import load_saved
from hpsearch.trial import Export, ExportResult, Failure, FailureKind, Speed

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class _Proven:
    attempt: Attempt
    runner: Runner
    comparison: Comparison
    classes: Mapping[str, Decision]
    """How they are read off, for each output that tells some."""
    refused: tuple[str, ...]
    """What came of the attempts before."""


def deliver(
    job: Export, *, load: Callable[[str], keras.Model] | None = None, expected: str | None = None
) -> ExportResult:
    """Exports, or raises; see `hpsearch.export.export`.

    Raises:
        UsageError: The model, the samples, the target or the format's name cannot be used.
        ExportError: No attempt led to a file that agrees with Keras.
    """
    form = formats.find(job.format)
    formats.check_target(job.format, Path(job.target))
    arrays = samples_file.read(job.samples)
    model = (load or load_saved)(job.model)
    policy = keras_file.compute_in_float32(model) if form.float32 else None
    endpoint = open_endpoint(model, arrays, file=job.model, where=job.samples)
    if expected is not None:
        verify_backend(endpoint.reference, samples_file.read(expected), tolerance=job.tolerance)
    place = whole_folder if form.folder else whole
    with _writable(job.target), place(job.target) as file:
        proven = _prove(form, endpoint, job, file)
        comparison = proven.comparison
        result = ExportResult(
            path=job.target,
            format=job.format,
            size_bytes=size_of(file),
            largest_difference=comparison.largest,
            mean_difference=comparison.mean,
            agreement=comparison.agreement,
            samples=rows_of(endpoint.samples),
            ops=proven.runner.ops,
            notes=(*([f"computes in float32, trained in {policy}"] if policy else []), *proven.attempt.notes),
            keras_scores=comparison.keras_scores,
            scores=comparison.scores,
            speed=_measured(form, endpoint, proven.attempt, file) if job.measure else None,
        )
        record.write(
            result,
            job,
            file=file,
            runner=proven.runner,
            comparison=comparison,
            samples=endpoint.samples,
            classes=proven.classes,
            refused=proven.refused,
        )
    return result


def _measured(form: Format, endpoint: Endpoint, attempt: Attempt, file: Path) -> Speed | None:
    if form.measure is None:
        return None
    rows = np.arange(attempt.batch or 1) % rows_of(endpoint.samples)
    return form.measure(file, take(endpoint.samples, rows))


def failure_of(failure: Exception) -> Failure:
    """Returns an exception as the value that travels."""
    detail = "".join(traceback.format_exception(failure))
    if isinstance(failure, HpsearchError):
        return Failure(
            _kind(failure), str(failure).replace("\n", " "), detail, usage=isinstance(failure, UsageError)
        )
    memory = isinstance(failure, MemoryError) or type(failure).__name__ == "ResourceExhaustedError"
    cause = " ".join(f"{type(failure).__name__}: {failure}".split())
    return Failure(FailureKind.OUT_OF_MEMORY if memory else FailureKind.ERROR, cause, detail)


def _kind(failure: HpsearchError) -> FailureKind:
    match failure:
        case ModelError():
            return FailureKind.BUILD
        case DataError():
            return FailureKind.DATA
        case _:
            return FailureKind.ERROR


@contextmanager
def _writable(target: str) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise UsageError(
            fault(target, "the file cannot be written", received=failure.strerror or str(failure))
        ) from failure


def _prove(form: Format, endpoint: Endpoint, job: Export, file: Path) -> _Proven:
    """Writes `file` by the first attempt that gives a right one."""
    quality = quality_of(endpoint, job)
    refusals: list[tuple[Attempt, HpsearchError]] = []
    for attempt in form.attempts(endpoint, job):
        remove(file)  # the last attempt's runner may still read it
        try:
            attempt.write(file)
            runner = form.open(file, endpoint)
            comparison = verify(
                runner, endpoint, attempt.batch, job=job, quantized=form.quantized, quality=quality
            )
        except (ExportError, ModelError) as refusal:
            refusals.append((attempt, refusal))
        else:
            return _Proven(attempt, runner, comparison, quality.classes, tuple(_reasons(refusals)))
    raise ExportError(_all_refused(refusals, job.target)) from refusals[-1][1]


def _all_refused(refusals: Sequence[tuple[Attempt, HpsearchError]], target: str) -> str:
    if len({str(refusal) for _, refusal in refusals}) == 1:
        text = str(refusals[-1][1])
    else:
        text = "No way to convert the model gave a right file. " + " ".join(_reasons(refusals))
    if Path(target).exists():
        text += f" {target} is from an earlier export and was left as it was."
    return text


def _reasons(refusals: Sequence[tuple[Attempt, HpsearchError]]) -> list[str]:
    """Says why each attempt was refused; those with the same reason once."""
    reasons = {str(refusal): attempt for attempt, refusal in refusals}
    return [f"{_named(attempt)}: {reason}" for reason, attempt in reasons.items()]


def _named(attempt: Attempt) -> str:
    return f"With {', '.join(attempt.notes)}" if attempt.notes else "As it is"
