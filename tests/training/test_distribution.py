"""A trial on two devices gives the numbers of one; what cannot be distributed is refused by the probe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from hpsearch.errors import UsageError
from hpsearch.experiment import Experiment
from hpsearch.export import export
from hpsearch.gpu_memory import LIMIT_MIB
from hpsearch.testing.trials import overlapping, small
from hpsearch.training import distribution, runtime
from hpsearch.trial import Export, ExportResult

SCRIPT = Path(__file__).with_name("distributed_trials.py")


SETTINGS = {"name": "t", "model": small, "data": overlapping(), "objective": "val_loss"}


def experiment(**resources) -> Experiment:
    return Experiment(**SETTINGS, training={"distribute": "data"}, resources=resources)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What one process with two CPU devices left."""
    folder = tmp_path_factory.mktemp("distributed")
    done = subprocess.run(
        [sys.executable, SCRIPT, folder],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def seen(folder) -> dict:
    return json.loads((folder / "seen.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(900)  # of all that the process does
class TestOnTwoDevices:
    @pytest.mark.parametrize("name", ["one_row_left", "odd_batch", "normalised_and_clipped"])
    def test_the_numbers_are_those_of_one(self, seen, name):
        assert seen[name]["devices"] == [1, 2]
        assert seen[name]["names"][0] == seen[name]["names"][1]
        assert seen[name]["weights"] < 2e-6
        assert seen[name]["metrics"] < 2e-6

    def test_a_loss_that_is_a_sum(self, seen):
        assert seen["summed"]["weights"] < 2e-6

    def test_pruning_and_mixed_precision(self, seen):
        assert seen["pruned"]["pruned"]
        assert len(seen["pruned"]["epochs"]) == 1
        assert np.isfinite(seen["pruned"]["epochs"][0]["loss"])

    def test_a_trial_that_was_killed_goes_on_to_the_same_bits(self, seen):
        assert seen["resumed"] == {"had_state": True, "epochs": 2, "same_bits": True}

    def test_a_fit_of_the_users_own_and_early_stopping(self, seen):
        assert seen["own_fit"]["facts"]["devices"] == 2
        assert len(seen["own_fit"]["epochs"]) == 2  # of 9
        assert seen["own_fit"]["epochs"][0]["val_loss"] > 0

    def test_a_model_that_is_built_by_its_first_batch(self, seen):
        assert seen["unbuilt"]["facts"]["devices"] == 2
        assert len(seen["unbuilt"]["epochs"]) == 2

    def test_the_saved_model_is_an_ordinary_one(self, folder):
        model = keras.saving.load_model(folder / "own_fit" / "model.keras")
        x = np.load(folder / "own_fit" / "x.npy")
        predicted = np.load(folder / "own_fit" / "predicted.npy")  # by the model of two devices
        assert np.allclose(model.predict(x, verbose=0), predicted, atol=1e-6)
        assert distribution.devices(model) == 1
        norms = [
            each for each in model._flatten_layers() if isinstance(each, keras.layers.BatchNormalization)
        ]
        assert [norm.synchronized for norm in norms] == [False, False]

    def test_it_can_be_exported(self, folder, tmp_path):
        samples = tmp_path / "samples.npz"
        np.savez(samples, **{"input_0": np.load(folder / "own_fit" / "x.npy")})
        job = Export(
            model=str(folder / "own_fit" / "model.keras"),
            samples=str(samples),
            target=str(tmp_path / "model.tflite"),
            task="classification",
            class_names=("low", "middle", "high"),
        )
        assert isinstance(export(job), ExportResult)


@pytest.mark.slow
@pytest.mark.timeout(900)  # of all that the process does
class TestProbe:
    @pytest.mark.parametrize("name", ["probe", "probe_unbuilt"])
    def test_it_finds_the_metrics(self, seen, name):
        assert {"loss", "val_loss", "val_f1_macro"} <= set(seen[name])

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("probe_stateful", "a stateful model"),
            ("probe_eager", "a model with `run_eagerly`"),
            ("probe_accumulating", "an optimizer with `gradient_accumulation_steps`"),
        ],
    )
    def test_models_that_cannot_be_distributed(self, seen, name, what):
        assert seen[name] == (
            f"training.distribute: {what} cannot train on several devices. "
            "Change the model, or remove `training.distribute`."
        )

    def test_settings_that_do_not_go_together(self, seen):
        assert seen["probe_one_core"] == (
            "training.distribute: a trial has one core to train on; "
            "expected `resources.cores_per_trial` from 2; received 1."
        )
        assert seen["probe_steps"].startswith("training.steps_per_execution: Keras takes one step at a time")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tensorflow_is_told_the_memory_limit(seen):
    assert seen["gpu_memory_limit"] == 1234


class TestSetUp:
    def test_too_late(self):
        tf.constant(1) + 1
        with pytest.raises(
            UsageError, match=r"TensorFlow has computed in this process already.*5 logical CPUs"
        ):
            runtime.set_up(experiment(cores_per_trial=5))

    @pytest.mark.parametrize(
        ("gpus", "per_trial", "message"),
        [
            (
                1,
                1,
                r"a trial has one GPU to train on; expected `resources.gpus_per_trial` from 2; received 1",
            ),
            (1, 2, r"resources.gpus_per_trial: TensorFlow sees fewer GPUs .* at least 2; received 1"),
            (0, 2, r"resources.gpus_per_trial: TensorFlow sees fewer GPUs .* at least 2; received 0"),
        ],
    )
    def test_too_few_gpus(self, monkeypatch, gpus, per_trial, message):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * gpus)
        with pytest.raises(UsageError, match=message):
            runtime.set_up(experiment(gpus_per_trial=per_trial, cores_per_trial=2))

    def test_enough_gpus(self, monkeypatch):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * 3)
        runtime.set_up(experiment(gpus_per_trial=2))  # the CPU is left as it is

    def test_memory_of_torch(self, monkeypatch):
        torch = pytest.importorskip("torch")
        told = []
        monkeypatch.setenv(LIMIT_MIB, "1024")
        monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        properties = type("Properties", (), {"total_memory": 4096 * 2**20})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
        runtime.set_up(Experiment(**SETTINGS, training={"backend": "torch"}))
        assert told == [0.25]
