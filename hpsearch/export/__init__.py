"""Export: a trained model becomes a file for deployment, proven right before it appears.

    load the `.keras` file                  keras_file.py, hpsearch.models.load_saved
    name its inputs and outputs             signature.py
    match the real samples                  samples.py
    have Keras predict them                 endpoint.py
    write, by the first attempt             formats/<format>.py
      to LiteRT, by several routes          litert.py, routes.py
      in coarser numbers                    quantization.py
      to TensorFlow's and ONNX's            saved_model.py, onnx_file.py
      to Keras's own formats                keras_model.py
      whose file runs and agrees            interpreter.py, verify.py
      or is as good on real samples         quality.py, classes.py
    measure its speed                       latency.py
    write the record, let the file appear   record.py, deliver.py

`export` runs in a worker, because it imports TensorFlow. `hpsearch.export.child.export` gives it a
process of its own, for those who have no worker, and for workers of another backend (`elsewhere.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hpsearch.trial import Export, ExportResult, Failure

if TYPE_CHECKING:
    import keras

__all__ = ["export"]


def export(
    job: Export, *, load: Callable[[str], keras.Model] | None = None, expected: str | None = None
) -> ExportResult | Failure:
    """Converts a model, runs the file on real samples, compares it with Keras, and only then delivers it.

    Classes of the user's own that the model needs must be registered before: import their module.

    Args:
        job: What to convert, to what, where. Beside the target, `<target>.json` records what the file is.
        load: Makes a model of `job.model`, for files that Keras alone refuses. Default: Keras loads it,
            and runs no code that the file holds.
        expected: An `.npz` file of what another backend's Keras says to the samples, by output name; this
            one's must agree. Default: none.

    Returns:
        An `ExportResult`, or a `Failure` when the file cannot be made or does not agree. A failed export
        writes nothing; a file that was at the target before is left as it was.
    """
    from hpsearch.export.deliver import deliver, failure_of

    try:
        return deliver(job, load=load, expected=expected)
    except Exception as failure:
        return failure_of(failure)
