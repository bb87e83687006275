"""What a trial's model will cost where it is deployed, and what its file is worth there.

Before a trial is trained its untrained model is counted and, if a constraint or an objective is on that,
converted: a file's size and speed depend on the architecture alone. Whoever breaks a constraint then is not
trained. Afterwards the trained model is converted, and its file scored on validation rows.

Files are made in a process of their own, so that no converter can take a trial down or change its numbers.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.constraints import constraints_of, require, violations
from hpsearch.deploy_metrics import FLOPS, LATENCY, OF_FILE, PARAMETERS, SIZE, wanted
from hpsearch.errors import ExportError, fault
from hpsearch.files import write_text
from hpsearch.study_folder import study_of
from hpsearch.training import distribution
from hpsearch.training.compatibility import first_rows, try_input
from hpsearch.training.flops import flops_of
from hpsearch.training.outputs import targets_of
from hpsearch.training.reuse import fingerprint
from hpsearch.training.samples import write_rows
from hpsearch.training.saving import save_model
from hpsearch.training.snapshot import Snapshot
from hpsearch.trial import (
    CALIBRATION_FILE,
    MODEL_FILE,
    SAMPLES_FILE,
    TRUTH_FILE,
    Export,
    ExportResult,
    Failure,
)

if TYPE_CHECKING:
    from hpsearch.datasets import Data
    from hpsearch.experiment import Experiment
    from hpsearch.trial import Speed

Convert = Callable[[Export], ExportResult | Failure]
"""Makes a file of a model, in a process of its own."""

KEPT = "deployed.json"
"""In a trial's folder: what was measured before it was trained."""
_UNTRAINED_ROWS, _VALIDATION_ROWS = 16, 10_000
_SCORES = {"classification": ("accuracy", "precision", "recall", "f1"), "regression": ("mae", "rmse", "r2")}

_measured: dict[tuple[object, ...], Mapping[str, float]] = {}
"""Size and speed, by all that they depend on, of files that this process has had made."""


def score_names(data: Data) -> tuple[str, ...]:
    """Returns the scores that the file of a model for `data` can have, e.g. `tflite_accuracy`."""
    return tuple(
        OF_FILE + target.called(score)
        for target in targets_of(data)
        for score in _SCORES.get(target.task, ())
    )


def parameters_of(model: keras.Model) -> int:
    """Counts a model's weights, one by one."""
    return sum(math.prod(weight.shape) for weight in model.weights)


@contextmanager
def _as_if_trained(model: keras.Model) -> Iterator[None]:
    """Gives a model weights that all differ; in the end it has its own again.

    Converters leave out biases of zero, and store once what is the same: files of a trained model are larger.
    """
    before = Snapshot.take(model)
    random = np.random.default_rng(0)
    try:
        for weight in model.weights:
            value = keras.ops.convert_to_numpy(weight)
            if keras.backend.is_float_dtype(weight.dtype):
                weight.assign(value + random.uniform(0.01, 0.02, value.shape).astype(value.dtype))
        yield
    finally:
        before.restore()


