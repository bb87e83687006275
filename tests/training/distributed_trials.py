"""What needs a process of its own, with two CPU devices: `python distributed_trials.py FOLDER`.

Runs trials and writes FOLDER/seen.json, which `test_distribution.py` reads.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "2"

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from hpsearch.datasets.data import Data, Split
from hpsearch.errors import UsageError
from hpsearch.experiment import Experiment
from hpsearch.gpu_memory import LIMIT_MIB
from hpsearch.testing.trials import FakeDriver
from hpsearch.training import run, runtime
from hpsearch.training.probe import probe
from hpsearch.trial import Failure, Probe, TrialSpec

FOLDER = Path(sys.argv[1])
run.draw_curves = run.draw_judged = lambda target, *what: target.touch()  # pictures take half of the time
layers = keras.layers


CROSS_ENTROPY = "sparse_categorical_crossentropy"


def network(hidden, *, batch=None, policy=None, optimizer=None, loss=CROSS_ENTROPY, **compiled):
    """Returns a function that builds a classifier of four numbers."""

    def build(hp):
        if policy:
            keras.config.set_dtype_policy(policy)
        model = keras.Sequential(
            [keras.Input((4,), batch_size=batch), *hidden(), layers.Dense(3, "softmax", dtype="float32")]
        )
        sgd = optimizer() if optimizer else keras.optimizers.SGD(0.5, momentum=0.9)
        model.compile(sgd, loss, metrics=["accuracy"], **compiled)
        return model

    return build


def plain():
    return [layers.Dense(8, "relu", kernel_regularizer="l2")]


def nested():
    inner = keras.Sequential([keras.Input((8,)), layers.BatchNormalization(), layers.Dense(6, "relu")])
    return [layers.Dense(8), inner, layers.BatchNormalization(momentum=0.5)]


def noisy():
    return [layers.Dense(8, "relu"), layers.Dropout(0.4), layers.GaussianNoise(0.1)]


def stateful():
    return [layers.Reshape((4, 1)), layers.LSTM(2, stateful=True)]


class OwnFit(keras_tuner.HyperModel):
    """Leaves what the model predicts, while it is still that of two devices."""

    def build(self, hp):
        return network(nested)(hp)

    def fit(self, hp, model, x, y, **kwargs):
        return model.fit(x, y, **kwargs)

    def after_fit(self, model, data, folder):
        np.save(folder / "x.npy", data.test.x)
        np.save(folder / "predicted.npy", model.predict(data.test.x, verbose=0))
        return ["x.npy", "predicted.npy"]


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """Its variables do not exist before it sees data."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.out = layers.BatchNormalization(), layers.Dense(3, "softmax")

    def call(self, x, training=None):
        return self.out(self.norm(x, training=training))


def unbuilt(hp):
    model = Subclassed()
    model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=2)
    return model


def split(rows, weighted):
    generator = np.random.default_rng(rows)
    y = np.arange(rows) % 3
    x = (y[:, None] + generator.normal(size=(rows, 4))).astype("float32")
    return Split(x, y, generator.uniform(0.5, 2.0, rows).astype("float32") if weighted else None)


def experiment(model, rows=33, *, batch=16, distribute="data", weighted=False, cores=2, **training):
    splits = (split(count, weighted) for count in (rows, 21, 20))
    data = Data("waves", *splits, "classification", ("low", "middle", "high"), digest=str(rows))
    settings = {"epochs": 2, "batch_size": batch, "distribute": distribute, **training}
    return Experiment(
        name="distributed",
        model=model,
        data=data,
        objective="val_loss",
        checkpoints={"state_every_s": 0.0},
        training=settings,
        resources={"cores_per_trial": cores},
    )


def trial(name, *args, keep=None, **options):
    """Runs a trial; returns what is worth telling, and its final weights."""
    folder, driver = FOLDER / name, FakeDriver(keep)
    asked = experiment(*args, **options)
    result = run.run_trial(asked, TrialSpec(0, {}, 3, str(folder), prunable=keep is not None), driver)
    if isinstance(result, Failure):
        raise SystemExit(f"{name}: {result.cause}\n{result.detail}")
    epochs = [epoch.metrics for epoch in driver.epochs]
    told = {"epochs": epochs, "pruned": result.pruned, "facts": result.facts, "best": result.best_epoch}
    return told, keras.saving.load_model(folder / "model.keras", compile=False).get_weights()


