"""Transfer learning: the backbones, where their weights lie, and training in two stages."""

import keras
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.errors import ModelError
from hpsearch.experiment import Experiment
from hpsearch.models import backbones
from hpsearch.models.backbones import BACKBONES, build_backbone, size_for, unfreeze, weights_file
from hpsearch.models.transfer import Transfer
from hpsearch.testing.models import ModelContract
from hpsearch.testing.trials import FakeDriver
from hpsearch.training.hyperparameters import TrialHyperParameters
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.training.run import run_trial
from hpsearch.trial import Probe, Result, TrialSpec

TINY = {"weights": "none", "backbones": ("VGG16",)}


class TestTransfer(ModelContract):
    model = {"name": "transfer", "options": TINY}
    dataset = {"name": "shapes", "options": {"rows": 48, "size": 32}}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


@pytest.fixture
def few_layers(monkeypatch):
    """A backbone that is built in no time, in VGG16's place."""

    def small(include_top, weights, input_shape, name):
        assert not include_top
        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input(input_shape),
                layers.Conv2D(4, 3, strides=2, name="one"),
                layers.BatchNormalization(name="two"),
                layers.Conv2D(8, 3, strides=2, activation="relu", name="three"),
            ],
            name=name,
        )

    monkeypatch.setattr(keras.applications, "VGG16", small)


def images(rows=24, shape=(32, 32, 3)):
    generator = np.random.default_rng(0)
    return generator.uniform(size=(rows, *shape)).astype(np.float32), np.arange(rows) % 3


@pytest.mark.usefixtures("few_layers")
class TestTwoStages:
    class Log(keras.callbacks.Callback):
        def __init__(self, stop_at=None):
            super().__init__()
            self.seen, self.stop_at = [], stop_at

        def on_epoch_end(self, epoch, logs=None):
            backbone = self.model.get_layer("backbone")
            weights = [np.array(weight) for weight in backbone.weights]
            self.seen.append((epoch, dict(logs), [layer.trainable for layer in backbone.layers], weights))
            if epoch == self.stop_at:
                self.model.stop_training = True

    def train(self, epochs=4, log=None, weights="none", **values):
        log = log or self.Log()
        hypermodel = Transfer((32, 32, 3), classes=3, **TINY)
        hypermodel.weights = None if weights == "none" else weights
        hp = at(**values)
        keras.utils.set_random_seed(0)
        model = hypermodel.build(hp) if weights == "none" else self.pretended(hypermodel, hp)
        x, y = images()
        history = hypermodel.fit(
            hp,
            model,
            x,
            y,
            validation_data=images(12),
            epochs=epochs,
            callbacks=[log],
            batch_size=8,
            verbose=0,
        )
        return model, history, log.seen

    def pretended(self, hypermodel, hp):
        """Builds with weights that are not of a file."""
        hypermodel.weights, kept = None, hypermodel.weights
        model = hypermodel.build(hp)
        hypermodel.weights = kept
        return model

    def test_a_frozen_backbone_sees_each_image_once(self, monkeypatch):
        seen = []
        predict = keras.Model.predict
        monkeypatch.setattr(
            keras.Model, "predict", lambda model, x, **rest: seen.append(len(x)) or predict(model, x, **rest)
        )
        model, history, epochs = self.train(epochs=3, learning_rate=1e-2)
        assert seen[:2] == [24, 12]
        assert len(seen) == 2
        assert history.history["loss"][-1] < history.history["loss"][0]
        assert [number for number, *_ in epochs] == [0, 1, 2]
        assert not model.get_layer("backbone").trainable_weights
        for before, after in zip(epochs[0][3], epochs[-1][3], strict=True):
            np.testing.assert_array_equal(before, after)
        loss, accuracy = model.evaluate(*images(12), verbose=0)  # what was reported is what it does
        assert epochs[-1][1]["val_loss"] == pytest.approx(loss, rel=1e-4)
        assert epochs[-1][1]["val_accuracy"] == pytest.approx(accuracy)
        again = self.train(epochs=3, learning_rate=1e-2)[0].get_weights()
        for left, right in zip(model.get_weights(), again, strict=True):
            np.testing.assert_array_equal(left, right)

    def test_then_the_last_layers_learn_slowly(self):
        model, history, epochs = self.train(epochs=3, unfrozen=5, fine_tuning=0.3, learning_rate=1e-3)
        assert [any(trainable) for _, _, trainable, _ in epochs] == [False] * 2 + [True]
        assert history.epoch == [2]
        assert len(history.history["val_loss"]) == 3
        assert not np.array_equal(epochs[1][3][0], epochs[2][3][0])
        assert float(model.optimizer.learning_rate) == pytest.approx(3e-4)
        assert model.get_layer("backbone").get_layer("two").trainable  # its statistics were random

    def test_early_stopping_ends_the_first_stage_only(self):
        log = self.Log(stop_at=0)
        model, _, epochs = self.train(epochs=4, log=log, weights="imagenet", unfrozen=5)
        assert [number for number, *_ in epochs] == [0, 1, 2]
        assert [any(trainable) for _, _, trainable, _ in epochs] == [False, True, True]
        assert not model.get_layer("backbone").get_layer("two").trainable  # learned from ImageNet

    def test_weights_of_rows_count(self):
        hypermodel = Transfer((32, 32, 3), classes=3, **TINY)
        x, y = images()
        weight = (y == 1).astype(np.float32)
        hp = at(learning_rate=5e-2)
        model = hypermodel.build(hp)
        hypermodel.fit(hp, model, x, y, epochs=12, sample_weight=weight)
        assert (np.argmax(model(x), axis=1) == 1).all()

    def test_grey_images_and_those_too_small(self):
        model = Transfer((8, 8, 1), classes=3, **TINY).build(at(head_units=64, dropout=0.2))
        assert model(np.zeros((2, 8, 8, 1))).shape == (2, 3)
        assert model.get_layer("backbone").input_shape == (None, 32, 32, 3)
        assert model.get_layer("head").units == 64
        larger = Transfer((32, 32, 3), outputs=2, image_size=48, **TINY).build(at())
        assert larger.get_layer("backbone").input_shape == (None, 48, 48, 3)
        assert larger.output_shape == (None, 2)

    def test_weights_of_a_file(self, tmp_path):
        wanted = build_backbone("VGG16", (32, 32), None, 1.0)
        wanted.save_weights(tmp_path / "VGG16.weights.h5")
        built = build_backbone("VGG16", (32, 32), str(tmp_path / "{backbone}.weights.h5"), 1.0)
        for left, right in zip(wanted.get_weights(), built.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)

    def test_a_file_that_is_missing_or_does_not_fit(self, tmp_path):
        missing = Transfer((32, 32, 3), 3, weights=f"{tmp_path}/mine.weights.h5", backbones=["VGG16"])
        with pytest.raises(ModelError, match=r"does not exist; expected .*mine.weights.h5, weights of VGG16"):
            missing.build(at())
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save_weights(
            tmp_path / "mine.weights.h5"
        )
        with pytest.raises(ModelError, match=r"mine.weights.h5 does not fit VGG16"):
            missing.build(at())


