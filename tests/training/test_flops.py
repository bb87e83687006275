"""Operations of a forward pass against numbers by hand; `test_backends.py` has these on JAX and torch too."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from hpsearch.datasets.data import Split
from hpsearch.errors import ModelError
from hpsearch.experiment import Experiment
from hpsearch.testing.trials import overlapping
from hpsearch.training.flops import flops_of
from hpsearch.training.probe import probe
from hpsearch.trial import Probe


def counted(model, *shapes, rows=3):
    x = [np.zeros((rows, *shape), "float32") for shape in shapes]
    names = [f"x{number}" for number in range(len(x))]
    batch = Split(x[0] if len(x) == 1 else dict(zip(names, x, strict=True)), np.zeros(rows))
    return flops_of(model, batch, "model m")


def of(call, *shapes):
    """Counts a functional model of inputs of such shapes."""
    inputs = [keras.Input(shape, name=f"x{number}") for number, shape in enumerate(shapes)]
    named = inputs[0] if len(inputs) == 1 else {tensor.name: tensor for tensor in inputs}
    return counted(keras.Model(named, call(*inputs)), *shapes)


GATES = {layers.SimpleRNN: 1, layers.GRU: 3, layers.LSTM: 4}
IMAGE, STEPS = (8, 8, 4), (7, 3)
MULTIPLY_ADDS = {
    "dense": (lambda: layers.Dense(5), (10,), 10 * 5),
    "dense over steps": (lambda: layers.Dense(5), STEPS, 7 * 3 * 5),
    "einsum dense": (
        lambda: layers.EinsumDense("...ab,bcd->...acd", (7, 5, 2)),
        (2, 7, 3),
        2 * 7 * 3 * 5 * 2,
    ),
    "conv 1d": (lambda: layers.Conv1D(5, 3), STEPS, 5 * 3 * 3 * 5),
    "conv, valid": (lambda: layers.Conv2D(5, 3), IMAGE, 6 * 6 * (9 * 4) * 5),
    "conv, same, strides": (lambda: layers.Conv2D(5, 3, 2, "same"), IMAGE, 4 * 4 * (9 * 4) * 5),
    "conv, dilated": (lambda: layers.Conv2D(5, 3, dilation_rate=2), IMAGE, 4 * 4 * (9 * 4) * 5),
    "conv, groups": (lambda: layers.Conv2D(6, 3, groups=2), IMAGE, 6 * 6 * (9 * 4 // 2) * 6),
    "conv, transposed": (lambda: layers.Conv2DTranspose(5, 3, strides=2), IMAGE, 8 * 8 * 4 * 9 * 5),
    "depthwise": (
        lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        IMAGE,
        8 * 8 * 8 * 9,
    ),
    "separable": (lambda: layers.SeparableConv2D(6, 3), IMAGE, 6 * 6 * (4 * 9 + 4 * 6)),
    **{
        cell.__name__: (partial(cell, 5), STEPS, 7 * gates * (3 * 5 + 5 * 5)) for cell, gates in GATES.items()
    },
    "unrolled": (lambda: layers.LSTM(5, unroll=True), STEPS, 7 * 4 * (3 * 5 + 5 * 5)),
    "both directions": (lambda: layers.Bidirectional(layers.LSTM(5)), STEPS, 2 * 7 * 4 * (3 * 5 + 5 * 5)),
    "stacked cells": (
        lambda: layers.RNN([layers.LSTMCell(5), layers.GRUCell(2)]),
        STEPS,
        7 * (4 * (3 * 5 + 5 * 5) + 3 * (5 * 2 + 2 * 2)),
    ),
    "each step": (lambda: layers.TimeDistributed(layers.Dense(4)), STEPS, 7 * 3 * 4),
    "each step, an LSTM": (
        lambda: layers.TimeDistributed(layers.LSTM(5)),
        (2, *STEPS),
        2 * 7 * 4 * (15 + 25),
    ),
    "normalised": (
        lambda: keras.Sequential([layers.BatchNormalization(), layers.LayerNormalization()]),
        (9,),
        0,
    ),
}


@pytest.mark.parametrize("case", MULTIPLY_ADDS)
def test_layers_by_hand(case):
    make, shape, expected = MULTIPLY_ADDS[case]
    assert of(make(), shape) == 2 * expected


def test_attention_by_hand():
    query, value = (5, 8), (7, 8)
    products = 5 * 7 * 8  # of the scores; as many of the sum over the values
    dot = layers.Attention(use_scale=True)
    assert of(lambda q, v: dot([q, v]), query, value) == 2 * 2 * products
    additive = layers.AdditiveAttention()  # its scores are a sum of tanh
    assert of(lambda q, v: additive([q, v]), query, value) == 2 * products
    width = 3 if keras.backend.backend() == "jax" else 4  # Keras on JAX has no values of another width
    heads = layers.MultiHeadAttention(2, 3, value_dim=width)
    projections = (5 * 8 * 6) + (7 * 8 * 6) + (7 * 8 * 2 * width) + (5 * 8 * 2 * width)
    assert of(heads, query, value) == 2 * (projections + 5 * 7 * 2 * (3 + width))
    grouped = layers.GroupQueryAttention(3, num_query_heads=4, num_key_value_heads=2)
    projections = (5 * 8 * 12) + 2 * (7 * 8 * 6) + (5 * 12 * 8)
    assert of(grouped, query, value) == 2 * (projections + 5 * 7 * 4 * (3 + 3))


def test_what_is_no_layer_by_hand():
    assert of(lambda a, b: layers.Dot(axes=1)([a, b]), (6,), (6,)) == 2 * 6
    assert of(lambda a, b: layers.Dot(axes=(2, 2))([a, b]), (5, 6), (7, 6)) == 2 * 5 * 7 * 6
    assert of(keras.ops.matmul, (5, 6), (6, 7)) == 2 * 5 * 6 * 7
    assert of(lambda a, b: keras.ops.einsum("bij,bkj->bik", a, b), (5, 6), (7, 6)) == 2 * 5 * 7 * 6
    kernel = np.ones((3, 3, 4, 1), "float32")
    with pytest.raises(ModelError, match=r"received `.*` \(DepthwiseConv\)"):
        of(lambda a: keras.ops.depthwise_conv(a, kernel), IMAGE)


def test_whole_models_by_hand():
    mlp = keras.Sequential([layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dense(3, "softmax")])
    assert counted(mlp, (4,)) == 2 * (4 * 16 + 16 * 3)
    cnn = [layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.MaxPooling2D()]
    cnn = keras.Sequential([*cnn, layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(10)])
    assert counted(cnn, (8, 8, 1)) == 2 * (64 * 9 * 8 + 4 * (9 * 8) * 4 + 16 * 10)
    tokens = keras.Input((7,), dtype="int32")
    x = layers.LSTM(5)(layers.Embedding(100, 3, mask_zero=True)(tokens))
    assert counted(keras.Model(tokens, layers.Dense(2)(x)), (7,)) == 2 * (7 * 4 * (15 + 25) + 5 * 2)
    shared = layers.Dense(5)
    assert of(lambda a, b: layers.Add()([shared(a), shared(b)]), (4,), (4,)) == 2 * 2 * 4 * 5


class Block(layers.Layer):
    """Made of Keras's layers, and a weight for each feature."""

    def build(self, shape):
        self.inner = layers.Dense(shape[-1])
        self.inner.build(shape)
        self.gain = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x + self.gain * self.inner(self.inner(x))


