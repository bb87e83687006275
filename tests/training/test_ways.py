"""Ways of training from end to end: many settings at once, steps per execution, mixed precision."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.experiment import Experiment
from hpsearch.export import export
from hpsearch.testing.models import at_random, narrowed
from hpsearch.testing.trials import FakeDriver, overlapping
from hpsearch.training.evaluate import evaluate
from hpsearch.training.fit import Shuffled
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.trial import Evaluation, EvaluationResult, Export, ExportResult, Probe, Result, TrialSpec

BLOBS = {"name": "blobs", "options": {"rows": 96, "one_hot": True}}
SMALL = {"layers": [1], "units_1": [16]}


def experiment(model="mlp", data=BLOBS, space=None, **training):
    return Experiment(
        name="toy",
        model=model,
        data=data,
        objective="val_loss",
        search={"space": space or {}},
        training={"epochs": 3, "batch_size": 16, **training},
    )


class Driver(FakeDriver):
    """Draws by chance within the experiment's space."""

    def __init__(self, experiment):
        super().__init__()
        self.choose = narrowed(at_random(1), experiment.search.space)

    def suggest(self, parameter):
        return self.choose(parameter)


def trained(wanted, folder, number=0):
    driver = Driver(wanted)
    result = run_trial(wanted, TrialSpec(number, {}, seed=3, folder=str(folder / f"{number:04d}")), driver)
    assert isinstance(result, Result), result
    return result, driver.epochs


def test_many_settings_at_once(tmp_path):
    wanted = experiment(
        optimizer={"name": "sgd", "nesterov": True},
        schedule={"name": "cosine", "alpha": 0.1},
        warmup_epochs=0.5,
        clip_norm=1.0,
        loss={"name": "categorical_focal_crossentropy", "gamma": 1.5},
        frozen="dense_1*",
        steps_per_execution="epoch",
        dtype_policy="mixed_bfloat16",
        space={
            **SMALL,
            "learning_rate": {"low": 0.01, "high": 0.1},
            "momentum": [0.5, 0.9],
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
            "label_smoothing": [0.05, 0.1],
        },
    )
    found = probe(wanted, Probe(str(tmp_path / "probe")))
    assert {"momentum", "weight_decay", "label_smoothing"} <= set(found.space.names)
    result, epochs = trained(wanted, tmp_path)
    assert set(found.metrics) <= epochs[0].metrics.keys()
    params = result.params
    assert {"momentum", "weight_decay", "label_smoothing", "learning_rate"} <= params.keys()
    model = keras.models.load_model(tmp_path / "0000" / "model.keras")
    optimizer = model.optimizer.get_config()
    assert type(model.optimizer) is keras.optimizers.SGD
    assert optimizer["nesterov"]
    assert optimizer["global_clipnorm"] == 1.0
    assert {name: optimizer[name] for name in ("momentum", "weight_decay")} == {
        name: params[name] for name in ("momentum", "weight_decay")
    }
    schedule = model.optimizer._learning_rate
    assert type(schedule) is keras.optimizers.schedules.CosineDecay
    assert (schedule.warmup_steps, schedule.decay_steps) == (2, 10)  # of 12: 58 rows in batches of 16
    assert schedule.warmup_target == pytest.approx(params["learning_rate"])
    loss = model.loss.get_config()
    assert (loss["gamma"], loss["label_smoothing"]) == (1.5, params["label_smoothing"])
    again, _ = trained(wanted, tmp_path, number=1)
    assert (again.params, again.metrics) == (result.params, result.metrics)


def test_it_is_keras_training_of_the_same_words(tmp_path):
    """On the same batches a model compiled by hand becomes the same."""

    def net():
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(6, "relu", name="hidden"),
                keras.layers.Dense(5, "relu", name="frozen"),
                keras.layers.Dense(3, "softmax"),
            ]
        )

    def build(hp):
        model = net()
        model.compile("adam", "mse", metrics=["accuracy"])
        return model

    x, y = overlapping()
    wanted = experiment(
        build,
        (x, np.eye(3)[y]),
        optimizer={"name": "sgd", "nesterov": True, "momentum": 0.8, "weight_decay": 1e-3},
        learning_rate=0.2,
        schedule="exponential",
        clip_value=0.05,
        loss="categorical_crossentropy",
        label_smoothing=0.1,
        frozen="frozen",
    )
    result, epochs = trained(wanted, tmp_path)

    data = load_data(wanted.data)
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    model = net()
    model.get_layer("frozen").trainable = False
    steps = -(-len(data.train) // 16)
    rate = keras.optimizers.schedules.ExponentialDecay(0.2, steps, 0.01 ** (1 / 3))
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.8, nesterov=True, weight_decay=1e-3, clipvalue=0.05),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
    )
    source = Shuffled(data.train, 16, 3)
    for epoch in range(result.best_epoch):
        source.turn(epoch)
        logs = model.fit(source, shuffle=False, verbose=0).history
        assert epochs[epoch].metrics["loss"] == pytest.approx(logs["loss"][0], rel=1e-6)
        assert epochs[epoch].metrics["learning_rate"] == float(model.optimizer.learning_rate)
    saved = keras.models.load_model(tmp_path / "0000" / "model.keras")
    for left, right in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("own_fit", [False, True])