class Deployed:
    """Measures the model of one trial.

    Args:
        experiment: Its objectives and constraints say what is wanted.
        data: Gives rows to convert and score with.
        folder: The trial's.
        convert: Makes the files. Default: none can be made.
        identity: What makes the trial the same: what was measured before an interruption then stands.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data,
        folder: Path,
        convert: Convert | None,
        identity: Mapping[str, Any],
    ) -> None:
        self.metrics: dict[str, float] = {}
        """What is known so far."""
        self._experiment = experiment
        self._data = data
        self._folder = folder
        self._convert = convert
        self._identity = dict(identity)
        self._wanted = wanted(experiment)
        self._constraints = constraints_of(experiment)

    @property
    def violations(self) -> dict[str, float]:
        """How far what is known is beyond the constraints on that."""
        return violations(self._constraints, self.metrics)

    @property
    def refused(self) -> bool:
        """Whether what is known breaks a constraint."""
        return any(value > 0 for value in self.violations.values())

    def violations_of(self, metrics: Mapping[str, float], *, whole: bool) -> dict[str, float]:
        """Returns how far a trial is beyond the constraints.

        Args:
            metrics: Of its best epoch.
            whole: Whether it has ended: then it has all metrics that are constrained.

        Raises:
            ObjectiveError: A metric that is constrained was not reported.
        """
        everything = {**self.metrics, **metrics}
        if whole:
            require(self._constraints, everything)
        return violations(self._constraints, everything)

    def before(self, model: keras.Model) -> None:
        """Measures the untrained model, as far as is wanted: no file is made of one with too many parameters.

        Raises:
            ExportError: It cannot be converted.
            ModelError: Its operations cannot be counted.
        """
        if not self._wanted or self._recall():
            return
        rows, where = first_rows(model, self._data), f"model {self._experiment.model.name}"
        if not model.built:
            with distribution.scope(self._experiment):
                try_input(model, rows, where=where)
        if PARAMETERS in self._wanted:
            self.metrics[PARAMETERS] = float(parameters_of(model))
        if FLOPS in self._wanted and not self.refused:
            with distribution.scope(self._experiment):
                self.metrics[FLOPS] = float(flops_of(model, rows, where))
        if self._wanted & {SIZE, LATENCY} and not self.refused:
            self.metrics |= {
                name: value for name, value in self._of_file(model).items() if name in self._wanted
            }
        record = {"identity": self._identity, "metrics": self.metrics}
        write_text(self._folder / KEPT, json.dumps(record))

    def after(self, model: keras.Model) -> None:
        """Scores the file of the trained model, which is in the trial's folder, if that is wanted.

        Raises:
            ExportError: It cannot be converted.
        """
        scores = {name for name in self._wanted if name.startswith(OF_FILE)} - {SIZE, LATENCY}
        if not scores:
            return
        with tempfile.TemporaryDirectory(prefix="hpsearch-deployed-") as name:
            folder = Path(name)
            write_rows(folder, model, self._data, self._data.validation, _VALIDATION_ROWS)
            job = self._job(folder, self._folder / MODEL_FILE)
            section = self._experiment.export
            good = replace(
                job,
                tolerance=section.tolerance,
                min_agreement=section.min_agreement,
                max_loss=section.max_loss,
            )
            made = self._run(good)
            if isinstance(made, Failure):  # not good enough to be delivered: how good is it?
                made = self._proven(self._run(job))
        found = {OF_FILE + score: value for score, value in made.scores.items()}
        self.metrics |= {name: found.get(name, math.nan) for name in scores}

    def _recall(self) -> bool:
        try:
            record = json.loads((self._folder / KEPT).read_text(encoding="utf-8"))
            if record["identity"] != self._identity:
                return False
            self.metrics = dict(record["metrics"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True

    def _of_file(self, model: keras.Model) -> Mapping[str, float]:
        """Returns size and speed of the file.

        Those of an architecture that this process has measured; the speed of a file of the same structure
        that any trial of the study has: else what separates them is noise, and a front full of it.
        """
        architecture = fingerprint(model)
        form = (self._experiment.tflite_format, self._experiment.export.integer_io)
        key = (*form, self._data.digest, architecture)
        if architecture is not None and key in _measured:
            return _measured[key]
        with tempfile.TemporaryDirectory(prefix="hpsearch-deployed-") as name:
            folder = Path(name)
            with _as_if_trained(model):
                save_model(folder / MODEL_FILE, model)
            write_rows(folder, model, self._data, self._data.validation, _UNTRAINED_ROWS)
            made = self._proven(self._run(replace(self._job(folder, folder / MODEL_FILE), measure=True)))
        found = {SIZE: made.size_bytes / 1024}
        if made.speed is not None:
            found[LATENCY] = self._first_latency(made.speed)
        elif LATENCY in self._wanted:
            raise ExportError(fault(self._where, "its speed could not be measured"))
        if architecture is not None:
            _measured[key] = found
        return found

    def _first_latency(self, speed: Speed) -> float:
        """Returns what was measured of the study's first file of this structure; two at a time may differ."""
        measured = speed.default.median_ms
        if speed.structure is None:
            return measured
        kept = study_of(self._folder).latencies / f"{speed.structure}.json"
        try:
            return float(json.loads(kept.read_text(encoding="utf-8"))[LATENCY])
        except FileNotFoundError:
            write_text(kept, json.dumps({LATENCY: measured}))
            return measured

    def _job(self, folder: Path, model: Path) -> Export:
        """Returns the job that makes the file, whatever that decides: an untrained model decides nothing."""
        return Export(
            model=str(model),
            samples=str(folder / SAMPLES_FILE),
            target=str(folder / "model.tflite"),
            format=self._experiment.tflite_format,
            tolerance=math.inf,
            min_agreement=-math.inf,
            max_loss=math.inf,
            task=self._data.task,
            truth=str(folder / TRUTH_FILE),
            calibration=str(folder / CALIBRATION_FILE),
            integer_io=self._experiment.export.integer_io,
        )

    def _run(self, job: Export) -> ExportResult | Failure:
        if self._convert is None:
            raise ExportError(fault(self._where, "nothing that makes it was given"))
        return self._convert(job)

    def _proven(self, made: ExportResult | Failure) -> ExportResult:
        if isinstance(made, ExportResult):
            return made
        print(made.detail, file=sys.stderr)
        raise ExportError(fault(self._where, "cannot be made of the model", received=made.cause))

    @property
    def _where(self) -> str:
        return f"the file as {self._experiment.tflite_format}"