class Product(layers.Layer):
    """Multiplies by itself."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3)


class Counted(Product):
    def compute_flops(self, input_shape):
        return 2 * input_shape[0] * input_shape[1] * 3


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block, self.head = Block(), keras.Sequential([layers.Dense(2)])

    def call(self, x):
        return self.head(self.block(x))


def test_layers_of_ones_own():
    assert counted(Subclassed(), (4,)) == 2 * (2 * 4 * 4 + 4 * 2)
    assert of(Counted(), (4,)) == 2 * 4 * 3
    assert of(layers.TimeDistributed(Counted()), (7, 4)) == 7 * 2 * 4 * 3
    for model in (Product(name="mine"), layers.TimeDistributed(Product(), name="mine")):
        with pytest.raises(
            ModelError, match=r"model m: its `flops` cannot be counted.*`mine`.*compute_flops"
        ):
            of(model, (5, 4))


class Named(layers.Attention):
    """Takes a dictionary, which the rule of its parent knows nothing of."""

    def build(self, input_shape):
        super().build([input_shape["query"], input_shape["value"]])

    def call(self, inputs):
        return super().call([inputs["query"], inputs["value"]])

    def compute_mask(self, inputs, mask=None):
        return None


class Attending(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = Named(name="mine")

    def call(self, x):
        return self.layer({"query": x, "value": x})


def test_a_subclass_that_the_rule_does_not_fit_costs_nothing_but_the_count():
    with pytest.raises(ModelError, match=r"cannot be counted.*`mine` \(Named\)"):
        counted(Attending(), STEPS)


def test_the_model_stays_as_it_was():
    class Noise(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed_generator = keras.random.SeedGenerator(1)

        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)

    model = keras.Sequential([keras.Input((4,)), Noise(), layers.Dense(2)])
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    original = keras.Operation.__call__
    assert counted(model, (4,)) == 2 * 4 * 2
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    with pytest.raises(ModelError, match="does not accept"):
        counted(model, (5,))
    assert keras.Operation.__call__ is original


@pytest.mark.parametrize(("layer", "expected"), [(layers.Dense, 2 * 4 * 3), (Product, None)])
def test_a_probe_tells_or_says_why_it_cannot(tmp_path, layer, expected):
    def build(hp):
        head = layer(3, activation="softmax") if layer is layers.Dense else Product()
        model = keras.Sequential([keras.Input((4,)), head])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    def found(**search):
        search = {"trials": 1, **search}
        experiment = Experiment(
            name="e", model=build, data=overlapping(), objective="val_loss", search=search
        )
        return probe(experiment, Probe(str(tmp_path))).flops

    assert found() == expected
    if expected is None:
        with pytest.raises(ModelError, match=r"`flops` cannot be counted; .*\(Product\)"):
            found(constraints=["flops <= 1000"])
