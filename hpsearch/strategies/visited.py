"""Which combinations of a space were tried: a trie of the trials' values, in the order they were chosen.

    root ─ activation ┬ relu ─ dropout ┬ no  ●            ● a trial ended here, or is running here
                      │                └ yes ─ rate ┬ 0.1 ●
                      │                             └ 0.2
                      └ tanh

A branch is exhausted when each of its values is; a continuous range never is, and nothing is remembered
below one. What hyperparameters a value leads to is learnt from the trials, so branches of plain Python
are known as soon as one trial went there. A trial is added once, and followed only while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


@dataclass(eq=False)
class Branch:
    """The values of one hyperparameter, reached by the values chosen before it."""

    node: _Node
    size: int | None
    """How many values there are; None for a continuous range."""
    children: dict[int, _Node] = field(default_factory=dict)
    exhausted_children: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to try with any of the values."""
        return self.size is not None and self.exhausted_children >= self.size

    def is_free(self, index: int) -> bool:
        """Returns whether something is left to try with the value at `index`."""
        child = self.children.get(index)
        return child is None or not child.exhausted

    def free(self) -> list[int]:
        """Returns the index of every value with which something is left to try."""
        return [index for index in range(self.size or 0) if self.is_free(index)]

    def nearest_free(self, index: int) -> int:
        """Returns the closest free index, of two the lower one; the branch must not be exhausted."""
        size = self.size or 0
        for distance in range(size):
            for near in (index - distance, index + distance):
                if 0 <= near < size and self.is_free(near):
                    return near
        raise LookupError("every value of the branch is exhausted")


@dataclass(eq=False)
class _Node:
    """Where the values chosen so far lead."""

    parent: Branch | None = None
    branches: dict[tuple[str, BaseDistribution], Branch] = field(default_factory=dict)
    """One, unless the model's declarations depend on more than the values."""
    running: int = 0
    """Trials that stand here."""
    ended: bool = False
    exhausted: bool = False

    def refresh(self) -> None:
        """Brings `exhausted` up to date, here and above."""
        if self.branches:
            exhausted = all(branch.exhausted for branch in self.branches.values())
        else:
            # Before the first hyperparameter is declared a running trial says nothing of the space.
            exhausted = self.ended or (self.running > 0 and self.parent is not None)
        if exhausted is self.exhausted:
            return
        self.exhausted = exhausted
        if self.parent is not None:
            self.parent.exhausted_children += 1 if exhausted else -1
            self.parent.node.refresh()


@dataclass
class _Path:
    node: _Node | None
    """Where the trial stands; None below a continuous range."""
    length: int = 0
    """How many of its hyperparameters are on the path."""

    def is_behind(self, trial: FrozenTrial) -> bool:
        """Whether the trial has gone on; one that trains, or is paused, has not."""
        return len(trial.params) > self.length or trial.state.is_finished()


class Visited:
    """The trie of one study."""

    def __init__(self) -> None:
        self._root = _Node()
        self._known = 0
        self._open: dict[int, _Path] = {}

    @property
    def exhausted(self) -> bool:
        """Whether every combination was tried or is being tried."""
        return self._root.exhausted

    def is_current(self, trial: FrozenTrial) -> bool:
        """Returns whether no trial but `trial` can have changed since the last update."""
        return self._open.keys() <= {trial.number} and trial.number <= self._known

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Adds the trials that are new and what running ones have chosen since.

        Args:
            trials: All trials of the study by number.
        """
        changed = [number for number, path in self._open.items() if path.is_behind(trials[number])]
        for number in (*changed, *range(self._known, len(trials))):
            self._follow(trials[number])

    def branch(self, trial: FrozenTrial, label: str, distribution: BaseDistribution) -> Branch | None:
        """Returns the values a running trial may choose from; None below a continuous range."""
        path = self._follow(trial)
        return None if path.node is None else self._grow(path.node, label, distribution)

    def _follow(self, trial: FrozenTrial) -> _Path:
        path = self._open.get(trial.number)
        if path is None:
            path = self._open[trial.number] = _Path(self._root)
            self._known = max(self._known, trial.number + 1)
            self._root.running += 1
        for label, value in list(trial.params.items())[path.length :]:
            path.length += 1
            if path.node is not None:
                path.node = self._step(path.node, label, trial.distributions[label], value)
        if trial.state.is_finished():
            self._end(path, failed=trial.state.name == "FAIL")
            del self._open[trial.number]
        return path

    def _step(self, node: _Node, label: str, distribution: BaseDistribution, value: Any) -> _Node | None:
        branch = self._grow(node, label, distribution)
        node.running -= 1
        index = None if branch.size is None else index_of(distribution, value)
        if index is None or branch.size is None or not 0 <= index < branch.size:
            return None
        child = branch.children.setdefault(index, _Node(branch))
        child.running += 1
        child.refresh()
        return child

    def _end(self, path: _Path, *, failed: bool) -> None:
        node = path.node
        if node is None:
            return
        node.running -= 1
        # A trial that failed before it chose anything was no combination.
        node.ended = node.ended or node.parent is not None or not failed
        node.refresh()

    def _grow(self, node: _Node, label: str, distribution: BaseDistribution) -> Branch:
        key = (label, distribution)
        branch = node.branches.get(key)
        if branch is None:
            branch = node.branches[key] = Branch(node, size_of(distribution))
            node.refresh()
        return branch


def size_of(distribution: BaseDistribution) -> int | None:
    """Counts the values of a distribution; None if it is continuous."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    d = distribution
    if isinstance(d, CategoricalDistribution):
        return len(d.choices)
    if isinstance(d, IntDistribution):
        return (d.high - d.low) // d.step + 1
    if isinstance(d, FloatDistribution) and d.step is not None:
        return int((_decimal(d.high) - _decimal(d.low)) // _decimal(d.step)) + 1
    return 1 if d.single() else None


def index_of(distribution: Any, value: Any) -> int:
    """Returns the index of a value of a finite distribution, from the smallest or the first choice."""
    if hasattr(distribution, "choices"):
        return int(distribution.to_internal_repr(value))
    index: int = round((value - distribution.low) / (getattr(distribution, "step", None) or 1))
    return index


def value_at(distribution: Any, index: int) -> Any:
    """Returns the value of a finite distribution at `index`; floats without the noise of adding steps."""
    if hasattr(distribution, "choices"):
        return distribution.choices[index]
    step = getattr(distribution, "step", None) or 1
    if isinstance(distribution.low, float):
        return float(_decimal(distribution.low) + index * _decimal(step))
    return distribution.low + index * step


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))
