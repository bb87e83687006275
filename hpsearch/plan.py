"""What the driver must know of an experiment, and why it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpsearch.experiment_checkpoints import CheckpointsSection
from hpsearch.objective import Objective
from hpsearch.policies import Policies
from hpsearch.space import Override
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import TrialSpec, Value


class End(StrEnum):
    """Why a search stopped."""

    TRIALS = "trials"
    TIME = "time"
    EPOCHS = "epochs"
    COMPUTE = "compute"
    EXHAUSTED = "exhausted"
    PATIENCE = "patience"
    IMPROVEMENT = "improvement"
    INTERRUPTED = "interrupted"

    @property
    def spent(self) -> bool:
        """Whether nothing may be trained any more, paused trials included."""
        return self in (End.TIME, End.EPOCHS, End.COMPUTE)


@dataclass(frozen=True)
class Plan:
    """What the driver must know of the experiment."""

    folder: StudyFolder
    where: str
    """The experiment's file, for messages."""
    objectives: tuple[Objective, ...]
    overrides: Mapping[str, Override]
    seed: int
    trials: int | None
    timeout_s: float | None
    max_failures_in_a_row: int
    on_failure: Policies
    trial_timeout_s: float | None
    silence_timeout_s: float | None
    checkpoints: CheckpointsSection
    """Which trials' models stay."""
    champion: int | None
    """The trial that was selected when the search last ended."""
    prunes: bool
    """Whether the strategy has a pruner, so that a worker waits for an answer after each epoch."""
    one_build_at_a_time: bool
    """Whether a trial must have chosen all its values before the next is proposed (finite spaces)."""
    total_epochs: int | None = None
    """Epochs of all trials together after which no more begin."""
    total_compute_s: float | None = None
    """Seconds of all trials together after which no more begin."""
    patience: int | None = None
    """Trials without a better one after which no more begin."""

    def spent(self, begun: int, epochs: int, searched_s: float, computed_s: float) -> End | None:
        """Returns which budget is spent, if one is.

        Args:
            begun: Trials so far.
            epochs: Of all of them.
            searched_s: During which any of them ran, in seconds.
            computed_s: How long all of them ran together.
        """
        limits = (
            (End.TRIALS, self.trials, begun),
            (End.EPOCHS, self.total_epochs, epochs),
            (End.TIME, self.timeout_s, searched_s),
            (End.COMPUTE, self.total_compute_s, computed_s),
        )
        return next((end for end, limit, used in limits if limit is not None and used >= limit), None)


def trial_spec(
    folder: StudyFolder, seed: int, number: int, params: Mapping[str, Value], *, attempt: int = 1
) -> TrialSpec:
    """Returns the job that a trial is.

    Args:
        folder: Of the study.
        seed: The search's.
        number: The trial's.
        params: Values already chosen.
        attempt: How often it has been tried, this time included. Default: once.
    """
    place = str(folder.trial(number))
    return TrialSpec(number, dict(params), trial_seed(seed, number), place, attempt=attempt)


def trial_seed(seed: int, number: int) -> int:
    """Derives a trial's seed, 31 bits, from the search's seed and the trial's number."""
    import numpy as np

    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] & 0x7FFFFFFF)
