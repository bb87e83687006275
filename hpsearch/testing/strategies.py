"""The law of strategies. Subclass `StrategyContract`, return a section from the fixture, run pytest:

    class TestMine(StrategyContract):
        @pytest.fixture
        def section(self):
            return StrategySection(name="mine")

Searches here are played without training: a `Toy` declares hyperparameters as a model does, and its
objective follows from their values.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from hpsearch import strategies
from hpsearch.experiment_search import StrategySection
from hpsearch.legs import Reached, begin_leg, end_leg
from hpsearch.space import Condition, Parameter, Space, SpaceExhausted, Value, suggest, trial_values
from hpsearch.strategies import Context, Strategy

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import Trial

EPOCHS = 9

Ask = Callable[[Parameter], Value]
Point = tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Toy:
    """Declares hyperparameters, as the building of a model does."""

    name: str
    declare: Callable[[Ask], None]
    points: int | None
    """How many combinations there are; None for a continuous space."""

    @property
    def space(self) -> Space:
        """What a probe would find."""
        seen: dict[Parameter, None] = {}
        rng = random.Random(0)

        def ask(parameter: Parameter) -> Value:
            seen.setdefault(parameter)
            return (
                parameter.default if parameter.size is None else parameter.at(rng.randrange(parameter.size))
            )

        for _ in range(64):
            self.declare(ask)
        return Space(tuple(seen))


def _mixed(ask: Ask) -> None:
    ask(Parameter("lr", "float", 1e-3, low=1e-4, high=1e-1, sampling="log"))
    ask(Parameter("momentum", "float", 0.5, low=0.1, high=0.9, sampling="reverse_log"))
    ask(Parameter("units", "int", 64, low=16, high=512, sampling="log"))
    ask(Parameter("activation", "choice", "relu", values=("relu", "tanh", "gelu")))


def _flat(ask: Ask) -> None:
    ask(Parameter("batch_size", "int", 16, low=16, high=64, step=2, sampling="log"))
    ask(Parameter("dropout", "float", 0.0, low=0.0, high=0.3, step=0.3))
    ask(Parameter("norm", "boolean", False))
    ask(Parameter("version", "fixed", 3))


def _branching(ask: Ask) -> None:
    """A conditional scope, one name declared twice, a plain `if`, a loop."""
    optimizer = ask(Parameter("optimizer", "choice", "adam", values=("adam", "sgd")))
    given = (Condition("optimizer", (optimizer,)),)
    lr = (0.01, 0.001) if optimizer == "adam" else (0.1, 0.5, 1.0)
    ask(Parameter("lr", "choice", lr[0], values=lr, conditions=given))
    if optimizer == "adam":
        layers = ask(Parameter("layers", "int", 1, low=1, high=2))
        for i in range(int(layers)):
            ask(Parameter(f"wide_{i}", "boolean", False))


MIXED = Toy("mixed", _mixed, None)
FLAT = Toy("flat", _flat, 3 * 2 * 2)
BRANCHING = Toy("branching", _branching, 2 * (2 + 4) + 3)
TOYS = {toy.name: toy for toy in (MIXED, FLAT, BRANCHING)}


def score(values: Mapping[str, Value]) -> float:
    """Returns the objective of a combination; the lower the better, best in the middle of each range."""
    numbers = (len(value) / 4 if isinstance(value, str) else float(value) for value in values.values())
    return sum((math.log10(abs(number) + 1e-3) - 0.5) ** 2 for number in numbers)


class Search:
    """A search without training: one study, in memory unless a storage is given."""

    def __init__(
        self,
        section: StrategySection,
        toy: Toy,
        *,
        seed: int = 0,
        storage: BaseStorage | None = None,
        objectives: int = 1,
    ) -> None:
        import optuna

        self.toy = toy
        self.objectives = objectives
        directions: list[Literal["minimize", "maximize"]] = ["minimize"] * objectives
        self.strategy: Strategy = strategies.create(
            section, Context(toy.space, tuple(directions), seed=seed, epochs=EPOCHS)
        )
        self.study: Study = optuna.create_study(
            study_name="contract",
            storage=storage or optuna.storages.InMemoryStorage(),
            directions=directions,
            sampler=self.strategy.sampler,
            pruner=self.strategy.pruner,
            load_if_exists=True,
        )

    @property
    def exhausted(self) -> bool:
        """Whether the strategy says that nothing is left."""
        return self.strategy.exhausted(self.study)

    @property
    def points(self) -> list[Point]:
        """The combinations of all trials."""
        return [tuple(trial_values(trial).items()) for trial in self.study.get_trials(deepcopy=False)]

    def build(self, trial: Trial, most: int | None = None) -> Point:
        """Lets the toy declare its hyperparameters; stops after the first `most`, as a crash would."""
        values: dict[str, Value] = {}

        def ask(parameter: Parameter) -> Value:
            if len(values) == most:
                raise InterruptedError
            values[parameter.name] = suggest(trial, parameter)
            return values[parameter.name]

        try:
            self.toy.declare(ask)
        except InterruptedError:
            return tuple(values.items())
        assert trial_values(trial) == values
        return tuple(values.items())

    def finish(self, trial: Trial) -> None:
        """Trains: reports each epoch, and ends as the pruner says. Every fifth trial fails.

        With several objectives two of three trials end on their first rung, if there are any.
        """
        from optuna.trial import TrialState

        if trial.number % 5 == 4:
            self.study.tell(trial, state=TrialState.FAIL)
            return
        value = score(trial_values(trial))
        for epoch in range(1, EPOCHS + 1) if self.strategy.prunes else ():
            trial.report(value / epoch, epoch)
            if trial.should_prune():
                self.study.tell(trial, state=TrialState.PRUNED)
                return
        if self.objectives == 1:
            self.study.tell(trial, value)
            return
        values = (value, *(-value * each for each in range(1, self.objectives)))
        if self.strategy.schedule is not None and trial.number % 3:
            begin_leg(trial, self.strategy.schedule.first(trial.number))
            end_leg(trial, {}, Reached(values), (0.0, 1.0))
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, values)

    def run(self, trials: int) -> list[Point]:
        """Runs trials one after the other until there are so many, or nothing is left."""
        while len(self.study.get_trials(deepcopy=False)) < trials and not self.exhausted:
            trial = self.study.ask()
            self.build(trial)
            self.finish(trial)
        return self.points

    def resume(self) -> None:
        """Takes up the trials that were running."""
        import optuna

        for frozen in self.study.get_trials(deepcopy=False):
            if not frozen.state.is_finished():
                trial = optuna.trial.Trial(self.study, frozen._trial_id)
                self.build(trial)
                self.finish(trial)


def play(section: StrategySection, toy: str, seed: int, trials: int, objectives: int = 1) -> list[Point]:
    """Runs a search in this process, or in another."""
    return Search(section, TOYS[toy], seed=seed, objectives=objectives).run(trials)


@functools.cache
def _elsewhere() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


class StrategyContract:
    """What every strategy promises."""

    covers_continuous = True
    """Whether it can search continuous ranges."""
    random = True
    """Whether the seed matters."""
    objectives = 1
    """How many a search has."""
    trials = 16
    """How many a search takes; more than the strategy needs to learn from the first ones."""
    interruptions: tuple[tuple[float, int], ...] = ((0.5, 0), (1.0, 1), (0.1, 2))
    """Where a search is interrupted: after which part of its trials but the last, and how many
    hyperparameters later."""

    @pytest.fixture
    def section(self) -> StrategySection:
        """Returns the strategy as an experiment names it."""
        raise NotImplementedError

    @pytest.fixture(params=["mixed", "branching"])
    def toy(self, request: pytest.FixtureRequest) -> Toy:
        toy = TOYS[request.param]
        if toy.points is None and not self.covers_continuous:
            pytest.skip("the strategy covers finite spaces only")
        return toy

    def test_proposals_lie_inside_the_space(self, section: StrategySection, toy: Toy) -> None:
        types = {"int": int, "float": float, "boolean": bool}
        for point in Search(section, toy, objectives=self.objectives).run(self.trials):
            for name, value in point:
                declared = [p for p in toy.space.parameters if p.name == name and p.is_active(dict(point))]
                inside = [parameter for parameter in declared if parameter.contains(value)]
                assert inside, f"{name}={value!r} is outside what was declared"
                assert type(value) is types.get(inside[0].kind, type(inside[0].default))

    def test_same_seed_same_proposals(self, section: StrategySection, toy: Toy) -> None:
        here = play(section, toy.name, 1, self.trials, self.objectives)
        assert play(section, toy.name, 1, self.trials, self.objectives) == here
        assert (
            _elsewhere().submit(play, section, toy.name, 1, self.trials, self.objectives).result(timeout=120)
            == here
        )

    def test_other_seed_other_proposals(self, section: StrategySection, toy: Toy) -> None:
        differ = play(section, toy.name, 1, 5, self.objectives) != play(
            section, toy.name, 2, 5, self.objectives
        )
        assert differ is self.random

    @pytest.mark.parametrize("finite", ["flat", "branching"])
    def test_a_finite_space_is_covered_once_and_then_exhausted(
        self, section: StrategySection, finite: str
    ) -> None:
        search = Search(section, TOYS[finite], objectives=self.objectives)
        points = search.run(1000)
        assert len(set(points)) == len(points) == TOYS[finite].points
        with pytest.raises(SpaceExhausted, match="Nothing is left to try"):
            search.build(search.study.ask())

    def test_a_resumed_study_goes_on_as_if_it_had_not_stopped(
        self, section: StrategySection, toy: Toy, tmp_path: Path
    ) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        def on_disk() -> BaseStorage:
            return optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))

        whole = Search(section, toy, objectives=self.objectives).run(self.trials)
        for part, chosen in self.interruptions:
            kept = optuna.storages.InMemoryStorage()
            in_a_file = chosen == 1
            broken = Search(
                section, toy, storage=on_disk() if in_a_file else kept, objectives=self.objectives
            )
            broken.run(int(part * (len(whole) - 1)))
            broken.build(broken.study.ask(), most=chosen)
            resumed = Search(
                section, toy, storage=on_disk() if in_a_file else kept, objectives=self.objectives
            )
            resumed.resume()
            assert resumed.run(self.trials) == whole

    @pytest.mark.parametrize("finite", ["flat", "branching"])
    def test_trials_that_run_side_by_side_are_distinct(self, section: StrategySection, finite: str) -> None:
        search = Search(section, TOYS[finite], objectives=self.objectives)
        running: list[Trial] = []
        while running or not search.exhausted:
            while len(running) < 4 and not search.exhausted:
                running.append(search.study.ask())
                search.build(running[-1])
            search.finish(running.pop(1 if len(running) > 1 else 0))
        assert len(set(search.points)) == len(search.points) == TOYS[finite].points

    def test_trials_that_build_side_by_side_end_well(self, section: StrategySection) -> None:
        search = Search(section, BRANCHING, objectives=self.objectives)
        for _ in range(5):
            building = [_steps(search, search.study.ask()) for _ in range(3)]
            while building:
                building = [steps for steps in building if next(steps, None)]
        states = [trial.state.name for trial in search.study.get_trials(deepcopy=False)]
        trained = [point for point, state in zip(search.points, states, strict=True) if state != "FAIL"]
        assert len(set(trained)) == len(trained)
        assert "RUNNING" not in states


def _steps(search: Search, trial: Trial) -> Iterator[bool]:
    """Builds with a pause after each hyperparameter, then trains."""
    import optuna

    for chosen in range(1, 6):
        try:
            search.build(trial, most=chosen)
        except SpaceExhausted:
            search.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        yield True
        trial = optuna.trial.Trial(search.study, trial._trial_id)
    search.finish(trial)
