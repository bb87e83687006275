"""Files that compute the same are told from others, whatever they have learned."""

import keras
import pytest
from keras import layers

from hpsearch.export.structure import structure_of


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    """Converts a model of such layers."""
    import tensorflow as tf

    file = tmp_path_factory.mktemp("structure") / "model.tflite"

    def convert(*parts, shape=(8, 8, 3), optimizations=()):
        model = keras.Sequential([keras.Input(shape), *parts])
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = list(optimizations)
        file.write_bytes(converter.convert())
        return structure_of(file)

    return convert


def test_what_leaves_no_trace_in_a_file_does_not_count(structure):
    plain = structure(layers.Conv2D(4, 3), layers.ReLU(), layers.Flatten(), layers.Dense(5))
    others = [
        structure(layers.Conv2D(4, 3), layers.ReLU(), layers.Flatten(), layers.Dense(5)),
        structure(layers.Conv2D(4, 3), layers.ReLU(), layers.Dropout(0.5), layers.Flatten(), layers.Dense(5)),
        structure(layers.Conv2D(4, 3, name="a", activation="relu"), layers.Flatten(), layers.Dense(5)),
    ]
    assert {plain, *others} == {plain}


def test_what_takes_another_time_does_count(structure):
    import tensorflow as tf

    def conv(filters=4, **options):
        return layers.Conv2D(filters, 3, padding="same", **options)

    found = [
        structure(conv()),
        structure(conv(5)),
        structure(conv(dilation_rate=2)),
        structure(conv(strides=2)),
        structure(conv(), shape=(8, 9, 3)),
        structure(conv(), conv()),
        structure(conv(activation="tanh")),
        structure(layers.Conv2D(64, 5), optimizations=[tf.lite.Optimize.DEFAULT]),
        structure(layers.Conv2D(64, 5)),
    ]
    assert len(set(found)) == len(found)
