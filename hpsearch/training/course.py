"""The epochs of a trial so far, and what follows from them: which is best, whether to stop.

Everything is a function of the epochs' metrics; nothing else is remembered.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

from hpsearch.deploy_metrics import epoch_objectives
from hpsearch.errors import ObjectiveError, did_you_mean, fault
from hpsearch.experiment import Experiment, ObjectiveSection
from hpsearch.experiment_training import EarlyStopping
from hpsearch.objective import Objective, resolve
from hpsearch.training.failures import NotFiniteError
from hpsearch.trial import Epoch


class Course:
    """The course of one trial.

    Args:
        experiment: Its objectives and `training.early_stopping` are read.
        users_own: Whether the user's own code trains, so that an objective may appear at the end only.
    """

    def __init__(self, experiment: Experiment, *, users_own: bool = False) -> None:
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        """That with the best value of the objective that leads; the first of equals."""
        self._objectives = epoch_objectives(experiment)
        self._early_stopping = experiment.training.early_stopping
        self.users_own = users_own
        self._began = 0

    @property
    def lead(self) -> str:
        """The metric of the first objective that epochs report."""
        return self._objectives[0].metric

    @property
    def has_objectives(self) -> bool:
        """Whether the best epoch has all objectives that epochs report."""
        reported = self.best.metrics if self.best else {}
        return all(section.metric in reported for section in self._objectives)

    def begin(self) -> None:
        """Notes that `fit` starts (again): early stopping counts from here."""
        self._began = len(self.epochs)

    def resume(self, epochs: Sequence[Epoch], best: int) -> None:
        """Takes up the epochs of an interrupted run; `best` is the number of the best."""
        self.epochs, self.best = list(epochs), epochs[best - 1]

    def add(self, metrics: Mapping[str, float]) -> Epoch:
        """Adds the next epoch.

        Args:
            metrics: Its metrics by name.

        Raises:
            ObjectiveError: An objective, or the metric watched by early stopping, is not among them.
            NotFiniteError: The loss or an objective is NaN or infinite.
        """
        epoch = Epoch(len(self.epochs) + 1, dict(metrics), time.time())
        self.epochs.append(epoch)
        if not self.users_own:
            self._require(metrics, (section.metric for section in self._objectives), "objective")
        self.check_finite(metrics, f"epoch {epoch.number}")
        if self.best is None or self._is_better(epoch, self.best):
            self.best = epoch
        return epoch

    def finish(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Returns the metrics of the whole trial: the best epoch's, and what a user's `fit` returned.

        Raises:
            ObjectiveError: An objective is still missing.
            NotFiniteError: A returned objective is NaN or infinite.
        """
        self.check_finite(metrics, "the end of fit")
        everything = {**(self.best.metrics if self.best else {}), **metrics}
        self._require(everything, (section.metric for section in self._objectives), "objective")
        return everything

    def exhausted(self) -> bool:
        """Whether early stopping ends the training here, as `keras.callbacks.EarlyStopping` would."""
        rule = self._early_stopping
        if rule is None or len(self.epochs) == self._began:
            return False
        section = self._watched(rule)
        since = self.epochs[self._began :]
        if not self.users_own:
            self._require(since[0].metrics, [section.metric], "training.early_stopping.monitor")
        values = [epoch.metrics[section.metric] for epoch in since if section.metric in epoch.metrics]
        if not values:
            return False
        sign = 1.0 if self._resolve(section).direction == "maximize" else -1.0
        return waited([sign * value for value in values], rule.min_delta) >= max(1, rule.patience)

    def check_finite(self, metrics: Mapping[str, float], when: str) -> None:
        """Raises if the loss or an objective is NaN or infinite.

        Raises:
            NotFiniteError: Names the metric and `when`.
        """
        for name in ("loss", "val_loss", *(section.metric for section in self._objectives)):
            if name in metrics and not math.isfinite(metrics[name]):
                raise NotFiniteError(f"`{name}` is {metrics[name]} at {when}")

    def _is_better(self, epoch: Epoch, best: Epoch) -> bool:
        if self.lead not in best.metrics:
            return True
        if self.lead not in epoch.metrics:
            return False
        value, reference = epoch.metrics[self.lead], best.metrics[self.lead]
        return value > reference if self._objective().direction == "maximize" else value < reference

    def _objective(self) -> Objective:
        return self._resolve(self._objectives[0])

    def _watched(self, rule: EarlyStopping) -> ObjectiveSection:
        if rule.monitor is None or rule.monitor == self.lead:
            return self._objectives[0]
        return ObjectiveSection(metric=rule.monitor)

    def _resolve(self, section: ObjectiveSection) -> Objective:
        return resolve(section, (section.metric,))

    def _require(self, metrics: Mapping[str, float], names: Iterable[str], where: str) -> None:
        for name in names:
            if name not in metrics:
                raise ObjectiveError(
                    fault(
                        where,
                        f"training reports no metric `{name}`",
                        expected="one of " + ", ".join(metrics) if metrics else None,
                        advice=did_you_mean(name, metrics),
                    )
                )


def waited(values: Sequence[float], min_delta: float) -> int:
    """Returns how many values came after the last that was higher than all before by `min_delta`."""
    best, waiting = -math.inf, 0
    for value in values:
        waiting += 1
        if value - min_delta > best:
            best, waiting = value, 0
    return waiting
