"""Another loss, and label smoothing: the numbers of Keras, also after the model is saved and loaded."""

import keras
import numpy as np
import pytest

from hpsearch.errors import ExperimentError, ModelError
from hpsearch.experiment import Experiment
from hpsearch.testing.data import tiny_classification, tiny_regression
from hpsearch.training.hyperparameters import at_defaults
from hpsearch.training.prepare import prepare
from hpsearch.training.probe import probe
from hpsearch.training.reuse import fingerprint
from hpsearch.trial import Probe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = {"digit": np.eye(3)[np.arange(60) % 3], "size": X[:, :1], "odd": np.arange(60) % 2}


def net(loss, units=3, activation="softmax"):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile("sgd", loss, run_eagerly=True)
    return model


def heads(loss):
    x = inputs = keras.Input((4,))
    outputs = [
        keras.layers.Dense(3, "softmax", name="digit")(x),
        keras.layers.Dense(1, name="size")(x),
        keras.layers.Dense(1, "sigmoid", name="odd")(x),
    ]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss, run_eagerly=True)
    return model


def experiment(build, data=(X, Y["digit"]), **training):
    return Experiment(name="toy", model=build, data=data, objective="val_loss", training=training)


def prepared(build, data=None, **training):
    data = data or tiny_classification(one_hot=True)
    return prepare(experiment(build, **training), data, at_defaults, seed=0, free_memory=False).model


def measured(model, x, y):
    return float(model.evaluate(x, y, verbose=0, batch_size=64))