def compared(name, *args, **options):
    """Runs a trial on one device and on two; returns the largest differences."""
    one, weights = trial(f"{name}-1", *args, distribute=None, **options)
    two, others = trial(f"{name}-2", *args, **options)
    pairs = zip(weights, others, strict=True)
    return {
        "weights": max(float(np.abs(left - right).max()) for left, right in pairs),
        "metrics": max(
            abs(before[metric] - after[metric])
            for before, after in zip(one["epochs"], two["epochs"], strict=True)
            for metric in before
        ),
        "names": [sorted(one["epochs"][0]), sorted(two["epochs"][0])],
        "devices": [one["facts"]["devices"], two["facts"]["devices"]],
    }


class KilledError(BaseException):
    """Stands for the death of the process."""


class Mortal(FakeDriver):
    """A driver whose worker dies after its first epoch."""

    def report(self, epoch, *, await_answer):
        if self.epochs:
            raise KilledError
        return super().report(epoch, await_answer=await_answer)


def resumed(*args, **options):
    """Compares a trial that is killed and goes on with one that is left in peace."""
    _, weights = trial("in_peace", *args, **options)
    with suppress(KilledError):
        run.run_trial(experiment(*args, **options), TrialSpec(0, {}, 3, str(FOLDER / "killed")), Mortal())
    had_state = (FOLDER / "killed" / "state.npz").exists()
    told, others = trial("killed", *args, **options)
    same = all(np.array_equal(left, right) for left, right in zip(weights, others, strict=True))
    return {"had_state": had_state, "epochs": len(told["epochs"]), "same_bits": same}


def probed(*args, **options):
    """Returns the metrics that a probe finds, or what it says is wrong."""
    asked = experiment(*args, **options)
    try:
        runtime.set_up(asked)
        return list(probe(asked, Probe(str(FOLDER))).metrics)
    except UsageError as error:
        return str(error)


def gpu_memory_limit():
    """Makes TensorFlow believe in a GPU until it has been told the limit."""
    gpu = context.PhysicalDevice("/physical_device:GPU:0", "GPU")
    context.context()._initialize_physical_devices()
    context.context()._physical_devices.append(gpu)
    os.environ[LIMIT_MIB] = "1234"
    try:
        runtime.set_up(experiment(network(plain), distribute=None))
        (configured,) = tf.config.get_logical_device_configuration(gpu)
        return configured.memory_limit
    finally:
        context.context()._physical_devices.remove(gpu)
        context.context()._virtual_device_map.pop(gpu, None)
        del os.environ[LIMIT_MIB]


def slow():
    return keras.optimizers.SGD(0.01)


def clipped():
    return keras.optimizers.SGD(0.5, global_clipnorm=0.05)


def accumulating():
    return keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)


SUM = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
seen = {
    "gpu_memory_limit": gpu_memory_limit(),
    "probe": probed(network(plain)),
    "probe_unbuilt": probed(unbuilt),
    "probe_stateful": probed(network(stateful, batch=4), batch=4),
    "probe_eager": probed(network(plain, run_eagerly=True)),
    "probe_accumulating": probed(network(plain, optimizer=accumulating)),
    "probe_one_core": probed(network(plain), cores=1),
    "probe_steps": probed(network(plain), steps_per_execution=4),
    "one_row_left": compared("one_row_left", network(plain)),
    "odd_batch": compared("odd_batch", network(plain), 32, batch=15, weighted=True, optimizer="adam"),
    "normalised_and_clipped": compared("normalised_and_clipped", network(nested, optimizer=clipped), 35),
    "summed": compared("summed", network(plain, optimizer=slow, loss=SUM), epochs=1),
    "unbuilt": trial("unbuilt", unbuilt)[0],
    "own_fit": trial("own_fit", OwnFit(), epochs=9, early_stopping={"patience": 1, "min_delta": 9.0})[0],
}
seen["pruned"] = trial("pruned", network(noisy, policy="mixed_float16"), keep=1)[0]
seen["resumed"] = resumed(network(noisy), deterministic=True)
(FOLDER / "seen.json").write_text(json.dumps(seen))
