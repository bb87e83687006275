"""Hyperparameters as values: round trips, overrides, and the way into and out of a study."""

# ruff: noqa: E501  messages in full

import json
import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import SpaceError
from hpsearch.space import Condition, Override, Parameter, Space, check_overrides, suggest, trial_values
from hpsearch.testing.strategies import TOYS

LR = Parameter("lr", "float", 0.01, low=1e-4, high=0.1, sampling="log")
UNITS = Parameter("units", "int", 64, low=16, high=128, step=16)
RATE = Parameter("rate", "float", 0.1, low=0.0, high=0.5, step=0.1)
ACTIVATION = Parameter("activation", "choice", "relu", values=("relu", "tanh"))
NORM = Parameter("norm", "boolean", False)
WHERE = "experiments/mnist.yaml: search.space"


@st.composite
def parameters(draw, *, kinds=("int", "float", "choice", "boolean", "fixed")):
    kind = draw(st.sampled_from(kinds))
    if kind in ("boolean", "fixed"):
        return Parameter("p", kind, draw(st.booleans()))
    if kind == "choice":
        values = draw(
            st.one_of(
                st.lists(st.integers(-99, 99), min_size=1, max_size=6, unique=True),
                st.lists(st.floats(-9, 9), min_size=1, max_size=6, unique=True),
                st.lists(st.text("ab ,|=", max_size=4), min_size=1, max_size=6, unique=True),
            )
        )
        return Parameter("p", kind, values[-1], values=tuple(values), ordered=not isinstance(values[0], str))
    sampling = draw(st.sampled_from(["linear", "log", "reverse_log"]))
    lowest = 1 if sampling != "linear" else -500
    if kind == "int":
        low = draw(st.integers(lowest, 500))
        high = draw(st.integers(low, 1000))
        step = draw(st.integers(1 if sampling == "linear" else 2, 50))
    else:
        low = draw(st.floats(0.001 if sampling != "linear" else -5.0, 5.0).map(lambda x: round(x, 3)))
        high = round(low + draw(st.floats(0.0, 50.0)), 3)
        step = round(draw(st.floats(0.01, 2.0)) + (1.01 if sampling != "linear" else 0.0), 2)
    if kind == "float" or sampling != "linear":
        step = draw(st.sampled_from([None, step]))
    return Parameter("p", kind, low, low=low, high=high, step=step, sampling=sampling)


@pytest.fixture(scope="module")
def keras_tuner():
    return pytest.importorskip("keras_tuner")


