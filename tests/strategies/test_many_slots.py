"""A hundred virtual workers: none is idle for want of a suggestion, and no two do the same."""

import pytest

from hpsearch.space import Parameter, Space
from hpsearch.testing.simulated import SimulatedSearch
from hpsearch.testing.simulation import Point
from hpsearch.trial_record import read_record

SLOTS = 100


class Bowl:
    """Curves that rise to a height which falls off from the middle; epochs take one to two seconds."""

    def __init__(self, step=None):
        x = Parameter("x", "float", 0.0, low=0.0, high=1.0, step=step)
        y = Parameter("y", "float", 0.0, low=0.0, high=1.0, step=step)
        self.space = Space((x, y))

    def declare(self, ask):
        return {parameter.name: ask(parameter) for parameter in self.space.parameters}

    def curve(self, params):
        height = 1.0 - (params["x"] - 0.5) ** 2 - (params["y"] - 0.3) ** 2
        return [Point({"score": height - 1.0 / epoch}, 1.0 + params["x"]) for epoch in range(1, 10)]


@pytest.mark.parametrize(
    ("strategy", "step", "budget"),
    [
        ("asha", None, {"total_epochs": 180}),
        ("bayesian", 0.05, {"trials": 140}),
    ],
)
def test_a_hundred_workers_are_never_idle_and_never_do_the_same(strategy, step, budget):
    bowl = Bowl(step)
    search = SimulatedSearch(bowl, bowl.space, strategy, "score", 9, slots=SLOTS, **budget)
    search.run()
    trials = search.study.get_trials(deepcopy=False)
    assert len({tuple(trial.params.values()) for trial in trials}) == len(trials) > 120
    spans = [span for trial in trials for span in read_record(trial)["spans"]]
    last_s = max(start_s for start_s, _ in spans)
    for moment_s in {start_s for start_s, _ in spans} - {last_s}:
        assert sum(start_s <= moment_s < end_s for start_s, end_s in spans) == SLOTS
