"""Points of earlier studies: which are taken, when they are tried, what a misleading study costs."""

# ruff: noqa: E501  messages in full

from statistics import mean

import optuna
import pytest
from optuna.samplers import RandomSampler

from hpsearch.errors import StudyError
from hpsearch.objective import Objective
from hpsearch.space import Parameter, Space
from hpsearch.strategies.beginning import START, Beginning
from hpsearch.strategies.distinct import DistinctSampler
from hpsearch.strategies.earlier import MOST_POINTS, good_points
from hpsearch.testing.searching import ToySearch
from hpsearch.testing.simulated import SimulatedSearch
from hpsearch.testing.simulation import Point

GUESTS = [{"x": x / 10} for x in range(1, 6)]


class Hill:
    """A number in 0 .. 1 and three that do not matter; the best is at `top`."""

    space = Space(tuple(Parameter(name, "float", 0.5, low=0.0, high=1.0) for name in "xabc"))

    def __init__(self, top):
        self.top = top

    def declare(self, ask):
        return {parameter.name: ask(parameter) for parameter in self.space.parameters}

    def curve(self, params):
        return [Point({"score": 1.0 - abs(params["x"] - self.top) - 0.3 / epoch}) for epoch in range(1, 10)]


def regret(guests):
    """Returns how far random search is from the best after eight trials."""
    found = []
    for seed in range(10):
        search = SimulatedSearch(
            Hill(0.62), Hill.space, "random", "score", 9, trials=8, seed=seed, guests=guests
        )
        search.run()
        trials = search.study.get_trials(deepcopy=False)
        found.append(abs(trials[search.best_at(10**6).trial].params["x"] - 0.62))
    return mean(found)


def test_a_good_study_helps_and_a_misleading_one_costs_little():
    without = regret([])
    assert regret([{"x": 0.6}, {"x": 0.75}, {"x": 0.5}]) < 0.6 * without
    assert regret([{"x": x} for x in (0.0, 0.02, 0.04, 0.06, 0.08)]) < 1.5 * without + 0.01


def play(values, beginning, trials=12, storage=None):
    """Runs trials one after the other; returns the numbers of those that began with a guest."""
    sampler = DistinctSampler(RandomSampler, 0)
    sampler.begin(beginning)
    study = optuna.create_study(
        study_name="s",
        storage=storage or optuna.storages.InMemoryStorage(),
        sampler=sampler,
        load_if_exists=True,
    )
    while len(study.trials) < trials:
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, values(trial))
    return [t.number for t in study.trials if START in t.system_attrs and t.params in GUESTS]


def is_guest(trial):
    return trial.params in GUESTS


def test_guests_alternate_as_long_as_they_are_good():
    assert play(lambda trial: 0.0 if is_guest(trial) else 1.0, Beginning(guests=GUESTS)) == [0, 2, 4, 6, 8]
    assert play(lambda trial: 1.0 if is_guest(trial) else 0.0, Beginning(guests=GUESTS)) == [0, 2]


def test_named_points_come_first_and_are_tried_whatever_they_are():
    start = [{"x": 0.91}, {"x": 0.92}, GUESTS[0]]
    assert play(lambda trial: 0.0, Beginning(start, GUESTS)) == [2, 3, 5, 7, 9]


def test_an_interrupted_search_has_each_guest_once():
    storage = optuna.storages.InMemoryStorage()
    for trials in (1, 4, 5, 12):
        guests = play(lambda trial: 0.0, Beginning(guests=GUESTS), trials, storage)
    assert guests == [0, 2, 4, 6, 8]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    for seed in range(2):
        ToySearch(folder / f"s{seed}", trials=12, seed=seed).run()
    return folder


def points(workdir, names, space, metric="val_accuracy", direction="maximize"):
    return good_points(names, workdir, space, [Objective(metric, direction)], "x.yaml: search.warm_start")


def test_the_best_points_of_each_study_are_taken_in_turns(workdir):
    studies = [ToySearch(workdir / f"s{seed}").study for seed in range(2)]
    space = Space.from_json(studies[0].facts["space"])
    found = points(workdir, ["s0", "s1"], space)
    assert len(found) == MOST_POINTS
    assert [dict(each) for each in found[:2]] == [dict(study.best[0].params) for study in studies]


def test_only_what_is_searched_now_is_taken(workdir):
    best = ToySearch(workdir / "s0").study.best[0].params
    name = next(name for name, value in best.items() if isinstance(value, float))
    value = best[name]
    space = Space(
        (
            Parameter(name, "float", value, low=value * 0.9, high=value * 1.1),
            Parameter("new", "boolean", False),
        )
    )
    assert points(workdir, ["s0"], space)[0] == {name: value}


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        (["s1", "s2"], {}, r"x\.yaml: search\.warm_start\[1\]: .*there is no study `s2`"),
        (["s0"], {"metric": "val_loss", "direction": "minimize"}, "study s0 has another objective; expected minimize val_loss; received maximize val_accuracy"),
        (["s0"], {"space": Space((Parameter("new", "boolean", False),))}, "study s0 has no value that is searched now; expected hyperparameters among new"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_help_is_refused(workdir, names, changes, message):
    space = Space.from_json(ToySearch(workdir / "s0").study.facts["space"])
    with pytest.raises(StudyError, match=message):
        points(workdir, names, **{"space": space, **changes})
