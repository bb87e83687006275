"""The autoencoder."""

import keras
import numpy as np
import pytest

from hpsearch.datasets import load_data
from hpsearch.experiment import DataSection
from hpsearch.models import autoencoder_pictures
from hpsearch.models.autoencoder import Autoencoder
from hpsearch.testing.models import LearningContract, ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


def rows(flat=True, count=96):
    bunch = load_data(DataSection(name="digits", options={"flat": flat}))
    return bunch.train.x[:count], bunch.train.y[:count]


class TestFlat(ModelContract):
    model = "autoencoder"
    dataset = {"name": f"{__file__}:rows", "options": {"reconstruct": True}}


class TestImages(LearningContract):
    model = "autoencoder"
    dataset = {"name": f"{__file__}:rows", "options": {"reconstruct": True, "flat": False}}
    space = {"variant": "convolutional", "filters": [8, 16], "units_1": 64}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def test_the_documented_network_is_its_default():
    hp = at()
    model = Autoencoder((784,)).build(hp)
    units = [
        layer.units
        for part in ("encoder", "decoder")
        for layer in model.get_layer(part).layers
        if isinstance(layer, keras.layers.Dense)
    ]
    assert units == [128, 64, 10, 2, 10, 64, 128, 784]
    first = model.get_layer("encoder").get_layer("dense_1")
    assert first.activation is keras.activations.tanh
    assert model.loss == "mean_squared_error"
    assert set(hp.values) == {parameter.name for parameter in hp.declared}


def test_it_works_on_centred_values():
    model = Autoencoder((6,)).build(at(layers=1, units_1=64))
    encoder = model.get_layer("encoder")
    seen = keras.Model(encoder.inputs, encoder.get_layer("centre").output)
    np.testing.assert_array_equal(seen(np.array([[0, 0.5, 1, 1, 1, 1]])), [[-0.5, 0, 0.5, 0.5, 0.5, 0.5]])
    values = model.get_layer("decoder").get_layer("values")
    values.set_weights([np.zeros((64, 6)), np.full(6, 100.0)])
    np.testing.assert_allclose(model(np.zeros((1, 6))), np.full((1, 6), 1.5))


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 10, 3)])
def test_convolutions_give_back_every_size(shape):
    hp = at(variant="convolutional", filters=8, kernel=5, code=4)
    model = Autoencoder(shape).build(hp)
    assert model.output_shape == (None, *shape)
    assert model.get_layer("encoder").output_shape == (None, 4)
    assert model.get_layer("encoder").get_layer("conv_1").kernel_size == (5, 5)
    assert "layers" not in hp.values


def test_flat_inputs_have_no_convolutional_variant():
    hp = at()
    Autoencoder((64,)).build(hp)
    assert "filters" not in {parameter.name for parameter in hp.declared}


def test_the_encoder_is_a_model_of_its_own(tmp_path):
    data = load_data(DataSection(name="digits", options={"reconstruct": True}))
    hypermodel = Autoencoder(data.input_shape)
    model = hypermodel.build(at(code=4))
    files = list(hypermodel.after_fit(model, data, tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    encoder = keras.models.load_model(tmp_path / "encoder.keras")
    codes = encoder(data.test.x[:8])
    assert codes.shape == (8, 4)
    np.testing.assert_allclose(model.get_layer("decoder")(codes), model(data.test.x[:8]), atol=1e-6)


def test_the_test_metrics_say_how_well_the_code_separates_the_classes():
    data = load_data(DataSection(name="digits", options={"reconstruct": True}))
    hypermodel = Autoencoder(data.input_shape)
    model = hypermodel.build(at(code=4))
    encoder = model.get_layer("encoder")
    found = hypermodel.test_metrics(model, data)
    seen, unseen = (encoder.predict(split.x, verbose=0) for split in (data.train, data.test))
    distances = ((unseen[:, None] - seen) ** 2).sum(axis=-1)
    nearest = data.labelled.train.y[np.argsort(distances, axis=1)[:, :5]]
    votes = np.array([np.bincount(row, minlength=10).argmax() for row in nearest])
    assert found == {"code_knn_accuracy": pytest.approx((votes == data.labelled.test.y).mean(), abs=0.003)}

    encoder.get_layer("code").set_weights([np.zeros((10, 4)), np.zeros(4)])
    assert hypermodel.test_metrics(model, data)["code_knn_accuracy"] < 0.2 < found["code_knn_accuracy"]


def test_without_classes_there_is_no_such_metric():
    x = np.random.default_rng(0).uniform(size=(40, 6)).astype(np.float32)
    unlabelled = load_data(DataSection(name="arrays", target=(x, x)))
    amounts = load_data(DataSection(name="arrays", target=(x, x.sum(axis=1)), options={"reconstruct": True}))
    hypermodel = Autoencoder((6,))
    model = hypermodel.build(at())
    assert hypermodel.test_metrics(model, unlabelled) == {}
    assert hypermodel.test_metrics(model, amounts) == {}


def test_codes_have_the_colours_of_their_labels(tmp_path, monkeypatch):
    data = load_data(DataSection(name="digits", options={"reconstruct": True}))
    drawn = []
    monkeypatch.setattr("hpsearch.models.autoencoder.draw_codes", lambda path, *args: drawn.append(args))
    hypermodel = Autoencoder(data.input_shape)
    with pytest.raises(FileNotFoundError):  # nothing was drawn
        hypermodel.after_fit(hypermodel.build(at()), data, tmp_path)
    codes, labels, names = drawn[0]
    assert codes.shape == (len(data.validation), 2)
    np.testing.assert_array_equal(labels, data.labelled.validation.y)
    assert names == tuple("0123456789")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(6) % 2, ("a", "b")),
        (np.eye(3)[np.arange(6) % 3], ("a", "b", "c")),
        (np.arange(6), tuple("abcdefghijklmnopqrstuvwxyz")),
        (np.linspace(0, 1, 6), ()),
        (None, ()),
    ],
)
def test_codes_are_drawn_whatever_the_labels(tmp_path, labels, names):
    codes = np.random.default_rng(0).normal(size=(6, 1 if labels is None else 2))
    autoencoder_pictures.draw_codes(tmp_path / "codes.png", codes, labels, names)
    assert (tmp_path / "codes.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8, 1), (8, 8), (64,), (7,)])
def test_rows_are_drawn_whatever_their_shape(tmp_path, shape):
    before = np.random.default_rng(0).uniform(-5, 5, size=(3, *shape)).astype(np.float32)
    autoencoder_pictures.draw_reconstructions(tmp_path / "rows.png", before, 2 * before)
    assert (tmp_path / "rows.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": {"a": (1,), "b": (2,)}}, "one input; received a, b"),
        ({"input_shape": (4,), "classes": 10}, "not 10 classes; set `data.options.reconstruct: true`"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(**arguments)
