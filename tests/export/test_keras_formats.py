"""Keras's own formats: each file loads back with plain Keras and says what the model says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest

from hpsearch.experiment import ExportFormat
from hpsearch.export import export, formats
from hpsearch.models.residual_mlp import ResidualNetwork
from hpsearch.models.stateful import reset_states
from hpsearch.trial import Export, ExportResult, Failure

FORMATS = ("keras", "h5", "architecture", "weights")


def test_an_experiment_knows_every_format():
    assert sorted(get_args(ExportFormat)) == list(formats.names())


def to(network, name: str, fmt: str) -> Export:
    """The job that exports one of the networks in a format."""
    job = network(name, format=fmt)
    return dataclasses.replace(job, target=str(Path(job.target).with_name(f"best{formats.find(fmt).suffix}")))


def exported(job: Export) -> ExportResult:
    outcome = export(job)
    assert isinstance(outcome, ExportResult), outcome
    return outcome


def refused(job: Export) -> str:
    outcome = export(job)
    assert isinstance(outcome, Failure), outcome
    assert not Path(job.target).exists()
    return outcome.cause


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", ["several", "stateful", "subclassed", "half"])
def test_every_network_loads_back(network, name, fmt):
    job = to(network, name, fmt)
    if (name, fmt) == ("subclassed", "h5"):
        assert refused(job) == (
            "export.formats: h5: a subclassed model cannot be loaded from HDF5; expected a sequential or "
            "functional model; received `Subclassed`. Export it as `keras` or `weights`."
        )
        return
    result = exported(job)
    assert result.largest_difference == 0
    assert result.agreement in (None, 1.0)
    assert result.ops == ()
    assert result.notes == (("not compiled: compile it before training",) if fmt == "h5" else ())
    files = sorted(path.name for path in Path(job.target).parent.iterdir())
    assert files == sorted([Path(job.target).name, f"{Path(job.target).name}.json"])
    record = json.loads(Path(f"{job.target}.json").read_text())
    assert record["format"] == fmt
    assert record["inputs"]
    assert record["outputs"]


def trained(job: Export) -> keras.Model:
    """Trains the job's model a little, so that its optimizer has a state."""
    model = keras.saving.load_model(job.model)
    model.fit(np.load(job.samples)["x"], np.zeros(9), verbose=0)
    model.save(job.model)
    return model


def test_a_keras_file_goes_on_training_where_it_was(network):
    job = to(network, "mlp", "keras")
    model = trained(job)
    exported(job)
    loaded = keras.saving.load_model(job.target)
    assert int(loaded.optimizer.iterations) == 1
    x = np.load(job.samples)["x"]
    for each in (loaded, model):
        each.train_on_batch(x, np.ones(9))
    np.testing.assert_allclose(loaded.predict_on_batch(x), model.predict_on_batch(x), rtol=1e-6)


def test_hdf5_is_a_whole_model_that_trains_when_it_is_compiled(network):
    job = to(network, "mlp", "h5")
    model = trained(job)
    exported(job)
    loaded = keras.saving.load_model(job.target)
    x = np.load(job.samples)["x"]
    np.testing.assert_array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))
    assert not loaded.compiled
    loaded.compile("adam", "sparse_categorical_crossentropy")
    loaded.train_on_batch(x, np.ones(9))


def residual(job: Export) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = ResidualNetwork([8, 4], 3, "relu", final_activation="softmax")
    model.build((None, 8))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(job.model)
    return model


@pytest.mark.parametrize("build", [trained, residual])
def test_architecture_and_weights_are_a_model_together(network, build):
    half, other = to(network, "mlp", "architecture"), to(network, "mlp", "weights")
    model = build(half)
    exported(half)
    exported(other)
    loaded = keras.models.model_from_json(Path(half.target).read_text())
    loaded.load_weights(other.target)
    x = np.load(half.samples)["x"]
    np.testing.assert_array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))


def test_a_stateful_model_begins_in_its_initial_state(network):
    job = to(network, "stateful", "keras")
    exported(job)
    model = keras.saving.load_model(job.target)
    x = np.load(job.samples)["x"][:2]
    first, second = model.predict_on_batch(x), model.predict_on_batch(x)
    assert np.abs(first - second).max() > 1e-3
    reset_states(model)
    np.testing.assert_array_equal(model.predict_on_batch(x), first)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_file_that_disagrees_is_refused(network, monkeypatch, fmt):
    job = to(network, "mlp", fmt)
    form = formats.find(fmt)

    def attempts(endpoint, job):
        other = keras.models.clone_model(endpoint.model)  # its weights are others
        if fmt == "architecture":
            config = endpoint.model.get_config()
            config["layers"][1]["config"]["activation"] = "tanh"
            other = keras.Sequential.from_config(config)
        other_file = Path(job.model).with_name("other.keras")
        other.save(other_file)
        return form.attempts(dataclasses.replace(endpoint, model=other, file=str(other_file)), job)

    def load(file, endpoint):
        return form.open(file, endpoint)

    module = f"hpsearch.export.formats.{fmt}.FORMAT"
    monkeypatch.setattr(module, dataclasses.replace(form, attempts=attempts, open=load))
    assert "output `output_0`: the file disagrees with Keras" in refused(job)


def test_code_inside_a_file_is_not_run(network):
    for fmt in FORMATS:
        job = to(network, "mlp", fmt)
        keras.Sequential([keras.layers.Input((8,)), keras.layers.Lambda(lambda x: 2 * x)]).save(job.model)
        assert "holds a `Lambda` layer" in refused(job)


def test_wrong_endings_are_refused(network):
    job = to(network, "mlp", "weights")
    wrong = dataclasses.replace(job, target=job.target.replace(".weights.h5", ".h5"))
    assert "does not fit the format weights; expected `.weights.h5`; received `.h5`" in refused(wrong)