class TestKerasTuner:
    def test_every_kind_is_read_and_written_as_keras_tuner_does(self, keras_tuner):
        hp = keras_tuner.HyperParameters()
        hp.Int("units", 16, 512, sampling="LOG", default=64)
        hp.Int("size", 16, 128, step=2, sampling="log", default=32)
        hp.Float("rate", 0, 0.5, step=0.1)
        hp.Float("momentum", 0.1, 0.9, sampling="reverse_log")
        hp.Choice("width", [0.5, 1.0], default=1.0)
        hp.Fixed("version", 3)
        if hp.Boolean("norm", default=True):
            with hp.conditional_scope("norm", [True]):
                hp.Choice("kind", ["batch", "layer"])
        config = hp.get_config()["space"]
        space = Space(tuple(Parameter.from_config(**each) for each in config))
        assert [parameter.to_config() for parameter in space.parameters] == config
        assert Space.from_json(space.to_json()) == space
        assert [p.sampling for p in space.parameters[:2]] == ["log", "log"]
        assert space.parameters[-1].conditions == (Condition("norm", (True,)),)
        again = keras_tuner.HyperParameters.from_config({"space": json.loads(space.to_json()), "values": {}})
        assert again.get_config()["space"] == config

    def test_a_default_that_is_not_given_is_the_lowest_value_or_the_first(self, keras_tuner):
        hp = keras_tuner.HyperParameters()
        hp.Int("a", 3, 9)
        hp.Float("b", 0.5, 1)
        hp.Choice("c", ["x", "y"])
        hp.Boolean("d")
        defaults = [Parameter.from_config(**each).default for each in hp.get_config()["space"]]
        assert defaults == [hp.get(name) for name in "abcd"] == [3, 0.5, "x", False]

    @given(parameter=parameters(kinds=("int", "float")).filter(lambda p: p.step and p.low < p.high))
    @settings(max_examples=60, deadline=None)
    def test_stepped_values_are_keras_tuners(self, keras_tuner, parameter):
        config = parameter.to_config()
        theirs = getattr(keras_tuner.engine.hyperparameters, config["class_name"]).from_config(
            config["config"]
        )
        if parameter.sampling == "linear" and parameter.kind == "float":
            return  # theirs lacks the last value where the division is inexact: 0 to 0.5 by 0.1 ends at 0.4
        ours = [parameter.at(i) for i in range(parameter.size)]
        assert ours == pytest.approx(sorted(int(v) if parameter.kind == "int" else v for v in theirs.values))

    def test_numpy_numbers_become_plain(self):
        import numpy as np

        config = {"name": "w", "values": [np.float64(0.5), np.float64(1)], "default": None, "conditions": []}
        parameter = Parameter.from_config("Choice", config)
        assert [type(value) for value in parameter.values] == [float, float]
        json.loads(Space((parameter,)).to_json())

    def test_a_value_that_cannot_be_stored_is_refused(self):
        with pytest.raises(SpaceError) as error:
            Parameter.from_config("Choice", {"name": "k", "values": [(3, 3), (5, 5)], "conditions": []})
        assert str(error.value) == (
            "hyperparameter `k`: a value cannot be stored; expected a bool, int, float or str; "
            "received (3, 3). Give each value a name and look it up in the model."
        )

    def test_an_unknown_class_is_refused(self):
        with pytest.raises(SpaceError, match=r"unknown kind; expected `Int`, .*; received Vector"):
            Parameter.from_config("Vector", {"name": "v"})


class TestValues:
    def test_both_ends_of_a_float_with_a_step(self):
        assert [RATE.at(i) for i in range(RATE.size)] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]

    def test_a_step_that_does_not_divide_the_range_stops_below_the_end(self):
        parameter = Parameter("p", "int", 6, low=6, high=13, step=3)
        assert [parameter.at(i) for i in range(parameter.size)] == [6, 9, 12]

    def test_a_logarithmic_step_multiplies(self):
        parameter = Parameter("p", "float", 1e-4, low=1e-4, high=1.0, step=10.0, sampling="log")
        assert [parameter.at(i) for i in range(parameter.size)] == [1e-4, 1e-3, 0.01, 0.1, 1.0]

    def test_continuous_ranges_have_no_size(self):
        assert LR.size is None
        with pytest.raises(SpaceError, match="continuous"):
            LR.at(0)

    @given(parameter=parameters())
    @settings(max_examples=200, deadline=None)
    def test_values_are_ordered_inside_and_nearest_to_themselves(self, parameter):
        if parameter.size is None:
            return
        indices = range(parameter.size) if parameter.size < 50 else [0, 1, 7, parameter.size - 1]
        values = [parameter.at(i) for i in indices]
        assert all(parameter.contains(value) and parameter.nearest(value) == value for value in values)
        if parameter.kind in ("int", "float"):
            assert values == sorted(set(values))

    @given(parameter=parameters(kinds=("int", "float")), value=st.floats(-2000, 2000))
    @settings(max_examples=200, deadline=None)
    def test_what_lies_outside_moves_inside(self, parameter, value):
        nearest = parameter.nearest(value)
        assert parameter.low <= nearest <= parameter.high
        assert type(nearest) is (int if parameter.kind == "int" else float)


