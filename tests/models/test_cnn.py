"""The convolutional network."""

import itertools

import numpy as np
import pytest

from hpsearch.models.cnn import CNN
from hpsearch.testing.models import LearningContract, ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


class TestForClasses(ModelContract):
    model = "cnn"
    dataset = {"name": "digits", "options": {"flat": False}, "validation": 0.05, "test": 0.9}
    space = {"filters_1": {"high": 32}, "filters_2": [16, 32], "filters_3": [16], "dense_units": {"high": 64}}


def bright_corners():
    """Grey pictures of 6x4 pixels without channels, and how bright two of their corners are."""
    x = np.random.default_rng(0).uniform(size=(96, 6, 4)).astype(np.float32)
    return x, x[:, [0, -1], 0]


class TestForNumbers(LearningContract):
    model = {"name": "cnn", "options": {"max_blocks": 1}}
    dataset = staticmethod(bright_corners)
    space = {"filters_1": [16, 32], "dense_units": {"high": 64}}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers if type(layer).__name__ != "Activation"]


def test_32_64_128_of_3x3_is_a_point_of_its_space():
    hp = at(
        blocks=2,
        kernel_size=3,
        padding="valid",
        pool_after="last",
        filters_1=32,
        filters_2=64,
        pool_dropout=0.25,
        dense_units=128,
        dropout=0.5,
    )
    model = CNN((28, 28, 1), 10).build(hp)
    assert kinds(model)[1:] == [
        "Conv2D",
        "Conv2D",
        "MaxPooling2D",
        "Dropout",
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert model.count_params() == 1_199_882
    assert (model.get_layer("pool_dropout_2").rate, model.get_layer("dropout").rate) == (0.25, 0.5)


def test_three_convolutions_of_32_64_128_are_a_point_of_its_space():
    hp = at(blocks=3, kernel_size=3, padding="valid", pool_after="inner", dense=False)
    model = CNN((28, 28, 1), 10).build(hp)
    assert kinds(model)[1:] == ["Conv2D", "MaxPooling2D"] * 2 + ["Conv2D", "Flatten", "Dense"]
    assert model.count_params() == 104_202


def test_32_64_1024_of_5x5_is_a_point_of_its_space():
    hp = at(blocks=2, kernel_size=5, padding="same", pool_after="every", dense_units=1024, dropout=0.5)
    model = CNN((28, 28), 10).build(hp)
    assert kinds(model)[1:] == ["Reshape"] + ["Conv2D", "MaxPooling2D"] * 2 + [
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert model.count_params() == 3_274_634


POINTS = list(itertools.product((1, 2, 3, 4), (3, 5), ("valid", "same")))


@pytest.mark.parametrize("shape", [(2, 2, 1), (3, 40, 3), (8, 8), (12, 9, 2), (28, 28, 1)])
def test_every_point_of_its_space_can_be_built(shape):
    hypermodel = CNN(shape, 2, max_blocks=4)
    unpadded = set()
    for blocks, kernel_size, padding in POINTS:
        if blocks > hypermodel.max_blocks or (padding == "same" and (blocks, kernel_size) not in unpadded):
            continue
        hp = at(blocks=blocks, kernel_size=kernel_size, padding=padding, filters_1=16, dense=False)
        conv = hypermodel.build(hp).get_layer(f"conv_{blocks}")
        assert min(conv.output.shape[1:3]) >= 2
        assert (conv.kernel_size[0], conv.padding) == (kernel_size, hp.values.get("padding", "same"))
        if conv.padding == "valid":
            unpadded.add((blocks, kernel_size))
    assert (hypermodel.max_blocks, unpadded) == {
        (2, 2, 1): (1, set()),
        (3, 40, 3): (1, set()),
        (8, 8): (3, {(1, 3), (1, 5)}),
        (12, 9, 2): (3, {(1, 3), (1, 5)}),
        (28, 28, 1): (4, {(1, 3), (2, 3), (3, 3), (1, 5), (2, 5)}),
    }[shape]


def test_every_hyperparameter_reaches_the_model():
    hp = at(
        blocks=1, filters_1=16, batch_norm=True, features="global_average", learning_rate=2e-3, dense=False
    )
    model = CNN((8, 8, 1), 3).build(hp)
    assert kinds(model) == [
        "InputLayer",
        "Conv2D",
        "BatchNormalization",
        "MaxPooling2D",
        "GlobalAveragePooling2D",
        "Dense",
    ]
    assert model.get_layer("conv_1").filters == 16
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
    never = {"filters_2", "filters_3", "dense_units"}
    assert set(hp.values) == {parameter.name for parameter in hp.declared} - never


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": {"a": (8, 8), "b": (2,)}}, "the CNN has one input; received a, b"),
        ({"input_shape": (784,)}, r"the CNN reads images .* received the shape \(784,\)"),
        ({"input_shape": (1, 28)}, r"at least 2x2 pixels, .* received the shape \(1, 28\)"),
        ({"input_shape": (8, 8), "max_blocks": 0}, "`max_blocks` must be at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        CNN(**arguments)
