"""The parts of the comparison, on plain arrays."""

from __future__ import annotations

import numpy as np
import pytest

from hpsearch.errors import ExportError
from hpsearch.export.classes import decision
from hpsearch.export.routes import Route
from hpsearch.export.samples import batches
from hpsearch.export.signature import name_outputs
from hpsearch.export.verify import scale, verify_backend


def classes(output, *, task=None, loss=""):
    decide = decision(np.array(output), task=task, loss=loss)
    return None if decide is None else decide(np.array(output)).tolist()


def test_classes_are_read_off_as_the_loss_says():
    logits = [[2.0, -1.0], [0.0, 3.0]]
    assert classes(logits, loss="sparse_categorical_crossentropy") == [0, 1]
    assert classes(logits, loss="binary_crossentropy") == [[True, False], [False, True]]
    assert classes([[0.2], [0.7]], loss="binary_crossentropy") == [[False], [True]]
    assert classes([[-0.2], [0.7]], loss="binary_crossentropy") == [[False], [True]]
    assert classes([[-0.2], [1.7]], loss="hinge") == [[False], [True]]


def test_classes_are_inferred_from_probabilities_without_a_loss():
    assert classes([[0.9, 0.1], [0.2, 0.8]]) == [0, 1]
    assert classes([[[0.9, 0.1], [0.2, 0.8]]]) == [[0, 1]]
    assert classes([[0.9, 0.9]]) is None
    assert classes([[0.4]]) is None


def test_task_overrules_what_is_inferred():
    assert classes([[0.9, 0.1]], task="regression") is None
    assert classes([[5.0, 0.1]], task="classification") == [0]


def test_threshold_is_decided_once():
    """A probability that rounds to just above 1 in the file does not turn probabilities into logits."""
    decide = decision(np.array([[0.3], [1.0]]), task=None, loss="binary_crossentropy")
    assert decide is not None
    assert decide(np.array([[0.3], [1.0000001]])).tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("outputs", "expected"), [([-3.0, 2.0], 3.0), ([0.5], 1.0), ([0.01], 1.0), ([1e-5], 1e-3), ([0.0], 0.0)]
)
def test_scale_is_the_largest_output_but_at_least_one_unless_all_are_tiny(outputs, expected):
    assert scale(np.array(outputs)) == pytest.approx(expected)


def test_another_backend_must_say_the_same():
    here = {"y": np.array([[0.5, 2.0]], np.float32)}
    verify_backend(here, {"y": np.array([[0.5, 2.00001]], np.float32)}, tolerance=1e-4)
    with pytest.raises(ExportError, match=r"output `y`: Keras on TensorFlow.* disagrees .*difference 0.5 "):
        verify_backend(here, {"y": np.array([[0.5, 1.5]], np.float32)}, tolerance=1e-4)
    with pytest.raises(ExportError, match=r"other outputs; expected \['z'\]"):
        verify_backend(here, {"z": here["y"]}, tolerance=1e-4)


def test_free_batch_is_tried_with_one_row_and_with_several():
    sizes = [len(rows) for rows in batches(70, None)]
    assert sizes == [1, 32, 32, 6]
    assert np.concatenate(batches(70, None)[1:]).tolist() == list(range(70))
    assert [rows.tolist() for rows in batches(1, None)] == [[0], [0, 0]]


def test_fixed_batch_is_filled_up_from_the_start():
    assert [rows.tolist() for rows in batches(5, 2)] == [[0, 1], [2, 3], [4, 0]]
    assert [rows.tolist() for rows in batches(2, 1)] == [[0], [1]]
    assert [rows.tolist() for rows in batches(1, 3)] == [[0, 0, 0]]


def test_route_says_what_a_user_must_know():
    assert Route().notes == ()
    assert Route(1, sized=True).notes == ("fixed batch of 1", "input sizes fixed to those of the samples")


def test_names_made_up_by_keras_are_replaced():
    import keras

    def named(name):
        layer = keras.layers.BatchNormalization(name=name)
        return list(name_outputs(keras.Sequential([keras.layers.Input((2,)), layer]), 0))

    assert named(None) == ["output_0"]
    assert named("batch_normalization_17") == ["output_0"]
    assert named("height") == ["height"]
    assert named("width.cm") == ["width_cm"]
