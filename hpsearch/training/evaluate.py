"""The test rows, which no trial has seen: metrics, predictions and samples of one model.

evaluate(experiment, job) -> EvaluationResult | Failure
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from hpsearch.datasets import load_data
from hpsearch.datasets.text import vocabulary_of
from hpsearch.errors import ModelError, fault
from hpsearch.files import whole, write_text
from hpsearch.models import load_hypermodel, register_custom_objects
from hpsearch.models.end_to_end import end_to_end
from hpsearch.training import runtime
from hpsearch.training.distribution import on_one_device
from hpsearch.training.failures import failure_of, one_line
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.lanes import arranged, rows_seen
from hpsearch.training.measure import forward, measure
from hpsearch.training.mistakes import write_mistakes
from hpsearch.training.plots import draw_judged
from hpsearch.training.prepare import prepare
from hpsearch.training.record import read_params
from hpsearch.training.samples import write_samples
from hpsearch.training.validation import read
from hpsearch.trial import SAMPLES_FILE, EvaluationResult, Failure, FailureKind

if TYPE_CHECKING:
    from hpsearch.datasets import Data
    from hpsearch.datasets.data import Array
    from hpsearch.experiment import Experiment
    from hpsearch.space import Parameter
    from hpsearch.training.outputs import Judged
    from hpsearch.trial import Evaluation, Value

PREDICTIONS = "test_predictions.csv"
END_TO_END = "end_to_end.keras"
NUMBERS_SHOWN = 32
"""With more numbers than this a row, such as pictures, `test_predictions.csv` has each row's error only."""
BATCH_SIZE = 256


def evaluate(experiment: Experiment, job: Evaluation) -> EvaluationResult | Failure:
    """Evaluates a saved model on the test rows.

    Writes into the job's folder `test_predictions.csv` (row, truth, prediction, confidence), a picture, the
    worst mistakes (`test_mistakes.json`, and `test_mistakes.png` where the inputs are pictures), and what an
    export is made and judged with (`samples.py`). Where layers prepared the data set's inputs,
    `end_to_end.keras` is the model together with them: it takes text.

    Args:
        experiment: What was searched.
        job: Which model, and where to write.

    Returns:
        Metrics named `test_...`; or why there are none.
    """
    stage = FailureKind.ERROR
    try:
        runtime.set_up(experiment)
        stage = FailureKind.DATA
        data = load_data(experiment.data, experiment.evaluation, job.part)
        stage = FailureKind.BUILD
        model = load_model(experiment, Path(job.model), data)
        stage = FailureKind.ERROR
        metrics, judged = _measured(model, data)
        metrics |= _own_metrics(experiment, model, data)
        folder = Path(job.folder)
        files = [_write_predictions(folder / PREDICTIONS, rows_seen(model, data.test), judged)]
        for entry in judged:
            kind = "confusion_matrix" if entry.confidence is not None else "predictions"
            target = folder / f"test_{entry.target.called(kind)}.png"
            draw_judged(target, entry, entry.target.called("test"))
            files.append(target.name)
        files += _write_mistakes(folder, model, data, judged)
        write_samples(folder, model, data)
        files += _write_end_to_end(folder / END_TO_END, model, data)
        return EvaluationResult(metrics, str((folder / SAMPLES_FILE).absolute()), (*files, SAMPLES_FILE))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return failure_of(error, stage)
    finally:
        runtime.tidy()


def load_model(experiment: Experiment, file: Path, data: Data) -> keras.Model:
    """Loads a trial's model; where Keras refuses the file, builds the model and loads its weights.

    Keras refuses a Lambda layer around a Python lambda (`safe_mode`), and classes nobody registered;
    the trial's `params.json`, beside the file, tells how to build the model without it.

    Args:
        experiment: Its model is what is built.
        file: The `.keras` file.
        data: Gives the model its shapes.

    Raises:
        ModelError: There is no such file, or neither way gives a model.
    """
    if not file.is_file():
        raise ModelError(fault(str(file), "the model file does not exist", expected="a `.keras` file"))
    register_custom_objects(experiment.model)
    try:
        return keras.saving.load_model(file, safe_mode=True)
    except Exception as refusal:
        params = read_params(file.parent)

        def choose(parameter: Parameter) -> Value:
            return params.get(parameter.name, at_defaults(parameter))

        try:
            model = prepare(on_one_device(experiment), data, choose, seed=0).model
            if not model.built:
                model(data.test.take(slice(1)).x)
            model.load_weights(file)
        except Exception as error:
            raise ModelError(
                fault(
                    str(file),
                    "the model cannot be loaded",
                    received=f"{one_line(refusal)}; {one_line(error)}",
                )
            ) from refusal
        return model


