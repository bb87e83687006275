"""Samplers that propose all values of a trial together, from a space that they know."""

# ruff: noqa: ARG002  the signatures are Optuna's

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpsearch.space import Parameter, Value, encoded


class JointSampler(BaseSampler):
    """Proposes a whole point; hyperparameters that are not in its space are drawn at random.

    Those may have appeared during the search.

    Args:
        seed: Of the random draws.
    """

    def __init__(self, seed: int) -> None:
        self._random = RandomSampler(seed)

    @abstractmethod
    def propose(self, study: Study, trial: FrozenTrial) -> Iterable[tuple[Parameter, Value]]:
        """Returns the hyperparameters that the trial is to have, with their values; none: all at random."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns nothing: the space is known already."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns a value for every label a hyperparameter of the proposal could have."""
        proposal: dict[str, Any] = {}
        for parameter, value in self.propose(study, trial):
            proposal |= encoded(parameter, value)
        return proposal

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draws at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)