class TestSize:
    @pytest.mark.parametrize("name", ["flat"])
    def test_of_a_plain_space(self, name):
        assert TOYS[name].space.size() == TOYS[name].points

    def test_conditions_are_honoured(self):
        space = Space(
            (
                Parameter("layers", "int", 1, low=1, high=1000),
                Parameter(
                    "last", "choice", "a", values=("a", "b"), conditions=(Condition("layers", (2, 3)),)
                ),
                Parameter("last", "boolean", False, conditions=(Condition("layers", (7,)),)),
                Parameter("size", "int", 1, low=1, high=3, conditions=(Condition("last", ("b",)),)),
            )
        )
        assert space.size() == 997 + 2 * (1 + 3) + 2

    def test_of_nothing_is_one(self):
        assert Space().size() == 1

    def test_is_unknown_with_a_continuous_range(self):
        assert Space((UNITS, LR)).size() is None


class TestOverride:
    @pytest.mark.parametrize(
        ("parameter", "override", "expected"),
        [
            (LR, Override(low=1e-3), Parameter("lr", "float", 0.01, low=1e-3, high=0.1, sampling="log")),
            (LR, Override(high=5e-3), Parameter("lr", "float", 5e-3, low=1e-4, high=5e-3, sampling="log")),
            (LR, Override(low=0, high=1, log=False), Parameter("lr", "float", 0.01, low=0.0, high=1.0)),
            (LR, Override(step=10), Parameter("lr", "float", 0.01, low=1e-4, high=0.1, step=10.0, sampling="log")),
            (LR, Override((0.1, 1)), Parameter("lr", "choice", 0.1, values=(0.1, 1.0), ordered=True)),
            (LR, Override((1,)), Parameter("lr", "fixed", 1.0)),
            (UNITS, Override(low=8, step=4), Parameter("units", "int", 64, low=8, high=128, step=4)),
            (UNITS, Override(log=True), Parameter("units", "int", 64, low=16, high=128, sampling="log")),
            (UNITS, Override((256, 32)), Parameter("units", "choice", 32, values=(256, 32), ordered=True)),
            (RATE, Override(low=0.25), Parameter("rate", "float", 0.25, low=0.25, high=0.5, step=0.1)),
            (ACTIVATION, Override(("gelu", "relu")), Parameter("activation", "choice", "relu", values=("gelu", "relu"), ordered=False)),
            (ACTIVATION, Override(("tanh",)), Parameter("activation", "fixed", "tanh")),
            (NORM, Override((True,)), Parameter("norm", "fixed", True)),
            (NORM, Override((True, False)), NORM),
            (Parameter("w", "choice", 1, values=(1, 2)), Override(low=1, high=8), Parameter("w", "int", 1, low=1, high=8)),
            (Parameter("w", "fixed", 1.5), Override((1, 2.5)), Parameter("w", "choice", 1.0, values=(1.0, 2.5), ordered=True)),
            (UNITS, Override(), UNITS),
        ],
    )  # fmt: skip
    def test_narrows_fixes_or_replaces(self, parameter, override, expected):
        narrowed = override.apply(parameter, WHERE)
        assert narrowed == expected
        assert [type(value) for value in (narrowed.default, narrowed.low, *narrowed.values)] == [
            type(value) for value in (expected.default, expected.low, *expected.values)
        ]

    def test_keeps_conditions(self):
        conditions = (Condition("optimizer", ("sgd",)),)
        declared = Parameter("momentum", "float", 0.5, low=0.0, high=1.0, conditions=conditions)
        for override in (Override(low=0.5), Override((0.5, 0.9)), Override((0.9,))):
            assert override.apply(declared, WHERE).conditions == conditions

    @pytest.mark.parametrize(
        ("parameter", "override", "message"),
        [
            (LR, Override(low=0.1, high=0.001), "`low` must be below `high`; received low=0.1, high=0.001."),
            (LR, Override(low=1), "`low` must be below `high`; received low=1, high=0.1."),
            (LR, Override(low=1, high=1), "`low` must be below `high`; received low=1, high=1. To fix the hyperparameter, give a list of one value."),
            (LR, Override(low=0), "`low` must be above 0 on a logarithmic scale; received low=0, high=0.1."),
            (RATE, Override(log=True), "`low` must be above 0 on a logarithmic scale; received low=0.0, high=0.5."),
            (LR, Override(step=0.5), "`step` must be above 1 on a logarithmic scale, where it multiplies; received step=0.5."),
            (LR, Override(step=2000), "`step` must not be larger than the range; received low=0.0001, high=0.1, step=2000."),
            (UNITS, Override(step=0), "`step` must be above 0; received step=0."),
            (UNITS, Override(step=200), "`step` must not be larger than the range; received low=16, high=128, step=200."),
            (UNITS, Override(low=1.5), "`low` must be a whole number for `units`, which the model declares as int from 16 to 128; received 1.5."),
            (UNITS, Override((32, 64.0)), "wrong value for `units`, which the model declares as int from 16 to 128; expected whole numbers; received 64.0."),
            (UNITS, Override((True,)), "wrong value for `units`, which the model declares as int from 16 to 128; expected whole numbers; received True."),
            (LR, Override(("1e-3",)), "wrong value for `lr`, which the model declares as float from 0.0001 to 0.1; expected numbers; received '1e-3'. YAML reads this as a text; write 0.001."),
            (LR, Override(low="1e-5"), "`low` must be a number; received '1e-5'. YAML reads this as a text; write 1.0e-05."),
            (LR, Override(low=math.inf), "`low` must be a number; received inf."),
            (LR, Override((math.nan,)), "wrong value for `lr`, which the model declares as float from 0.0001 to 0.1; expected numbers; received nan."),
            (LR, Override(log="yes"), "`log` must be true or false; received 'yes'."),
            (LR, Override(()), "no values; expected at least one; received ()."),
            (LR, Override((0.1, 0.1)), "a value is listed twice; received 0.1."),
            (LR, Override((0.1,), low=0.1), "give either a list of values or `low`, `high`, `step`, `log`, not both."),
            (LR, Override(({},)), "wrong value; expected true, false, numbers or texts; received {}."),
            (ACTIVATION, Override((1,)), "wrong value for `activation`, which the model declares as one of 'relu', 'tanh'; expected texts; received 1."),
            (ACTIVATION, Override(low=1, high=2), "a range does not fit `activation`, which the model declares as one of 'relu', 'tanh'; expected a list of values; received low=1, high=2."),
            (NORM, Override((1,)), "wrong value for `norm`, which the model declares as boolean; expected true or false; received 1."),
            (NORM, Override(step=1), "a range does not fit `norm`, which the model declares as boolean; expected a list of values; received step=1."),
            (Parameter("w", "choice", 1, values=(1, 2)), Override(low=1), "a range does not fit `w`, which the model declares as one of 1, 2; expected a list of values (or both `low` and `high`); received low=1."),
        ],
    )  # fmt: skip
    def test_says_what_is_wrong(self, parameter, override, message):
        with pytest.raises(SpaceError) as error:
            override.apply(parameter, f"{WHERE}.{parameter.name}")
        assert str(error.value) == f"{WHERE}.{parameter.name}: {message}"

    numbers = st.one_of(st.none(), st.integers(-9, 600), st.floats(-9, 9), st.booleans(), st.just("1e-3"))

    @given(
        parameter=parameters(),
        override=st.builds(
            Override, low=numbers, high=numbers, step=numbers, log=st.sampled_from([None, True, False])
        )
        | st.builds(Override, st.lists(numbers, max_size=3).map(tuple)),
    )
    @settings(max_examples=300, deadline=None)
    def test_gives_a_usable_hyperparameter_or_a_space_error(self, parameter, override):
        try:
            narrowed = override.apply(parameter, WHERE)
        except SpaceError as error:
            assert str(error).startswith(f"{WHERE}: ")  # noqa: PT017  either outcome is right
            return
        if override != Override():
            assert narrowed.contains(narrowed.default)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        value = suggest(study.ask(), narrowed)
        assert narrowed.contains(value)
        assert override.values is None or value in override.values
        assert override.low is None or value >= override.low
        assert override.high is None or value <= override.high

    def test_names_are_checked_against_the_model(self):
        space = Space((LR, UNITS))
        with pytest.raises(SpaceError) as error:
            check_overrides(space, {"unit": Override((32,))}, WHERE)
        assert str(error.value) == (
            f"{WHERE}: the model declares no hyperparameter `unit`; expected one of `lr`, `units`. "
            "Did you mean `units`?"
        )
        with pytest.raises(SpaceError, match="expected no overrides, as the model declares no hyper"):
            check_overrides(Space(), {"lr": Override((0.1,))}, WHERE)

    def test_a_space_is_returned_with_every_declaration_of_a_name_overridden(self):
        first = Parameter("lr", "float", 0.1, low=0.0, high=1.0, conditions=(Condition("a", (1,)),))
        second = Parameter("lr", "float", 0.3, low=0.2, high=2.0, conditions=(Condition("a", (2,)),))
        space = check_overrides(Space((first, UNITS, second)), {"lr": Override(high=0.5)}, WHERE)
        assert [(p.low, p.high) for p in space.parameters] == [(0.0, 0.5), (16, 128), (0.2, 0.5)]
        with pytest.raises(SpaceError, match=r"search\.space\.lr: `low` must be below `high`"):
            check_overrides(Space((first, second)), {"lr": Override(high=0.1)}, WHERE)


