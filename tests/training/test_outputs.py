from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from hpsearch.datasets.data import Data, Split
from hpsearch.training.outputs import Target, judge, metric_names, targets_of

THREE = (Target("", "classification", ("a", "b", "c")),)
TWO = (Target("", "classification", ("no", "yes")),)
AMOUNT = (Target("", "regression"),)


def model_with(loss, names=()) -> SimpleNamespace:
    return SimpleNamespace(loss=loss, output_names=list(names))


class TestClasses:
    scores = np.array([[2.0, -1.0, 0.5], [0.0, 0.1, 3.0], [0.3, 0.4, 0.2]], np.float32)

    @pytest.mark.parametrize("y", [np.array([0, 2, 0]), np.eye(3, dtype=np.float32)[[0, 2, 0]]])
    def test_numbers_and_one_hot_rows_mean_the_same(self, y):
        (judged,) = judge(THREE, y, self.scores, model_with("sparse_categorical_crossentropy"))
        assert judged.truth.tolist() == [0, 2, 0]
        assert judged.predicted.tolist() == [0, 2, 1]
        assert judged.metrics()["accuracy"] == pytest.approx(2 / 3)

    def test_confidence_is_a_probability(self):
        logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        (judged,) = judge(THREE, np.array([0, 2, 1]), self.scores, model_with(logits))
        expected = keras.ops.convert_to_numpy(keras.ops.softmax(self.scores)).max(axis=1)
        np.testing.assert_allclose(judged.confidence, expected, rtol=1e-6)

    @pytest.mark.parametrize("shape", [(4, 1), (4,)])
    @pytest.mark.parametrize(
        ("loss", "outputs", "predicted"),
        [
            ("binary_crossentropy", [0.2, 0.4, 0.5, 0.9], [0, 0, 0, 1]),
            (keras.losses.BinaryCrossentropy(from_logits=True), [-2.0, 0.2, 0.4, 3.0], [0, 1, 1, 1]),
            (keras.losses.BinaryCrossentropy(), [0.2, 0.6, 0.4, 1.0], [0, 1, 0, 1]),
            (None, [0.2, 0.6, 0.4, 1.0], [0, 1, 0, 1]),  # not compiled: probabilities, by the look of them
            (None, [-2.0, 0.2, 0.4, 3.0], [0, 1, 1, 1]),  # and here logits
            ("hinge", [-0.9, 0.2, 0.4, 0.9], [0, 1, 1, 1]),
        ],
    )
    def test_one_unit(self, loss, outputs, predicted, shape):
        outputs = np.array(outputs, np.float32).reshape(shape)
        (judged,) = judge(TWO, np.array([0, 1, 0, 1]), outputs, model_with(loss))
        assert judged.predicted.tolist() == predicted
        assert ((judged.confidence >= 0.5) & (judged.confidence <= 1)).all()

    def test_rows_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"output \(3, 3\) does not fit the target \(2,\)"):
            judge(THREE, np.array([0, 1]), self.scores, model_with("x"))


def test_amounts_take_the_targets_shape():
    (judged,) = judge(AMOUNT, np.zeros(4), np.ones((4, 1)), model_with("mse"))
    assert judged.predicted.shape == (4,)
    assert judged.confidence is None
    with pytest.raises(ValueError, match="does not fit"):
        judge(AMOUNT, np.zeros(4), np.ones((4, 2)), model_with("mse"))


def data(y, task, class_names=()) -> Data:
    rows = len(next(iter(y.values())) if isinstance(y, dict) else y)
    split = Split(np.zeros((rows, 2), np.float32), y)
    return Data("made up", split, split, split, task, class_names, "0" * 16)


class TestSeveralOutputs:
    y = {
        "digit": np.array([0, 2, 1, 1]),
        "size": np.array([0.5, 1.5, 2.0, 0.1], np.float32),
        "kind": np.eye(2, dtype=np.float32)[[0, 1, 1, 0]],
        "tags": np.array([[1, 1], [0, 1], [0, 0], [1, 0]], np.float32),
    }

    def test_each_has_a_task_of_its_own(self):
        tasks = {target.name: target.task for target in targets_of(data(self.y, "classification"))}
        assert tasks == {
            "digit": "classification",
            "size": "regression",
            "kind": "classification",
            "tags": "",
        }

    def test_names_agree_with_what_is_computed(self):
        made = data(self.y, "classification")
        outputs = {
            "digit": np.eye(3)[[0, 2, 1, 0]],
            "size": self.y["size"][:, None],
            "kind": self.y["kind"],
            "tags": self.y["tags"],
        }
        for form in (outputs, list(outputs.values())):
            judged = judge(targets_of(made), made.train.y, form, model_with({}, outputs))
            found = {f"val_{name}": value for entry in judged for name, value in entry.metrics().items()}
            assert tuple(found) == metric_names(made)
            assert found["val_digit_accuracy"] == 0.75
            assert found["val_size_r2"] == 1.0
            assert found["val_kind_f1_macro"] == 1.0

    def test_one_named_output_needs_no_prefix(self):
        names = metric_names(data({"digit": self.y["digit"]}, "classification", ("0", "1", "2")))
        assert {"val_accuracy", "val_f1_macro", "val_f1_class_2"} <= set(names)


def test_names_for_regression():
    assert metric_names(data(np.zeros(3, np.float32), "regression")) == ("val_mae", "val_rmse", "val_r2")
