"""Attention over a recurrent encoder."""

import itertools

import keras
import numpy as np
import pytest

from hpsearch.models.attention import Attention
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters

KINDS = {
    "luong": keras.layers.Attention,
    "bahdanau": keras.layers.AdditiveAttention,
    "multi_head": keras.layers.MultiHeadAttention,
}


class TestForClasses(ModelContract):
    model = "attention"
    dataset = {"name": "phrases", "options": {"rows": 96, "length": 8}}
    space = {"units": [16, 32], "embedding": [16, 32], "heads": [1, 4], "optimizer": "adam"}


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def padded(tokens, length):
    return np.pad(np.array(tokens, np.int32), ((0, 0), (0, length - len(tokens[0]))))


TOKENS = [[5, 2, 9, 1], [3, 3, 7, 4]]


@pytest.mark.parametrize(
    ("kind", "cell", "bidirectional"),
    [*itertools.product(KINDS, ("gru",), (False, True)), ("luong", "lstm", True)],
)
def test_padding_changes_no_prediction(kind, cell, bidirectional):
    predictions = []
    for length in (4, 9):
        keras.utils.set_random_seed(1)
        hp = at(attention=kind, cell=cell, bidirectional=bidirectional, embedding=16, units=16)
        model = Attention((length,), 20, classes=3).build(hp)
        predictions.append(np.asarray(model(padded(TOKENS, length))))
    np.testing.assert_allclose(predictions[0], predictions[1], atol=1e-6)
    assert np.ptp(predictions[0], axis=0).max() > 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_words_get_weights_that_sum_to_one_and_padding_none(kind):
    model = Attention((9,), 20, classes=3).build(at(attention=kind, heads=4, units=16))
    layer = model.get_layer("attention")
    assert isinstance(layer, KINDS[kind])
    call = layer._inbound_nodes[0].arguments
    seen = keras.Model(model.inputs[0], keras.tree.flatten((call.args, call.kwargs)))(padded(TOKENS, 9))
    if kind == "multi_head":
        query, states = seen
        mask = keras.ops.not_equal(padded(TOKENS, 9), 0)
        _, weights = layer(query, states, value_mask=mask, return_attention_scores=True)
    else:
        _, weights = layer(
            seen, mask=[None, keras.ops.not_equal(padded(TOKENS, 9), 0)], return_attention_scores=True
        )
    weights = np.asarray(weights)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
    assert weights[..., :4].min() > 0
    assert weights[..., 4:].max() == 0


def test_every_hyperparameter_reaches_the_model():
    hp = at(
        attention="multi_head",
        heads=4,
        embedding=64,
        cell="gru",
        bidirectional=True,
        units=16,
        dropout=0.3,
        optimizer="rmsprop",
        learning_rate=2e-3,
    )
    model = Attention((8,), 50, classes=3).build(hp)
    assert (model.get_layer("attention").num_heads, model.get_layer("attention").key_dim) == (4, 8)
    assert model.get_layer("embedding").output_dim == 64
    encoder = model.get_layer("bidirectional").forward_layer
    assert (type(encoder), encoder.units) == (keras.layers.GRU, 16)
    assert model.get_layer("dropout").rate == 0.3
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
    assert set(hp.values) == {parameter.name for parameter in hp.declared}


def test_heads_belong_to_multi_head_attention():
    asked = []
    Attention((8,), 50, classes=3).build(
        TrialHyperParameters(lambda parameter: asked.append(parameter.name) or parameter.default)
    )
    assert "heads" not in asked


def test_the_query_is_both_directions_last_state():
    model = Attention((5,), 20, classes=2).build(at(cell="lstm", units=16))
    tokens = padded([[5, 2, 9]], 5)
    states, last = keras.Model(
        model.inputs[0], [model.get_layer("bidirectional").output[0], model.get_layer("last_state").output]
    )(tokens)
    states, last = np.asarray(states)[0], np.asarray(last)[0]
    np.testing.assert_allclose(last[:16], states[2, :16], atol=1e-6)  # forward: at the last word
    np.testing.assert_allclose(last[16:], states[0, 16:], atol=1e-6)  # backward: at the first


def test_an_empty_text_has_a_prediction():
    for kind in KINDS:
        model = Attention((5,), 20, classes=2).build(at(attention=kind, units=16, embedding=16))
        assert np.isfinite(np.asarray(model(np.zeros((1, 5), np.int32)))).all()