LOSSES = {
    "mse": (keras.losses.MeanSquaredError, {}),
    "huber": (keras.losses.Huber, {"delta": 0.1}),
    "Huber": (keras.losses.Huber, {}),
    "mean_absolute_error": (keras.losses.MeanAbsoluteError, {}),
    "MeanAbsoluteError": (keras.losses.MeanAbsoluteError, {"reduction": "sum"}),
    "log_cosh": (keras.losses.LogCosh, {}),
    "cosine_similarity": (keras.losses.CosineSimilarity, {"axis": 0}),
    "categorical_focal_crossentropy": (keras.losses.CategoricalFocalCrossentropy, {"gamma": 4.0}),
    "Categorical_CrossEntropy": (keras.losses.CategoricalCrossentropy, {"label_smoothing": 0.2}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_kerass_also_in_a_saved_model(name, tmp_path):
    made, arguments = LOSSES[name]
    model = prepared(lambda hp: net("kld"), loss={"name": name, **arguments} if arguments else name)
    by_hand = net(made(**arguments))
    by_hand.set_weights(model.get_weights())
    expected = measured(by_hand, X, Y["digit"])
    assert measured(model, X, Y["digit"]) == expected
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert measured(loaded, X, Y["digit"]) == pytest.approx(expected, rel=1e-6)


def test_what_a_model_compiled_with_itself_is_saved_whole(tmp_path):
    def build(hp):
        model = net("mse")
        metrics = [keras.metrics.CosineSimilarity(axis=0), keras.metrics.Precision(top_k=2)]
        model.compile("sgd", keras.losses.Huber(0.01), metrics=metrics, weighted_metrics=["mae"])
        return model

    model = prepared(build)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    weights = np.arange(60) / 60.0
    expected = model.evaluate(X, Y["digit"], sample_weight=weights, verbose=0, return_dict=True)
    found = loaded.evaluate(X, Y["digit"], sample_weight=weights, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-6)


def test_losses_that_differ_have_no_graph_in_common():
    def build(delta):
        model = net("mse")
        model.compile("sgd", keras.losses.Huber(delta))
        return model

    found = [fingerprint(prepared(lambda hp, delta=delta: build(delta))) for delta in (0.1, 5.0, 5.0)]
    assert found[0] != found[1] == found[2]
    assert None not in found


def test_a_loss_by_output_leaves_the_others():
    compiled = ["categorical_crossentropy", "mse", "binary_crossentropy"]
    built = (lambda hp: heads(compiled), lambda hp: heads(dict(zip(("digit", "size", "odd"), compiled))))  # noqa: B905
    for build in built:
        model = prepared(build, loss={"size": {"name": "huber", "delta": 0.5}, "odd": "mae"})
        by_hand = heads(["categorical_crossentropy", keras.losses.Huber(0.5), "mae"])
        by_hand.set_weights(model.get_weights())
        targets = list(Y.values())
        np.testing.assert_array_equal(
            model.evaluate(X, targets, verbose=0), by_hand.evaluate(X, targets, verbose=0)
        )


def test_a_loss_of_all_outputs_is_divided_up():
    model = prepared(lambda hp: heads("mse"), loss={"size": "mae"})
    assert model.loss == {"digit": "mse", "size": "mae", "odd": "mse"}


def test_one_of_the_users_own():
    @keras.saving.register_keras_serializable("toy")
    def median(y_true, y_pred):
        return keras.ops.abs(y_true - y_pred)

    model = prepared(lambda hp: net("mse", 1, None), tiny_regression(), loss="toy>median")
    assert model.loss is median
    del keras.saving.get_custom_objects()["toy>median"]


def test_the_arguments_of_ones_own_are_saved_though_its_config_lacks_them(tmp_path):
    @keras.saving.register_keras_serializable("toy")
    class Scaled(keras.losses.Loss):
        def __init__(self, scale=1.0, name="scaled", reduction="sum_over_batch_size"):
            super().__init__(name=name, reduction=reduction)
            self.scale = scale

        def call(self, y_true, y_pred):
            return self.scale * keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)

        def get_config(self):
            return {"name": self.name, "reduction": self.reduction}

    model = prepared(lambda hp: net("mse"), loss={"name": "toy>Scaled", "scale": 5.0})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert measured(loaded, X, Y["digit"]) == pytest.approx(measured(model, X, Y["digit"]), rel=1e-6)
    del keras.saving.get_custom_objects()["toy>Scaled"]


SMOOTHED = {
    "a name": "categorical_crossentropy",
    "a function": keras.losses.categorical_crossentropy,
    "an object": keras.losses.CategoricalCrossentropy(label_smoothing=0.4),
    "logits": keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum"),
    "focal": keras.losses.CategoricalFocalCrossentropy(gamma=3.0),
}


@pytest.mark.parametrize("name", SMOOTHED)
def test_smoothing_leaves_the_rest_of_the_loss(name):
    loss = SMOOTHED[name]
    model = prepared(lambda hp: net(loss), label_smoothing=0.1)
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    made = type(loss) if config else keras.losses.CategoricalCrossentropy
    by_hand = net(made(**{**config, "label_smoothing": 0.1}))
    by_hand.set_weights(model.get_weights())
    assert measured(model, X, Y["digit"]) == measured(by_hand, X, Y["digit"])
    smooth = 0.9 * Y["digit"] + 0.1 / 3
    if name == "a name":
        assert measured(net_like(model, loss), X, smooth) == pytest.approx(
            measured(model, X, Y["digit"]), rel=1e-5
        )


def net_like(model, loss):
    other = net(loss)
    other.set_weights(model.get_weights())
    return other


def test_smoothing_is_of_every_cross_entropy():
    model = prepared(
        lambda hp: heads(["categorical_crossentropy", "mse", "binary_crossentropy"]), label_smoothing=0.1
    )
    digit, size, odd = model.loss
    assert digit.get_config()["label_smoothing"] == odd.get_config()["label_smoothing"] == 0.1
    assert size == "mse"


def test_smoothing_of_nothing_is_no_fault():
    assert prepared(lambda hp: net("mse"), label_smoothing=0.0).loss == "mse"


def own_loss(y_true, y_pred):
    return keras.ops.mean(y_pred)


BROKEN = {
    "class numbers": (
        {"build": lambda hp: net("sparse_categorical_crossentropy"), "label_smoothing": 0.1},
        "label_smoothing: Keras cannot smooth class numbers; expected a cross-entropy over one-hot or binary "
        "targets; received sparse_categorical_crossentropy. Write `data: {options: {one_hot: true}}`",
    ),
    "class numbers of one output": (
        {
            "build": lambda hp: heads(["sparse_categorical_crossentropy", "mse", "binary_crossentropy"]),
            "label_smoothing": 0.1,
        },
        "Keras cannot smooth class numbers",
    ),
    "amounts": (
        {"build": lambda hp: net("mse"), "label_smoothing": 0.1},
        "the loss has no labels to smooth; expected a cross-entropy over one-hot or binary targets; received",
    ),
    "a loss of one's own": (
        {"build": lambda hp: net(own_loss), "label_smoothing": 0.1},
        "binary targets; received own_loss",
    ),
    "an unknown loss": (
        {"build": lambda hp: net("mse"), "loss": "categorical_crossentropi"},
        "loss: Keras has no such loss; expected one of BinaryCrossentropy, ",
    ),
    "an unknown loss of an output": (
        {"build": lambda hp: heads("mse"), "loss": {"size": "msee"}},
        "loss.size: Keras has no such loss",
    ),
    "an unknown argument": (
        {"build": lambda hp: net("mse"), "loss": {"name": "huber", "delat": 2.0}},
        "loss: `huber` refuses its arguments; expected arguments among delta, reduction; received TypeError",
    ),
    "an unknown output": (
        {"build": lambda hp: heads("mse"), "loss": {"sise": "mae"}},
        "loss.sise: the model has no such output; expected one of digit, size, odd; received sise. Did you "
        "mean `size`?",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said(name):
    training, message = BROKEN[name]
    training = {**training}
    with pytest.raises(ModelError) as caught:
        prepared(training.pop("build"), **training)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_probe_finds_what_a_built_in_model_cannot_smooth(tmp_path):
    named = {"name": "toy", "model": "linear", "objective": "val_loss", "training": {"label_smoothing": 0.1}}
    with pytest.raises(ModelError, match=r"Write `data: \{options: \{one_hot: true\}\}`"):
        probe(Experiment(data="blobs", **named), Probe(str(tmp_path)))
    one_hot = {"name": "blobs", "options": {"one_hot": True}}
    assert "val_loss" in probe(Experiment(data=one_hot, **named), Probe(str(tmp_path))).metrics


def test_a_loss_without_a_name_is_said_when_the_experiment_is_read():
    with pytest.raises(ExperimentError, match=r"training.loss: must not be empty"):
        experiment(lambda hp: net("mse"), loss={})
