"""The recurrent text classifier, and what it shares with other models of text."""

import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from hpsearch.models.text_lstm import TextLSTM
from hpsearch.testing.models import ModelContract
from hpsearch.training.hyperparameters import TrialHyperParameters


class TestForClasses(ModelContract):
    model = "text_lstm"
    dataset = {"name": "phrases", "options": {"rows": 96, "length": 8}}
    space = {"units": [16, 32], "embedding": [16, 32], "dense": [0, 32], "optimizer": "adam"}

    def test_it_leaves_all_that_text_needs(self, searched):
        folder = Path(searched.exported.path).parent
        assert "vocabulary.txt" in searched.trials[1].files
        assert "end_to_end.keras" in searched.tested.files
        beside = Path(f"{searched.exported.path}.vocabulary.txt")
        assert beside.read_bytes() == (folder / "0001" / "vocabulary.txt").read_bytes()
        record = json.loads(Path(f"{searched.exported.path}.json").read_text())
        assert record["vocabulary"]["file"] == beside.name

        line_of = {word: number for number, word in enumerate(beside.read_text().split("\n")[:-1])}
        words = ["the", "film", "was", "not", "boring", "but", "zebra"]
        tokens = padded([[line_of.get(word, 1) for word in words]], 8)
        network = keras.models.load_model(folder / "0001" / "model.keras")
        reader = keras.models.load_model(folder / "end_to_end.keras")
        text = np.array(["The film was NOT boring; but, zebra!"], dtype=object)
        np.testing.assert_allclose(reader.predict(text, verbose=0), network(tokens), atol=1e-6)
        assert len(line_of) > 30
        assert tokens[0, 6:].tolist() == [1, 0]


def at(**values):
    return TrialHyperParameters(lambda parameter: values.get(parameter.name, parameter.default))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def padded(tokens, length):
    return np.pad(np.array(tokens, np.int32), ((0, 0), (0, length - len(tokens[0]))))


TOKENS = [[5, 2, 9, 1], [3, 3, 7, 4]]


@pytest.mark.parametrize(
    ("cell", "bidirectional", "layers"), [*itertools.product(("lstm", "gru"), (False, True), (1, 2))]
)
def test_padding_changes_no_prediction(cell, bidirectional, layers):
    predictions = []
    for length in (4, 9):
        keras.utils.set_random_seed(1)
        hp = at(cell=cell, bidirectional=bidirectional, layers=layers, embedding=16, units=16)
        model = TextLSTM((length,), 20, classes=3).build(hp)
        predictions.append(np.asarray(model(padded(TOKENS, length))))
    np.testing.assert_allclose(predictions[0], predictions[1], atol=1e-6)
    assert np.ptp(predictions[0], axis=0).max() > 1e-5


def test_an_empty_text_counts_as_one_unknown_word():
    model = TextLSTM((6,), 20, classes=2).build(at())
    masks = keras.Model(model.inputs[0], model.get_layer("embedding").output)
    empty, unknown = np.zeros((1, 6), np.int32), padded([[1]], 6)
    np.testing.assert_array_equal(model(empty), model(unknown))
    seen = masks(empty)
    assert np.asarray(seen._keras_mask).tolist() == [[True] + [False] * 5]


def test_every_hyperparameter_reaches_the_model():
    hp = at(
        embedding=64,
        cell="gru",
        bidirectional=True,
        layers=2,
        units=16,
        dense=32,
        dropout=0.3,
        optimizer="rmsprop",
        learning_rate=2e-3,
    )
    model = TextLSTM((8,), 50, classes=3).build(hp)
    assert kinds(model) == [
        "InputLayer",
        "Embedding",
        "Dropout",
        "Bidirectional",
        "Bidirectional",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert model.get_layer("embedding").output_dim == 64
    one, two = (model.get_layer(f"bidirectional_{number}").forward_layer for number in (1, 2))
    assert (type(one), one.units, one.return_sequences) == (keras.layers.GRU, 16, True)
    assert two.return_sequences is False
    assert model.get_layer("dense").units == 32
    assert model.get_layer("dropout").rate == 0.3
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-3)
    assert set(hp.values) == {parameter.name for parameter in hp.declared}


def test_numbers_can_be_predicted_of_text():
    model = TextLSTM((8,), 50, outputs=2).build(at(bidirectional=False))
    assert model.output_shape == (None, 2)
    assert model.loss == "mean_squared_error"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (), "vocabulary_size": 9}, r"token ids.*received samples of shape \(\)"),
        ({"input_shape": {"a": (4,)}, "vocabulary_size": 9}, "token ids"),
        ({"input_shape": (4,), "vocabulary_size": 1}, "at least 2; received 1"),
        ({"input_shape": (4,), "vocabulary_size": 9, "max_layers": 0}, "at least 1; received 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextLSTM(**arguments)
