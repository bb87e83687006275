"""What holds on JAX and on torch beside the other tests; `test_backends.py` runs this on each."""

import importlib.util
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import ExperimentError, ModelError
from hpsearch.experiment import Experiment
from hpsearch.jobs import perform
from hpsearch.models import names
from hpsearch.testing.trials import FakeDriver, overlapping, small
from hpsearch.training import runtime
from hpsearch.training.compatibility import first_rows, try_input
from hpsearch.training.evaluate import evaluate
from hpsearch.training.flops import flops_of
from hpsearch.training.hyperparameters import overridden
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.trial import (
    Evaluation,
    EvaluationResult,
    Export,
    ExportResult,
    FailureKind,
    Probe,
    RateRange,
    RateRangeResult,
    Result,
    TrialSpec,
)

BACKEND = os.environ["HPSEARCH_TEST_BACKEND"]
MODELS = Path(__file__).parents[1] / "models"


def experiment(model=small, data=None, **training):
    return Experiment(
        name="t",
        model=model,
        data=overlapping() if data is None else data,
        objective="val_loss",
        training={"epochs": 2, "batch_size": 16, **training},
    )


def spec(folder):
    return TrialSpec(0, {}, seed=3, folder=str(folder))


def test_a_trial_imports_no_tensorflow(tmp_path):
    """The first test of this process: later ones need it."""
    assert "tensorflow" not in sys.modules
    wanted = experiment()
    runtime.set_up(wanted)
    found = probe(wanted, Probe(str(tmp_path)))
    assert found.versions["backend"] == BACKEND
    assert BACKEND in found.versions
    result = run_trial(wanted, spec(tmp_path), FakeDriver())
    assert isinstance(result, Result), result
    assert set(found.metrics) <= result.metrics.keys()
    assert (result.facts["backend"], result.facts["threads"]) == (BACKEND, 1)
    assert isinstance(
        evaluate(wanted, Evaluation(0, str(tmp_path / "model.keras"), str(tmp_path))), EvaluationResult
    )
    assert "tensorflow" not in sys.modules


def test_rates_are_found(tmp_path):
    found = perform(experiment(), RateRange(1e-4, 1.0, 30), FakeDriver())
    assert isinstance(found, RateRangeResult), found
    assert len(found.rates) == 30


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def doubling(hp):
    model = keras.Sequential([keras.Input((4,)), Doubled(), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(("fmt", "ending"), [("float32", "tflite"), ("h5", "h5")])
def test_tensorflow_exports_the_model_and_agrees(fmt, ending, tmp_path):
    wanted = experiment(doubling)
    model = tmp_path / "model.keras"
    assert isinstance(run_trial(wanted, spec(tmp_path), FakeDriver()), Result)
    tested = evaluate(wanted, Evaluation(0, str(model), str(tmp_path)))
    job = Export(str(model), tested.samples, str(tmp_path / f"model.{ending}"), format=fmt)
    exported = perform(wanted, job, FakeDriver())
    assert isinstance(exported, ExportResult), exported
    assert exported.largest_difference < 1e-5


@pytest.mark.parametrize("name", names())
def test_a_built_in_model_trains(name, tmp_path):
    entry = _entry(name)
    data = entry.dataset
    wanted = Experiment(
        name="t",
        model=entry.model,
        data=data() if callable(data) else data,
        objective="val_loss",
        search={"space": entry.space},
        training={"epochs": 1},
    )
    driver = FakeDriver()
    driver.suggest = lambda parameter: overridden(wanted, parameter).default
    result = run_trial(wanted, spec(tmp_path), driver)
    assert isinstance(result, Result), result
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.count_params() > 0


@pytest.mark.skipif(BACKEND != "torch", reason="it has a counter of its own")
@pytest.mark.parametrize("name", names())
def test_operations_are_those_that_torch_counts(name, monkeypatch):
    """Loops are unrolled: else Keras runs the first step twice, to see a shape. With masks it cannot.

    Attention is computed from products: torch's counter does not know the one function for all on CPUs.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from hpsearch.testing.models import at_largest  # imports TensorFlow, which the first test does not have

    entry = _entry(name)
    wanted = Experiment(
        name="t",
        model=entry.model,
        data=entry.dataset() if callable(entry.dataset) else entry.dataset,
        objective="val_loss",
        search={"space": entry.space},
    )
    data = load_data(wanted.data)
    monkeypatch.setattr(keras.layers.Embedding, "compute_mask", lambda *_: None)
    choices = [lambda parameter: parameter.default, at_largest]
    for choose in choices:
        model = prepare(wanted, data, lambda each, c=choose: c(overridden(wanted, each)), seed=1).model
        rows = first_rows(model, data)
        for layer in model._flatten_layers():
            layer.unroll = True
        with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            try_input(model, rows, where="model")
        assert flops_of(model, rows, "model") == counter.get_total_flops() / len(rows) > 0


def _entry(name):
    """Returns a model's first entry in the contract."""
    file = MODELS / f"test_{name}.py"
    found = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return next(each for key, each in vars(module).items() if key.startswith("Test"))


def test_tensorboard_has_logs(tmp_path):
    assert isinstance(run_trial(experiment(tensorboard=True), spec(tmp_path), FakeDriver()), Result)
    assert list(tmp_path.glob("tensorboard/*/events*"))


def test_not_a_number(tmp_path):
    def build(hp):
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Rescaling(float("nan")), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    failure = run_trial(experiment(build), spec(tmp_path), FakeDriver())
    assert (failure.kind, failure.cause) == (FailureKind.NAN, "`loss` is nan at epoch 1")


def test_memory_that_runs_out(tmp_path):
    def huge(hp):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(10**13, kernel_initializer="zeros")(inputs))

    failure = run_trial(experiment(huge), spec(tmp_path), FakeDriver())
    assert failure.kind is FailureKind.OUT_OF_MEMORY, failure


def test_another_backend_is_not_to_be_had():
    with pytest.raises(ExperimentError, match=f"expected tensorflow; received {BACKEND}.*executor: local"):
        runtime.set_up(experiment(backend="tensorflow"))


def test_text_and_columns_become_the_numbers_of_tensorflow():
    phrases = load_data(experiment("text_lstm", {"name": "phrases", "options": {"rows": 60}}).data)
    x = phrases.train.x
    assert (x.shape, int((x * np.arange(16)).sum())) == ((36, 16), 18122)


@pytest.mark.skipif(BACKEND != "torch", reason="JAX trains them")
def test_a_stateful_model_is_refused_by_name(tmp_path):
    def stateful(hp):
        inputs = keras.Input((5, 1), batch_size=4)
        model = keras.Model(inputs, keras.layers.LSTM(2, stateful=True)(inputs))
        model.compile("adam", "mse")
        return model

    x = np.zeros((40, 5, 1), np.float32)
    with pytest.raises(ModelError, match=r"model .*stateful: Keras cannot train stateful layers on torch"):
        probe(experiment(stateful, (x, x[:, :2, 0])), Probe(str(tmp_path)))