@pytest.mark.usefixtures("few_layers")
class TestSettings:
    """What `training` says holds in both stages."""

    def experiment(self, *, space=None, **training):
        x, y = images(40)
        return Experiment(
            name="toy",
            model={"name": "transfer", "options": TINY},
            data={"name": "arrays", "target": (x, y), "options": {"one_hot": True}},
            objective="val_loss",
            search={"space": space or {}},
            training={"epochs": 4, "batch_size": 8, **training},
        )

    def prepared(self, unfrozen=5, **values):
        wanted = self.experiment(**values)
        data = load_data(wanted.data)
        choose = lambda each: unfrozen if each.name == "unfrozen" else each.default  # noqa: E731
        return prepare(wanted, data, choose, seed=0, free_memory=False), data

    def fit(self, ready, data, callbacks=(), epochs=4):
        ready.hypermodel.fit(
            ready.hp,
            ready.model,
            data.train.x,
            data.train.y,
            validation_data=(data.validation.x, data.validation.y),
            epochs=epochs,
            batch_size=8,
            callbacks=[*ready.reporting, *callbacks, *ready.callbacks],
            verbose=0,
        )
        return ready.model

    def test_loss_and_optimizer_are_kept(self):
        ready, data = self.prepared(
            optimizer={"name": "sgd", "nesterov": True},
            learning_rate=0.1,
            momentum=0.5,
            weight_decay=0.01,
            clip_norm=2.0,
            label_smoothing=0.1,
            steps_per_execution=2,
        )
        before, loss = ready.model.optimizer, ready.model.loss
        model = self.fit(ready, data)
        config = model.optimizer.get_config()
        assert model.optimizer is not before
        assert {**config, "learning_rate": 0} == {**before.get_config(), "learning_rate": 0}
        assert config["learning_rate"] == pytest.approx(0.01)
        assert (config["nesterov"], config["weight_decay"], config["global_clipnorm"]) == (True, 0.01, 2.0)
        assert model.loss is loss
        assert loss.get_config()["label_smoothing"] == 0.1
        assert model.steps_per_execution == 2

    def test_a_plateau_works_in_both_stages(self):
        plateau = {"name": "plateau", "patience": 1, "factor": 0.5, "min_delta": 99.0}
        ready, data = self.prepared(schedule=plateau, learning_rate=0.1, optimizer="sgd")
        log = TestTwoStages.Log()
        self.fit(ready, data, [log])
        rates = [logs["learning_rate"] for _, logs, *_ in log.seen]
        assert rates == pytest.approx([0.1, 0.1, 0.005, 0.005])  # halved, then a tenth: the second stage's

    def test_what_is_frozen_is_not_unfrozen(self):
        ready, data = self.prepared(frozen="thr*", unfrozen=50)
        backbone = self.fit(ready, data).get_layer("backbone")
        assert [layer.trainable for layer in backbone.layers] == [True, True, False]

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_mixed_precision(self, policy, tmp_path):
        ready, data = self.prepared(dtype_policy=policy)
        log = TestTwoStages.Log()
        model = self.fit(ready, data, [log], epochs=2)
        scaled = policy == "mixed_float16"
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scaled
        assert model.get_layer("backbone").layers[0].dtype_policy.name == policy
        assert all(np.isfinite(logs["val_loss"]) for _, logs, *_ in log.seen)

    def test_a_trial_of_one_stage_is_saved_with_its_optimizer(self, tmp_path):
        driver = FakeDriver()
        spec = TrialSpec(0, {"unfrozen": 0}, seed=0, folder=str(tmp_path))
        result = run_trial(self.experiment(clip_value=0.5), spec, driver)
        assert isinstance(result, Result), result
        loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
        assert loaded.clipvalue == 0.5
        assert int(loaded.iterations) == result.best_epoch * 3

    @pytest.mark.parametrize(
        "values",
        [
            {"schedule": "cosine"},
            {"warmup_epochs": 1},
            {"space": {"schedule": ["constant", "exponential"]}},
        ],
    )
    def test_a_schedule_before_every_step_is_refused_by_the_probe(self, values, tmp_path):
        with pytest.raises(
            ModelError, match=r"schedule: the model trains in stages, .*`constant` or `plateau`"
        ):
            probe(self.experiment(**values), Probe(str(tmp_path)))


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    def offline(**_):
        raise Exception("URL fetch failure on https://...: None -- Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    expected = tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with pytest.raises(ModelError, match=r"ImageNet weights of VGG16 cannot be had") as caught:
        Transfer((32, 32, 3), classes=3, backbones=["VGG16"]).build(at())
    assert f"the file {expected}" in str(caught.value)
    assert "URL fetch failure" in str(caught.value)


@pytest.mark.parametrize("name", BACKBONES)
def test_preprocessing_is_the_networks_own(name):
    function = getattr(keras.applications, name)
    module = __import__(function.__module__, fromlist=["preprocess_input"])
    x = np.random.default_rng(0).uniform(0, 255, size=(1, 4, 4, 3)).astype(np.float32)
    expected = module.preprocess_input(x.copy())
    inputs = keras.Input((4, 4, 3))
    outputs = keras.applications.imagenet_utils.preprocess_input(inputs, mode=BACKBONES[name].mode)
    np.testing.assert_allclose(keras.Model(inputs, outputs)(x), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "alpha"),
    [
        pytest.param("MobileNet", (32, 32), 0.25),
        pytest.param("MobileNetV2", (96, 96), 0.35, marks=pytest.mark.slow),
        pytest.param("MobileNet", (160, 160), 1.0, marks=pytest.mark.slow),
        *(
            pytest.param(name, (known.least, known.least), 1.0, marks=pytest.mark.slow)
            for name, known in BACKBONES.items()
        ),
    ],
)
def test_every_backbone_builds_and_its_file_is_the_one_keras_wants(name, size, alpha, monkeypatch, tmp_path):
    asked = []

    def get_file(fname=None, origin=None, **_):
        asked.append(fname)
        raise OSError("offline")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(ModelError):
        build_backbone(name, size, "imagenet", alpha)
    assert asked == [weights_file(name, size, alpha).name]


