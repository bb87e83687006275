"""One sampler around every other, which gives it four laws.

*Seeded*: the inner sampler is made anew for each trial, from (search seed, trial number), and for each
hyperparameter it samples by itself from the label too. It keeps no state the study does not hold, so a
study continues as if it had not stopped, and trials that run side by side do not disturb each other.

*Distinct*: no combination of a finite space is proposed twice. A value with which nothing is left to try
gives way to the nearest one (of a category: to any one) with which something is.

*Finite*: `exhausted` says when nothing is left. The sampler never stops a study itself.

*Begun where asked*: trials begin with the points of `beginning.py`, as long as there are any.

To Optuna it has no relative search space: it asks the inner sampler for one itself, once a trial, keeps
what that proposed in the trial, and hands the values out one by one as the model declares them.
"""

# ruff: noqa: ARG002  the signatures are Optuna's

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hpsearch.space import SpaceExhausted
from hpsearch.strategies.beginning import Beginning
from hpsearch.strategies.visited import Visited, index_of, value_at

Factory = Callable[[int], BaseSampler]
"""Makes the inner sampler from a seed of 31 bits."""

PROPOSAL = "hpsearch:proposal"
"""System attribute of a trial: the values its sampler proposed together, by label."""


@dataclass
class _Memory:
    """What is remembered of one study; all of it can be had again from the study."""

    visited: Visited = field(default_factory=Visited)
    proposals: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By number, of running trials."""


class DistinctSampler(BaseSampler):
    """Wraps a sampler so that its proposals are reproducible and distinct.

    Args:
        factory: Makes the inner sampler.
        seed: The search's seed.
        in_order: Whether an exhausted category gives way to the nearest one in the order of its choices,
            as for a grid. Default: to a random one.
    """

    def __init__(self, factory: Factory, seed: int, *, in_order: bool = False) -> None:
        self._factory = factory
        self._seed = seed
        self._in_order = in_order
        self._beginning = Beginning()
        self._reset()

    def begin(self, beginning: Beginning) -> None:
        """Has trials begin with given points; what a point lacks is sampled."""
        self._beginning = beginning

    def exhausted(self, study: Study) -> bool:
        """Returns whether every combination was tried or is being tried.

        While trials run this may become false again: a trial may yet declare more hyperparameters.
        """
        with self._lock:
            memory = self._remember(study)
            memory.visited.update(_trials(study))
            return memory.visited.exhausted

    def probe(self) -> None:
        """Makes an inner sampler once, so that it may refuse its options before a search begins."""
        self._inner()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns nothing, so that every value passes `sample_independent`."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Lets the inner sampler propose values together, and keeps them for `sample_independent`."""
        inner = self._inner(trial.number)
        if search_space:  # another sampler, wrapped around this one, wants just these
            inner.infer_relative_search_space(study, trial)  # some remember it
            return inner.sample_relative(study, trial, search_space)
        proposal = _recalled(trial)
        if proposal is None:
            space = inner.infer_relative_search_space(study, trial)
            proposal = {label: _plain(v) for label, v in inner.sample_relative(study, trial, space).items()}
            proposal |= self._beginning.point(study, trial)
            if proposal:
                study._storage.set_trial_system_attr(trial._trial_id, PROPOSAL, proposal)
        with self._lock:
            self._remember(study).proposals[trial.number] = proposal
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Returns a value with which something is left to try.

        Raises:
            SpaceExhausted: There is none.
        """
        value = self._proposed(study, trial, param_name, param_distribution)
        with self._lock:
            visited = self._remember(study).visited
            if not visited.is_current(trial):  # reading every trial is dear in a database
                visited.update(_trials(study))
            branch = visited.branch(trial, param_name, param_distribution)
            if branch is None or branch.size is None:
                return value
            if branch.exhausted:
                raise SpaceExhausted(f"Nothing is left to try: every value of `{param_name}` was tried.")
            index = index_of(param_distribution, value)
            if not branch.is_free(index):
                if isinstance(param_distribution, CategoricalDistribution) and not self._in_order:
                    free = branch.free()
                    index = free[self._derived(trial.number, param_name, "free") % len(free)]
                else:
                    index = branch.nearest_free(index)
            return value_at(param_distribution, index)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Passes on to the inner sampler."""
        self._inner(trial.number).before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passes on to the inner sampler."""
        self._inner(trial.number).after_trial(study, trial, state, values)
        with self._lock:
            self._remember(study).proposals.pop(trial.number, None)

    def __str__(self) -> str:
        return str(self._inner(0))

    def __getstate__(self) -> dict[str, Any]:
        return {key: self.__dict__[key] for key in ("_factory", "_seed", "_in_order", "_beginning")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._memory: WeakKeyDictionary[BaseStorage, dict[int, _Memory]] = WeakKeyDictionary()

    def _remember(self, study: Study) -> _Memory:
        return self._memory.setdefault(study._storage, {}).setdefault(study._study_id, _Memory())

    def _proposed(self, study: Study, trial: FrozenTrial, label: str, distribution: BaseDistribution) -> Any:
        proposal = self._remember(study).proposals.get(trial.number, {})
        if label in proposal:
            try:
                if distribution._contains(distribution.to_internal_repr(proposal[label])):
                    return proposal[label]
            except ValueError:
                pass  # the hyperparameter is declared otherwise than when the sampler saw it
        return self._inner(trial.number, label).sample_independent(study, trial, label, distribution)

    def _inner(self, *parts: object) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._factory(self._derived(*parts))

    def _derived(self, *parts: object) -> int:
        """Derives a seed of 31 bits from the search's seed and `parts`."""
        text = "\0".join(map(str, (self._seed, *parts)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) >> 1


def _trials(study: Study) -> Sequence[FrozenTrial]:
    """Returns every trial; a study that a pruner narrowed to one of its brackets would hide some."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _recalled(trial: FrozenTrial) -> dict[str, Any] | None:
    """Returns what was proposed to the trial before it was interrupted; None if nothing was asked yet."""
    proposal = trial.system_attrs.get(PROPOSAL)
    if proposal is not None:
        return dict(proposal)
    begun = any(not distribution.single() for distribution in trial.distributions.values())
    return {} if begun else None


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
