"""The steps of one export, in order."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpsearch.errors import DataError, ExportError, HpsearchError, ModelError, UsageError, fault
from hpsearch.export import formats, keras_file, record
from hpsearch.export import samples as samples_file
from hpsearch.export.endpoint import Endpoint, open_endpoint
from hpsearch.export.formats import Attempt, Format, Runner
from hpsearch.export.samples import rows_of
from hpsearch.export.verify import Comparison, verify, verify_backend
from hpsearch.files import whole
from hpsearch.models import load_saved
from hpsearch.trial import Export, ExportResult, Failure, FailureKind

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class _Proven:
    attempt: Attempt
    runner: Runner
    comparison: Comparison


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
    with _writable(job.target), whole(job.target) as file:
        proven = _prove(form, endpoint, job, file)
        result = ExportResult(
            path=job.target,
            format=job.format,
            size_bytes=file.stat().st_size,
            largest_difference=proven.comparison.largest,
            mean_difference=proven.comparison.mean,
            agreement=proven.comparison.agreement,
            samples=rows_of(endpoint.samples),
            ops=proven.runner.ops,
            notes=(*([f"computes in float32, trained in {policy}"] if policy else []), *proven.attempt.notes),
        )
        record.write(
            result,
            job,
            file=file,
            runner=proven.runner,
            comparison=proven.comparison,
        )
    return result


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
    loss = keras_file.loss(job.model)
    refusals: list[tuple[Attempt, HpsearchError]] = []
    for attempt in form.attempts(endpoint):
        file.unlink(missing_ok=True)  # the last attempt's runner may still read it
        try:
            attempt.write(file)
            runner = form.open(file, endpoint)
            comparison = verify(
                runner, endpoint, attempt.batch, tolerance=job.tolerance, task=job.task, loss=loss
            )
        except (ExportError, ModelError) as refusal:
            refusals.append((attempt, refusal))
        else:
            return _Proven(attempt, runner, comparison)
    raise ExportError(_all_refused(refusals, job.target)) from refusals[-1][1]


def _all_refused(refusals: Sequence[tuple[Attempt, HpsearchError]], target: str) -> str:
    reasons = {str(refusal): attempt for attempt, refusal in refusals}
    if len(reasons) == 1:
        text = str(refusals[-1][1])
    else:
        text = "No way to convert the model gave a right file. " + " ".join(
            f"{_named(attempt)}: {reason}" for reason, attempt in reasons.items()
        )
    if Path(target).exists():
        text += f" {target} is from an earlier export and was left as it was."
    return text


def _named(attempt: Attempt) -> str:
    return f"With {', '.join(attempt.notes)}" if attempt.notes else "As it is"
