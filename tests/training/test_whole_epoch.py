"""An epoch in one graph, on graphs used before, gives the very numbers of `fit`."""

import keras
import numpy as np
import pytest
from keras import layers

from hpsearch.datasets import Split
from hpsearch.datasets.streamed import Streamed
from hpsearch.training.feed import Shuffled
from hpsearch.training.graphs import Graphs
from hpsearch.training.prepare import Prepared
from hpsearch.training.reuse import fingerprint, reuse_graphs
from hpsearch.training.whole_epoch import whole_epoch

ROWS, CLASSES = 70, 3
GENERATOR = np.random.default_rng(0)
Y = np.arange(ROWS) % CLASSES


def rows(*shape):
    return GENERATOR.normal(size=(ROWS, *shape)).astype("float32") + Y.reshape(-1, *([1] * len(shape)))


MODELS = {
    "mlp": ((6,), lambda: [layers.Dense(8, "relu"), layers.Dropout(0.3), layers.BatchNormalization()]),
    "cnn": ((6, 6, 1), lambda: [layers.Conv2D(4, 3, activation="relu"), layers.Flatten()]),
    "lstm": ((5, 4), lambda: [layers.LSTM(6, dropout=0.2)]),
    "noise": ((6,), lambda: [layers.GaussianNoise(0.3), layers.Dense(8, "tanh")]),
}


def build(name, optimizer="adam", rate=0.01, seed=0, **compiled):
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    shape, hidden = MODELS[name]
    model = keras.Sequential([keras.Input(shape), *hidden(), layers.Dense(CLASSES, "softmax")])
    made = keras.optimizers.get(optimizer)
    made.learning_rate = rate
    model.compile(made, **{"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled})
    return model


def by_fit(model, split, epochs=2):
    source = Shuffled(split, 16, seed=1)
    logs = []
    for epoch in range(epochs):
        source.turn(epoch)
        history = model.fit(source, shuffle=False, verbose=0).history
        logs.append({key: values[0] for key, values in history.items()})
    return logs


def by_graph(model, split, graphs=None, epochs=2):
    train = (graphs or Graphs()).get(("train",), split, lambda: whole_epoch(model, split, 16))
    source = Shuffled(split, 16, seed=1)
    logs = []
    for epoch in range(epochs):
        source.turn(epoch)
        logs.append(train(source.order))
    return logs


def equal(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2, ROWS, dtype="float32")], ids=["", "weighted"])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_fit_to_the_bit(name, weights):
    split = Split(rows(*MODELS[name][0]), Y, weights)
    one = build(name)
    expected = by_fit(one, split)
    other = build(name)
    assert by_graph(other, split) == expected
    assert equal(one, other)


def prepared(model):
    return Prepared(model, None, None, epochs=1, batch_size=16, custom_fit=False)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_graphs_are_used_again_and_give_the_numbers_of_a_fresh_model(optimizer):
    split = Split(rows(6), Y)
    first = reuse_graphs(prepared(build("mlp", optimizer, seed=1)))
    by_graph(first.model, split, first.graphs, epochs=3)

    second = reuse_graphs(prepared(build("mlp", optimizer, rate=0.03, seed=2)))
    assert second.graphs is first.graphs
    assert second.model is first.model
    logs = by_graph(second.model, split, second.graphs)
    fresh = build("mlp", optimizer, rate=0.03, seed=2)
    assert logs == by_graph(fresh, split)
    assert equal(second.model, fresh)


def test_what_computes_otherwise_has_graphs_of_its_own():
    known = fingerprint(build("mlp"))
    assert known is not None
    assert fingerprint(build("mlp", rate=0.5, seed=9)) == known
    others = [
        build("cnn"),
        build("mlp", optimizer="sgd"),
        build("mlp", loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=2)),
        build("mlp", metrics=[]),
        build("mlp", keras.optimizers.Adam(weight_decay=0.1)),
        build("mlp", keras.optimizers.Adam(clipnorm=1.0)),
    ]
    frozen = build("mlp")
    frozen.layers[0].trainable = False
    found = [fingerprint(model) for model in (*others, frozen)]
    assert len({known, *found}) == len(found) + 1
    assert None not in found


def test_code_of_the_users_own_is_never_taken_for_the_same():
    @keras.saving.register_keras_serializable("test_whole_epoch")
    class Scale(layers.Layer):
        def call(self, x):
            return 2 * x

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(CLASSES)

        def call(self, x):
            return self.dense(x)

    own = Own()
    own.compile("adam", "mse")
    excluding = keras.optimizers.Adam(weight_decay=0.1)
    excluding.exclude_from_weight_decay(var_names=["bias"])
    with_lambda = keras.Sequential([keras.Input((6,)), layers.Lambda(lambda x: 2 * x)])
    with_lambda.compile("adam", "mse")
    with_layer = keras.Sequential([keras.Input((6,)), Scale()])
    with_layer.compile("adam", "mse")
    unbuilt = keras.Sequential([layers.Dense(2)])
    unbuilt.compile("adam", "mse")
    models = [
        own,
        unbuilt,
        with_lambda,
        with_layer,
        build("mlp", loss=lambda y, p: keras.ops.mean(p)),
        build("mlp", excluding),
        build("mlp", run_eagerly=True),
    ]
    assert [fingerprint(model) for model in models] == [None] * len(models)


def test_rows_that_stay_on_disk_are_left_to_fit():
    split = Split(rows(6), Y)
    model = build("mlp")
    assert whole_epoch(model, Split(Streamed(split.x), Y), 16) is None
    assert whole_epoch(build("mlp", run_eagerly=True), split, 16) is None