def test_least_sizes():
    assert size_for("Xception", (32, 80)) == (71, 80)
    with pytest.raises(ValueError, match="at least 71"):
        keras.applications.Xception(include_top=False, weights=None, input_shape=(70, 71, 3))


def test_unfreezing_counts_from_the_end(few_layers):
    backbone = build_backbone("VGG16", (32, 32), None, 1.0)
    assert unfreeze(backbone, 1, batch_norm=False) == 1
    assert [layer.trainable for layer in backbone.layers] == [False, False, True]
    assert unfreeze(backbone, 3, batch_norm=False) == 2
    assert unfreeze(backbone, 99, batch_norm=True) == 3
    assert unfreeze(backbone, 0, batch_norm=True) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (4,)}, r"takes images.*received \(4,\)"),
        ({"input_shape": (8, 8, 2)}, r"1 or 3 channels\); received \(8, 8, 2\)"),
        ({"input_shape": {"a": (1,)}}, "takes images"),
        ({"input_shape": (8, 8, 3), "backbones": ["VGG17"]}, "received VGG17"),
        ({"input_shape": (8, 8, 3), "backbones": []}, "received none"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        Transfer(**arguments)


def test_the_table_names_what_keras_has():
    assert len(BACKBONES) == 13
    assert all(callable(getattr(keras.applications, name)) for name in backbones.BACKBONES)