def test_steps_in_one_call_change_no_number(tmp_path, own_fit):
    def build(hp):
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(6, "relu"),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(3, "softmax"),
            ]
        )
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        return model

    class Own(keras_tuner.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, **kwargs)

    found = {}
    for number, steps in enumerate((1, "epoch") if own_fit else (1, 3, "epoch")):
        wanted = experiment(Own if own_fit else build, steps_per_execution=steps, schedule="cosine", epochs=2)
        _, epochs = trained(wanted, tmp_path, number)
        found[steps] = [epoch.metrics for epoch in epochs]
    assert all(metrics == found[1] for metrics in found.values())
    loaded = keras.models.load_model(tmp_path / "0001" / "model.keras")
    assert loaded.steps_per_execution == 1  # predicting many batches in one graph would be slow


def test_the_steps_of_an_epoch_are_counted():
    for batch_size, steps in ((16, 4), (29, 2), (58, 1), (99, 1)):
        wanted = experiment(space=SMALL, steps_per_execution="epoch", batch_size=batch_size)
        data = load_data(wanted.data)
        assert len(data.train) == 58
        ready = prepare(wanted, data, lambda p: p.default, seed=0, free_memory=False)
        assert ready.model.steps_per_execution == steps


MIXED = {
    "mlp in bfloat16": ("mlp", BLOBS, SMALL, "mixed_bfloat16"),
    "cnn in float16": (
        {"name": "cnn", "options": {"max_blocks": 1}},
        {"name": "shapes", "options": {"rows": 48, "size": 12}},
        {"filters_1": [4], "dense_units": [8]},
        "mixed_float16",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_precision_from_probe_to_tflite(name, tmp_path):
    model, data, space, policy = MIXED[name]
    wanted = experiment(model, data, space, dtype_policy=policy, epochs=2, schedule="plateau", clip_norm=1.0)
    found = probe(wanted, Probe(str(tmp_path / "probe")))
    result, epochs = trained(wanted, tmp_path)
    assert set(found.metrics) <= epochs[0].metrics.keys()
    assert all(np.isfinite(list(epoch.metrics.values())).all() for epoch in epochs)
    assert keras.config.dtype_policy().name == "float32"
    file = tmp_path / "0000" / "model.keras"
    loaded = keras.models.load_model(file)
    assert policy in {layer.dtype_policy.name for layer in loaded.layers}
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    scaled = type(loaded.optimizer).__name__ == "LossScaleOptimizer"
    assert scaled == (policy == "mixed_float16")
    inner = loaded.optimizer.inner_optimizer if scaled else loaded.optimizer
    assert inner.global_clipnorm == 1.0
    assert int(inner.iterations) == result.best_epoch * -(-found.data.sizes["train"] // 16)
    tested = evaluate(wanted, Evaluation(0, str(file), str(tmp_path)))
    assert isinstance(tested, EvaluationResult), tested
    assert np.isfinite(tested.metrics["test_loss"])
    exported = export(Export(str(file), tested.samples, str(tmp_path / "model.tflite")))
    assert isinstance(exported, ExportResult), exported


def test_the_policy_of_the_model_is_its_own_unless_it_is_given():
    data = load_data(experiment().data)

    def policy(**training):
        wanted = experiment(space=SMALL, **training)
        model = prepare(wanted, data, lambda p: p.default, seed=0, free_memory=False).model
        return model.layers[-2].dtype_policy.name

    assert policy() == "float32"
    assert policy(dtype_policy="mixed_bfloat16") == "mixed_bfloat16"
    assert policy() == "float32"
