"""Points named in an experiment: `search.start`, `search.defaults_first`."""

# ruff: noqa: E501  messages in full

import optuna
import pytest

from hpsearch import strategies
from hpsearch.errors import SpaceError
from hpsearch.experiment_search import StrategySection
from hpsearch.space import Condition, Parameter, Space, check_points, default_point, suggest, trial_values
from hpsearch.strategies import Context
from hpsearch.testing.strategies import BRANCHING, FLAT, MIXED

LR = Parameter("lr", "float", 0.01, low=1e-4, high=0.1, sampling="log")
UNITS = Parameter("units", "int", 64, low=16, high=512, step=16)
OPTIMIZER = Parameter("optimizer", "choice", "adam", values=("adam", "sgd"))
NESTEROV = Parameter("nesterov", "boolean", True, conditions=(Condition("optimizer", ("sgd",)),))
MIXTURE = Parameter("mixture", "choice", "no", values=("no", 0.5, 1))
SPACE = Space((LR, UNITS, OPTIMIZER, NESTEROV, MIXTURE))
WHERE = "x.yaml: search.start"


def test_a_point_has_values_of_the_declared_types():
    point = {"lr": 0.001, "units": 32, "optimizer": "sgd", "nesterov": True, "mixture": 0.5}
    assert check_points(SPACE, [point, {"nesterov": False}], WHERE) == (point, {"nesterov": False})
    (checked,) = check_points(
        Space((Parameter("rate", "float", 0.0, low=0.0, high=1.0),)), [{"rate": 1}], WHERE
    )
    assert type(checked["rate"]) is float
    assert default_point(SPACE) == {"lr": 0.01, "units": 64, "optimizer": "adam", "mixture": "no"}


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"unit": 32}, "x.yaml: search.start[1].unit: the model declares no hyperparameter `unit`; expected one of `lr`, `units`, `optimizer`, `nesterov`, `mixture`. Did you mean `units`?"),
        ({"units": 1024}, "x.yaml: search.start[1].units: is not searched; expected a whole number from 16 to 512, step 16; received 1024."),
        ({"units": 33}, "x.yaml: search.start[1].units: is not searched; expected a whole number from 16 to 512, step 16; received 33."),
        ({"units": 32.0}, "x.yaml: search.start[1].units: is not searched; expected a whole number from 16 to 512, step 16; received 32.0."),
        ({"lr": "1e-3"}, "x.yaml: search.start[1].lr: is not searched; expected a number from 0.0001 to 0.1; received '1e-3'. YAML reads this as a text; write 0.001."),
        ({"optimizer": "adamw"}, "x.yaml: search.start[1].optimizer: is not searched; expected one of 'adam', 'sgd'; received 'adamw'."),
        ({"mixture": True}, "x.yaml: search.start[1].mixture: is not searched; expected one of 'no', 0.5, 1; received True."),
        ({"optimizer": "adam", "nesterov": True}, "x.yaml: search.start[1].nesterov: a trial does not use it when `optimizer` is 'adam'. Leave it out."),
        ({"units": 64}, "x.yaml: search.start[1]: is the same point as x.yaml: search.start[0]."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_point_is_said(point, message):
    with pytest.raises(SpaceError) as error:
        check_points(SPACE, [{"units": 64}, point], WHERE)
    assert str(error.value) == message


def test_a_fit_of_the_users_own_may_declare_more():
    assert check_points(SPACE, [{"later": 3}], WHERE, any_name=True) == ({"later": 3},)


def search(toy, section, start, storage=None):
    context = Context(toy.space, seed=3, epochs=9, start=tuple(start))
    strategy = strategies.create(StrategySection(**section), context)
    return optuna.create_study(
        study_name="s",
        storage=storage or optuna.storages.InMemoryStorage(),
        sampler=strategy.sampler,
        load_if_exists=True,
    )


def build(toy, trial):
    toy.declare(lambda parameter: suggest(trial, parameter))
    return trial_values(trial)


SECTIONS = [
    {"name": "grid"},
    {"name": "random"},
    {"name": "bayesian"},
    {"name": "asha"},
    {"name": "hyperband"},
    *({"name": "optuna", "sampler": each} for each in ("tpe", "cmaes", "nsgaii", "qmc")),
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda each: each.get("sampler", each["name"]))
def test_every_strategy_begins_with_the_points_and_repeats_none(section):
    start = [
        {"batch_size": 32, "dropout": 0.3, "norm": True},
        {"batch_size": 64},
        {"norm": True, "dropout": 0.0},
    ]
    study = search(FLAT, section, start)
    points = []
    for number in range(12):
        trial = study.ask()
        points.append(build(FLAT, trial))
        study.tell(trial, number)
    for point, asked in zip(points, start, strict=False):
        assert point.items() >= asked.items()
    assert len({tuple(point.items()) for point in points}) == FLAT.points


@pytest.mark.parametrize("cut_after", [0, 1])
def test_an_interrupted_search_tries_each_point_once(cut_after):
    """Trial 1 is cut off before, or after, its first value; the search goes on in another process."""
    storage = optuna.storages.InMemoryStorage()
    start = [{"lr": 0.002}, {"lr": 0.003, "units": 99}, {"activation": "gelu"}]
    study = search(MIXED, {"name": "random"}, start, storage)
    build(MIXED, study.ask())
    cut = study.ask()
    if cut_after:
        suggest(cut, MIXED.space.parameters[0])
    again = search(MIXED, {"name": "random"}, start, storage)
    taken_up = build(MIXED, optuna.trial.Trial(again, cut._trial_id))
    assert (taken_up["lr"], taken_up["units"]) == (0.003, 99)
    third, fourth = build(MIXED, again.ask()), build(MIXED, again.ask())
    assert third["activation"] == "gelu"
    assert fourth["lr"] not in (0.002, 0.003)
    assert fourth == build(MIXED, _uninterrupted(start))


def _uninterrupted(start):
    study = search(MIXED, {"name": "random"}, start)
    for _ in range(3):
        build(MIXED, study.ask())
    return study.ask()


def test_a_study_that_goes_on_tries_the_points_that_are_new():
    storage = optuna.storages.InMemoryStorage()
    old, new = {"lr": 0.002}, {"lr": 0.004}
    study = search(MIXED, {"name": "random"}, [old], storage)
    values = [build(MIXED, study.ask())["lr"] for _ in range(2)]
    values += [build(MIXED, search(MIXED, {"name": "random"}, [new, old], storage).ask())["lr"]]
    assert (values[0], values[2]) == (0.002, 0.004)
    assert values[1] not in (0.002, 0.004)


def test_defaults_go_down_the_branches_that_they_lead_to():
    study = search(BRANCHING, {"name": "grid"}, [default_point(BRANCHING.space)])
    assert build(BRANCHING, study.ask()) == {"optimizer": "adam", "lr": 0.01, "layers": 1, "wide_0": False}
