from __future__ import annotations

import keras
import numpy as np
import pytest

from hpsearch.datasets.data import Split
from hpsearch.testing.trials import overlapping
from hpsearch.training.measure import forward, measure


def plain() -> tuple[keras.Model, Split]:
    x, y = overlapping(50)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], weighted_metrics=[loss])
    return model, Split(x, y, np.linspace(0.1, 2, 50).astype("float32"))


def named() -> tuple[keras.Model, Split]:
    x, y = overlapping(50)
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    both = keras.layers.Concatenate()([left, right])
    outputs = {
        "digit": keras.layers.Dense(3, activation="softmax", name="digit")(both),
        "amount": keras.layers.Dense(1, name="amount")(both),
    }
    model = keras.Model({"left": left, "right": right}, outputs)
    model.compile(
        "adam", {"digit": "sparse_categorical_crossentropy", "amount": "mse"}, metrics={"digit": "accuracy"}
    )
    return model, Split({"left": x, "right": x[:, :2].astype("float64")}, {"digit": y, "amount": x[:, 0]})


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.dense(x)


def subclassed() -> tuple[keras.Model, Split]:
    model = Subclassed()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, Split(*overlapping(50))


class OwnStep(Subclassed):
    def test_step(self, data):
        x, _ = data
        return {"mine": keras.ops.sum(self(x)), "loss": keras.ops.mean(self(x))}


def own_step() -> tuple[keras.Model, Split]:
    model = OwnStep()
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, Split(*overlapping(48))


@pytest.mark.parametrize("make", [plain, named, subclassed, own_step])
def test_one_pass_gives_what_evaluate_and_predict_give(make):
    model, split = make()
    model.fit(split.x, split.y, verbose=0)
    run = measure(model, split, 16)
    for _ in range(2):  # again after more training
        metrics, outputs = run()
        expected = model.evaluate(
            split.x, split.y, sample_weight=split.sample_weight, batch_size=16, return_dict=True, verbose=0
        )
        assert metrics == expected
        predicted = model.predict(split.x, batch_size=16, verbose=0)
        keras.tree.map_structure(np.testing.assert_array_equal, outputs, predicted)
        model.fit(split.x, split.y, verbose=0)


def test_it_leaves_no_trace_on_the_model():
    model, split = plain()
    measure(model, split, 16)()
    assert "compute_metrics" not in vars(model)


def test_forward_needs_no_compilation():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    x, y = overlapping(30)
    run = forward(model, Split(x, y), 16)
    np.testing.assert_allclose(run(), keras.ops.convert_to_numpy(model(x)), rtol=1e-6)
    model.set_weights([weight * 2 for weight in model.get_weights()])
    np.testing.assert_allclose(run(), keras.ops.convert_to_numpy(model(x)), rtol=1e-6)
