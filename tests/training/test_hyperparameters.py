"""Keras Tuner's HyperParameters, their values chosen by a callback."""

import keras_tuner
import pytest

from hpsearch.space import Condition
from hpsearch.training.hyperparameters import TrialHyperParameters, at_defaults, chooser


class Recorder:
    """A channel that answers from a table, or with the default."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def suggest(self, parameter):
        self.asked.append(parameter)
        return self.answers.get(parameter.name, parameter.default)


def test_given_values_win_and_all_others_are_asked_for():
    channel = Recorder(b=0.25)
    hp = TrialHyperParameters(chooser({"a": 3}, channel))
    assert (hp.Int("a", 1, 9), hp.Float("b", 0.0, 1.0), hp.Choice("c", ["x", "y"])) == (3, 0.25, "x")
    assert [parameter.name for parameter in channel.asked] == ["b", "c"]
    assert hp.values == {"a": 3, "b": 0.25, "c": "x"}


def test_every_kind_is_asked_with_what_was_declared():
    channel = Recorder()
    hp = TrialHyperParameters(chooser({}, channel))
    hp.Int("units", 16, 512, step=2, sampling="LOG", default=64)
    hp.Float("rate", 0.0, 0.5, step=0.1)
    hp.Choice("size", [8, 16], ordered=False)
    hp.Boolean("flag", default=True)
    hp.Fixed("constant", "relu")
    units, rate, size, flag, constant = channel.asked
    assert (units.kind, units.low, units.high, units.step, units.sampling) == ("int", 16, 512, 2, "log")
    assert (rate.kind, rate.default, rate.step) == ("float", 0.0, 0.1)
    assert (size.kind, size.values, size.ordered) == ("choice", (8, 16), False)
    assert (flag.kind, flag.default) == ("boolean", True)
    assert (constant.kind, constant.default) == ("fixed", "relu")
    assert hp.values == {"units": 64, "rate": 0.0, "size": 8, "flag": True, "constant": "relu"}


def test_a_fixed_hyperparameter_can_be_replaced():
    hp = TrialHyperParameters(chooser({"activation": "tanh"}, Recorder()))
    assert hp.Fixed("activation", "relu") == "tanh"


def test_inactive_hyperparameters_are_none_and_never_asked_for():
    channel = Recorder(kind="mlp")
    hp = TrialHyperParameters(chooser({}, channel))
    hp.Choice("kind", ["mlp", "cnn"])
    with hp.conditional_scope("kind", ["cnn"]):
        assert hp.Int("filters", 8, 64) is None
        with hp.conditional_scope("filters", [8]):
            assert hp.Boolean("pool") is None
    assert hp.Float("rate", 0.1, 0.5, parent_name="kind", parent_values=["mlp"]) == 0.1
    assert [parameter.name for parameter in channel.asked] == ["kind", "rate"]
    assert hp.values == {"kind": "mlp", "rate": 0.1}
    assert [parameter.name for parameter in hp.declared] == ["kind", "filters", "pool", "rate"]
    assert hp.declared[2].conditions == (Condition("kind", ("cnn",)), Condition("filters", (8,)))


def test_scopes_give_full_names():
    channel = Recorder()
    hp = TrialHyperParameters(chooser({}, channel))
    with hp.name_scope("encoder"):
        hp.Int("layers", 1, 3)
        assert hp.get("layers") == 1
    assert hp.values == {"encoder/layers": 1}
    assert channel.asked[0].name == "encoder/layers"


def test_the_first_declaration_of_a_name_wins():
    channel = Recorder(units=32)
    hp = TrialHyperParameters(chooser({}, channel))
    assert hp.Int("units", 16, 64) == 32
    assert hp.Int("units", 100, 200) == 32
    assert hp.Choice("units", ["a"]) == 32
    assert len(channel.asked) == len(hp.declared) == 1


def test_one_name_under_two_conditions_is_asked_for_once():
    channel = Recorder(optimizer="sgd", lr=0.5)
    hp = TrialHyperParameters(chooser({}, channel))
    hp.Choice("optimizer", ["adam", "sgd"])
    for optimizer, high in (("adam", 0.01), ("sgd", 1.0)):
        with hp.conditional_scope("optimizer", [optimizer]):
            value = hp.Float("lr", 0.001, high)
        assert value == (0.5 if optimizer == "sgd" else None)
    assert [parameter.high for parameter in channel.asked if parameter.name == "lr"] == [1.0]
    assert len(hp.declared) == 3


def test_branches_of_plain_python():
    def build(hp):
        if hp.Boolean("deep"):
            hp.Int("depth", 2, 5)
        return hp.values

    assert build(TrialHyperParameters(chooser({}, Recorder(deep=False)))) == {"deep": False}
    assert build(TrialHyperParameters(chooser({"deep": True}, Recorder()))) == {"deep": True, "depth": 2}


@pytest.mark.parametrize(
    ("declare", "given", "got"),
    [
        (lambda hp: hp.Int("p", 1, 64), 32.0, 32),
        (lambda hp: hp.Float("p", 0, 2), 1, 1.0),
        (lambda hp: hp.Boolean("p"), True, True),
        (lambda hp: hp.Choice("p", ["1", "2"]), "2", "2"),
        (lambda hp: hp.Int("p", 1, 4), 2.5, 2.5),
    ],
)
def test_numbers_get_the_declared_type(declare, given, got):
    value = declare(TrialHyperParameters(chooser({"p": given}, Recorder())))
    assert value == got
    assert type(value) is type(got)


def test_it_is_a_keras_tuner_container():
    hp = TrialHyperParameters(chooser({"a": 3}, Recorder()))
    hp.Int("a", 1, 9)
    assert isinstance(hp, keras_tuner.HyperParameters)
    assert (hp["a"], hp.get("a"), "a" in hp, "b" in hp) == (3, 3, True, False)
    plain = keras_tuner.HyperParameters.from_config(hp.get_config())
    assert plain.Int("a", 1, 9) == 3


def test_a_part_that_is_not_tunable_keeps_its_defaults():
    class Part(keras_tuner.HyperModel):
        def build(self, hp):
            return hp.Int("inner", 1, 9)

    hp = TrialHyperParameters(chooser({"inner": 5}, Recorder()))
    assert Part(tunable=False).build(hp) == 1
    assert hp.values == {}
    assert Part().build(hp) == 5


def test_keras_tuners_own_models_run_on_it():
    from keras_tuner.applications import HyperImageAugment

    model = HyperImageAugment(input_shape=(8, 8, 3))
    plain, hp = keras_tuner.HyperParameters(), TrialHyperParameters(chooser({}, Recorder()))
    model.build(plain)
    model.build(hp)
    assert hp.values == plain.values
    assert len(hp.values) > 3


def test_what_the_driver_raises_is_remembered():
    def refuse(parameter):
        raise ConnectionError("the driver is gone")

    hp = TrialHyperParameters(refuse)
    with pytest.raises(ConnectionError) as caught:
        hp.Int("a", 1, 2)
    assert hp.refusal is caught.value
    assert hp.values == {}


def test_defaults():
    hp = TrialHyperParameters(at_defaults)
    assert hp.Int("a", 3, 9) == 3
    assert hp.Float("b", 0.5, 1.0, default=0.75) == 0.75
