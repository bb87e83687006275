"""`asha`: asynchronous successive halving that promotes and resumes (Li et al., 2020).

A trial trains to the first of a few epochs, 1, 3, 9, ... (the rungs), and pauses there. Whenever a slot is
free, the best paused trial among the best third of all that have reached its rung goes on to the next one,
from its kept state; if there is none, a new trial begins. No trial waits for another, none is trained twice.

- With `brackets` above 1 it is asynchronous Hyperband: some trials pause later for the first time, in case
  the first epochs mislead. A bracket follows from a trial's number, in Hyperband's shares (Li et al., 2018).
- A model proposes the configurations, as in BOHB (Falkner et al., 2018): the process of `bayesian`, to which
  the epochs that a trial was trained are one coordinate more; or any of Optuna's samplers. The paper's is
  `random`.

A trial's values on a rung are those of its best epoch so far, by which finished trials are compared too. To
promote rather than stop is the rule of the paper, as in Syne Tune; Optuna's pruners and Ray's `ASHAScheduler`
stop.

With several objectives the order on a rung is by fronts (`fronts.py`; Schmucker et al., 2021). The
objectives there are those that a paused trial knows: what epochs report, all of one epoch, the best by the
first of these, and what was measured before training. One that is known only of a whole trial, such as
`tflite_accuracy`, has no say; if epochs report none, `val_loss` stands in. Trials that break a constraint on
what is known by then come last, those farthest beyond it at the end (Deb et al., 2002).

Lisha Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2.
Robin Schmucker et al., "Multi-objective Asynchronous Successive Halving", arXiv:2106.12639.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from hpsearch.errors import StrategyError, fault
from hpsearch.experiment_search import StrategySection
from hpsearch.legs import Promotion, read_leg
from hpsearch.strategies import Context, Strategy, options
from hpsearch.strategies.bayesian import create_process_sampler
from hpsearch.strategies.fronts import best_first
from hpsearch.strategies.optuna import create_sampler

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpsearch.legs import Leg, Reached
    from hpsearch.strategies.distinct import DistinctSampler

OPTIONS = {"min_resource": (int,), "reduction_factor": (int,), "brackets": (int,)}
_LEAST = {"min_resource": 1, "reduction_factor": 2, "brackets": 1}


def create(section: StrategySection, context: Context) -> Strategy:
    """Creates the strategy.

    Options: `min_resource` (epochs every trial runs, default 1), `reduction_factor` (one of so many goes on,
    to so many times the epochs; default 3), `brackets` (default 1). `sampler` is `bayesian`, the default, or
    any of Optuna's; with several objectives `tpe` is the default.

    Raises:
        StrategyError: There is a pruner, an option is wrong, the sampler has one objective and there are
            several, or nothing to halve.
    """
    where = f"{context.where}.options"
    options.check(OPTIONS, section.options, where, "strategy `asha`")
    for name, value in section.options.items():
        if value < _LEAST[name]:
            message = fault(
                f"{where}.{name}", "is too low", expected=f"at least {_LEAST[name]}", received=value
            )
            raise StrategyError(message)
    if section.pruner is not None:
        message = fault(
            f"{context.where}.pruner",
            "strategy `asha` decides itself who goes on",
            received=repr(section.pruner),
            advice="Leave the pruner out, or use `name: optuna` to choose one.",
        )
        raise StrategyError(message)
    ladders = tuple(_ladders(context, **{"min_resource": 1, "reduction_factor": 3, **section.options}))
    name, sampler, warnings = _create_sampler(section, context)
    schedule = Halving(
        ladders,
        epochs=context.epochs,
        factor=section.options.get("reduction_factor", 3),
        directions=context.directions,
        seed=context.seed,
    )
    rungs = ", ".join(map(str, (*ladders[0], context.epochs)))
    several = f", {len(ladders)} brackets" if len(ladders) > 1 else ""
    return Strategy(
        sampler=sampler,
        pruner=NopPruner(),
        summary=f"asha: {name}, {rungs} epochs{several}",
        warnings=warnings,
        schedule=schedule,
    )


def _create_sampler(
    section: StrategySection, context: Context
) -> tuple[str, DistinctSampler, tuple[str, ...]]:
    where = f"{context.where}.sampler"
    several = len(context.directions) > 1
    name, given = options.named(section.sampler, "tpe" if several else "bayesian", where)
    if name != "bayesian":
        return create_sampler(section.sampler, name, context, pauses=True)
    options.refuse_several_objectives("sampler `bayesian`", where, context, "Use `tpe` or `nsgaii`.")
    options.check({"num_initial_points": (int,)}, given, where, "sampler `bayesian`")
    return name, create_process_sampler(context, given.get("num_initial_points")), ()


def _ladders(
    context: Context, min_resource: int, reduction_factor: int, brackets: int = 1
) -> Iterator[tuple[int, ...]]:
    """Yields the epochs at which the trials of each bracket pause.

    Raises:
        StrategyError: A bracket has none.
    """
    for bracket in range(brackets):
        rungs, rung = [], min_resource * reduction_factor**bracket
        while rung < context.epochs:
            rungs.append(rung)
            rung *= reduction_factor
        if not rungs:
            advice = f"Give `training.epochs` above {min_resource}, or lower `min_resource`."
            if bracket:
                advice = f"At most {bracket} fit."
            raise StrategyError(
                fault(
                    f"{context.where}.options.{'brackets' if bracket else 'min_resource'}",
                    "there is nothing to halve: a trial would pause after its last epoch",
                    expected=f"rungs below the {context.epochs} epochs of a trial",
                    received=f"a first rung at epoch {rung}",
                    advice=advice,
                )
            )
        yield tuple(rungs)


@dataclass(frozen=True)
class Halving:
    """Who goes on: a `Schedule`. All that it knows is in the trials' legs.

    Attributes:
        ladders: By bracket, the epochs at which trials pause, in order.
        epochs: The most that a trial can run.
        factor: One of so many goes on.
        directions: `minimize` or `maximize`, one for each objective.
        seed: Of the search; a trial's bracket follows from it and its number.
    """

    ladders: tuple[tuple[int, ...], ...]
    epochs: int
    factor: int
    directions: tuple[str, ...]
    seed: int

    def first(self, number: int) -> int:
        """Returns the first rung of the trial's bracket."""
        return self.ladders[self.bracket(number)][0]

    def bracket(self, number: int) -> int:
        """Deals a trial to a bracket."""
        if len(self.ladders) == 1:
            return 0
        weights = [self.factor ** len(ladder) / (len(ladder) + 1) for ladder in self.ladders]
        digest = hashlib.blake2b(f"{self.seed}\0{number}".encode(), digest_size=8).digest()
        drawn = int.from_bytes(digest) / 2**64 * sum(weights)
        return next((i for i, upto in enumerate(accumulate(weights)) if drawn < upto), len(weights) - 1)

    def promote(self, trials: Sequence[FrozenTrial]) -> Promotion | None:
        """Returns the first promotable trial, from the highest rung down."""
        for ladder, legs in self._dealt(trials):
            for place in range(len(ladder) - 1, -1, -1):
                reached = self._ranked(legs, ladder[place])
                for number in reached[: len(reached) // self.factor]:
                    if _waits(legs[number], ladder[place]):
                        return Promotion(number, self._next(ladder, place))
        return None

    def rescue(self, trials: Sequence[FrozenTrial]) -> Promotion | None:
        """Returns the best of the highest rung on which anyone waits."""
        found: list[tuple[int, Promotion]] = []
        for ladder, legs in self._dealt(trials):
            for place, rung in enumerate(ladder):
                waiting = [n for n in self._ranked(legs, rung) if _waits(legs[n], rung)]
                if waiting:
                    found.append((rung, Promotion(waiting[0], self._next(ladder, place))))
        return max(found, key=lambda each: each[0])[1] if found else None

    def _dealt(self, trials: Sequence[FrozenTrial]) -> Iterator[tuple[tuple[int, ...], Mapping[int, Leg]]]:
        """Yields each bracket's rungs and its trials' legs by number; failed trials take nobody's place."""
        legs = {t.number: leg for t in trials if t.state != TrialState.FAIL and (leg := read_leg(t))}
        for bracket, ladder in enumerate(self.ladders):
            yield ladder, {n: leg for n, leg in legs.items() if self.bracket(n) == bracket}

    def _ranked(self, legs: Mapping[int, Leg], rung: int) -> list[int]:
        """Returns the trials that have reached a rung, best first; of equals the earlier."""
        reached = {number: leg.reached[rung] for number, leg in sorted(legs.items()) if rung in leg.reached}
        broken = [number for number, each in reached.items() if each.violation]
        within = [number for number, each in reached.items() if not each.violation]
        costs = np.array([self._costs(reached[number]) for number in within])
        promoted = np.array([not _waits(legs[number], rung) for number in within])
        order = best_first(costs, promoted) if within else ()
        return [
            *(within[row] for row in order),
            *sorted(broken, key=lambda number: reached[number].violation),
        ]

    def _costs(self, reached: Reached) -> list[float]:
        """Returns what is known of a trial, the lower the better; what stands in for objectives is a loss."""
        directions = (*self.directions, "minimize")
        return [
            -value if direction == "maximize" else value
            for direction, value in zip(directions, reached.values, strict=False)
            if value is not None
        ]

    def _next(self, ladder: tuple[int, ...], place: int) -> int:
        return ladder[place + 1] if place + 1 < len(ladder) else self.epochs


def _waits(leg: Leg, rung: int) -> bool:
    return leg.paused is not None and leg.until == rung
