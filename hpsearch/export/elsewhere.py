"""Export where another backend than TensorFlow trains: in a child process that has TensorFlow.

The `.keras` file is the same whichever backend wrote it. What that backend says to the samples goes along, so
that TensorFlow, and with it the exported file, agrees with what was trained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpsearch.export import child, formats, keras_file
from hpsearch.export import samples as samples_file
from hpsearch.export.deliver import failure_of
from hpsearch.export.endpoint import open_endpoint
from hpsearch.export.samples import Arrays
from hpsearch.models import load_saved
from hpsearch.trial import Export, ExportResult, Failure


def export(job: Export, *, register: Callable[[], object]) -> ExportResult | Failure:
    """Exports a model by TensorFlow.

    Args:
        job: As for `hpsearch.export.export`.
        register: Makes the model's own classes known to Keras; called in the child, has been called here.

    Returns:
        What `hpsearch.export.export` returns.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="hpsearch-export-") as folder:
            expected = Path(folder, "expected.npz")
            np.savez(expected, **_predictions(job))  # type: ignore[arg-type]
            return child.export(job, register=register, expected=str(expected))
    except Exception as failure:
        return failure_of(failure)


def _predictions(job: Export) -> Arrays:
    """Returns what this process's backend says to the samples, by output name."""
    model = load_saved(job.model)
    if formats.find(job.format).float32:
        keras_file.compute_in_float32(model)
    arrays = samples_file.read(job.samples)
    return open_endpoint(model, arrays, file=job.model, where=job.samples).reference