def _measured(model: keras.Model, data: Data) -> tuple[dict[str, float], tuple[Judged, ...]]:
    test = arranged(model, data.test)
    if model.compiled:
        metrics, outputs = measure(model, test, BATCH_SIZE)()
    else:
        metrics, outputs = {}, forward(model, test, BATCH_SIZE)()
    found = {f"test_{name}": value for name, value in metrics.items()}
    judged = read(data, test, model, outputs)
    for entry in judged:
        for name, value in entry.metrics().items():
            found.setdefault(f"test_{name}", value)
    return found, judged


def _own_metrics(experiment: Experiment, model: keras.Model, data: Data) -> dict[str, float]:
    """Has the model add metrics of its own: what `HyperModel.test_metrics(model, data)` returns.

    The evaluation does not fail for them.
    """
    test_metrics = getattr(load_hypermodel(experiment.model, data), "test_metrics", None)
    if test_metrics is None:
        return {}
    try:
        return {f"test_{name}": float(value) for name, value in test_metrics(model, data).items()}
    except Exception as error:
        print(f"hpsearch: test_metrics failed: {one_line(error)}", file=sys.stderr)
        return {}


def _write_predictions(target: Path, rows: Array, judged: tuple[Judged, ...]) -> str:
    """Writes number, truth, prediction and confidence of every row; returns the file's name."""
    columns: dict[str, Any] = {}
    for entry in judged:
        called = entry.target.called
        if entry.confidence is None and entry.truth[0].size > NUMBERS_SHOWN:
            error = (entry.predicted - entry.truth).reshape(len(entry.truth), -1)
            columns[called("rmse")] = np.sqrt((error.astype(np.float64) ** 2).mean(axis=1)).tolist()
            continue
        columns[called("truth")] = _shown(entry, entry.truth)
        columns[called("prediction")] = _shown(entry, entry.predicted)
        if entry.confidence is not None:
            columns[called("confidence")] = [f"{value:.6g}" for value in entry.confidence]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *columns])
    if columns:
        writer.writerows(zip(rows.tolist(), *columns.values(), strict=True))
    write_text(target, text.getvalue())
    return target.name


def _write_mistakes(folder: Path, model: keras.Model, data: Data, judged: tuple[Judged, ...]) -> list[str]:
    """Writes the worst mistakes of the first output; the evaluation does not fail for them."""
    if not judged:
        return []
    try:
        test, rows = arranged(model, data.test), rows_seen(model, data.test)
        return list(write_mistakes(folder, judged[0], test, rows, vocabulary_of(data.preprocessing)))
    except Exception as error:
        print(f"hpsearch: the worst mistakes were not written: {one_line(error)}", file=sys.stderr)
        return []


def _write_end_to_end(target: Path, model: keras.Model, data: Data) -> list[str]:
    """Saves the model with the preprocessing before it, if that is a model; returns the file's name."""
    if not isinstance(data.preprocessing, keras.Model):
        return []
    try:
        with whole(target) as path:
            end_to_end(model, data.preprocessing).save(path)
    except Exception as error:  # only TensorFlow has layers that take text; the evaluation stands
        print(f"hpsearch: {target.name} was not written: {one_line(error)}", file=sys.stderr)
        return []
    return [target.name]


def _shown(entry: Judged, values: Any) -> list[Any]:
    """Returns classes by name, amounts as numbers."""
    if entry.confidence is None:
        return [row if np.ndim(row) == 0 else " ".join(map(str, np.ravel(row))) for row in values.tolist()]
    names = entry.target.class_names
    return [names[number] if number < len(names) else number for number in values.tolist()]