@pytest.fixture
def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


class TestSuggest:
    @given(parameter=parameters(), seed=st.integers(0, 999))
    @settings(max_examples=200, deadline=None)
    def test_is_inside_and_can_be_had_again_from_the_study(self, parameter, seed):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        trial = study.ask()
        value = suggest(trial, parameter)
        assert parameter.contains(value)
        assert type(value) is type(parameter.default)
        if parameter.size is not None:
            assert value in [parameter.at(i) for i in range(parameter.size)]
        again = optuna.trial.Trial(study, trial._trial_id)
        assert suggest(again, parameter) == value
        study.tell(trial, 0.0)
        assert trial_values(study.trials[0]) == trial_values(again) == {"p": value}

    @pytest.mark.parametrize(
        ("parameter", "label"),
        [
            (LR, "lr"),
            (UNITS, "units"),
            (RATE, "rate"),
            (ACTIVATION, "activation"),
            (NORM, "norm"),
            (Parameter("v", "fixed", 3), "v"),
            (Parameter("n", "int", 1, low=1, high=9, sampling="log"), "n"),
            (Parameter("n", "int", 1, low=1, high=9, step=3, sampling="log"), "n#index"),
            (Parameter("m", "float", 0.1, low=0.1, high=0.9, sampling="reverse_log"), "m#mirrored"),
            (Parameter("x", "choice", 1, values=(1, True, 1.0, "1")), "x#index"),
        ],
    )
    def test_the_study_calls_it_as_the_user_does_where_it_can(self, study, parameter, label):
        suggest(study.ask(), parameter)
        assert list(study.trials[0].params) == [label]

    def test_a_reversed_scale_favours_large_values(self, study):
        parameter = Parameter("m", "float", 0.1, low=0.001, high=1.0, sampling="reverse_log")
        values = [suggest(study.ask(), parameter) for _ in range(200)]
        # Uniform on the logarithm of the distance to the end: half lies above 1 - 0.0316.
        assert 70 <= sum(value > 1 - 0.0306 for value in values) <= 130  # fails by chance once in 10^5

    def test_every_value_comes_up(self, study):
        for parameter in (RATE, Parameter("n", "int", 1, low=1, high=9, step=3, sampling="log")):
            values = {suggest(study.ask(), parameter) for _ in range(100)}
            assert values == {parameter.at(i) for i in range(parameter.size)}

    def test_the_last_step_is_not_lost_to_rounding(self, study):
        parameter = Parameter("x", "float", 1 / 3, low=1 / 3, high=1 / 3 + 0.3, step=0.1)
        values = {suggest(study.ask(), parameter) for _ in range(60)}
        assert sorted(values) == pytest.approx([1 / 3, 1 / 3 + 0.1, 1 / 3 + 0.2, 1 / 3 + 0.3])

    def test_choices_that_python_takes_for_equal_stay_apart(self, study):
        parameter = Parameter("x", "choice", 1, values=(1, True, 1.0, "1"))
        seen = {(type(value), value) for value in (suggest(study.ask(), parameter) for _ in range(60))}
        assert seen == {(int, 1), (bool, True), (float, 1.0), (str, "1")}

    def test_one_name_under_two_conditions(self, study):
        adam = Parameter("lr", "choice", 0.1, values=(0.1, 0.2), conditions=(Condition("opt", ("adam",)),))
        sgd = Parameter("lr", "choice", 1.0, values=(1.0, 2.0), conditions=(Condition("opt", ("sgd",)),))
        ranged = Parameter("lr", "float", 5.0, low=5.0, high=6.0, conditions=(Condition("opt", ("c",)),))
        for parameter in (adam, sgd, ranged, adam, sgd, ranged):
            trial = study.ask()
            value = suggest(trial, parameter)
            assert parameter.contains(value)
            assert trial_values(trial) == {"lr": value}
        labels = [next(iter(trial.params)) for trial in study.trials]
        assert labels == ["lr", "lr|opt=sgd", "lr|opt=c"] * 2

    def test_the_same_range_under_two_conditions_shares_the_name(self, study):
        for given_ in ("adam", "sgd"):
            condition = (Condition("opt", (given_,)),)
            suggest(study.ask(), Parameter("lr", "float", 0.1, low=0.1, high=0.2, conditions=condition))
        assert [list(trial.params) for trial in study.trials] == [["lr"], ["lr"]]

    def test_a_range_that_depends_on_another_value_keeps_its_name(self, study):
        for high in (4, 8):
            assert suggest(study.ask(), Parameter("units", "int", 1, low=high, high=high)) == high
        assert [trial.params for trial in study.trials] == [{"units": 4}, {"units": 8}]

    def test_choices_that_depend_on_another_value_get_a_label_each(self, study):
        for values in (("a", "b"), ("a", "c"), ("a", "b"), ("a", "c")):
            value = suggest(study.ask(), Parameter("x", "choice", "a", values=values))
            assert trial_values(study.trials[-1]) == {"x": value}
        labels = [next(iter(trial.params)) for trial in study.trials]
        assert labels == ["x", "x|'a','c'"] * 2

    def test_a_kind_that_depends_on_another_value(self, study):
        suggest(study.ask(), Parameter("x", "int", 1, low=1, high=9))
        assert type(suggest(study.ask(), Parameter("x", "float", 1.0, low=1.0, high=9.0))) is float
        suggest(study.ask(), Parameter("x", "int", 1, low=1, high=9, sampling="log"))
        assert [next(iter(t.params)) for t in study.trials] == ["x", "x|float", "x|int log"]

    def test_very_long_names_fit_into_a_database(self, tmp_path):
        study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
        long = "block/" * 100 + "lr"
        parameters = [Parameter(long, "choice", "a", values=("a", each)) for each in ("b", "c")]
        for parameter in parameters:
            trial = study.ask()
            value = suggest(trial, parameter)
            assert list(
                trial_values(optuna.load_study(study_name=None, storage=study._storage).trials[-1]).values()
            ) == [value]
