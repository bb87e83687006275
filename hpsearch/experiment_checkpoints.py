"""Which models are written, and which stay on the disk: the section `checkpoints` of an experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpsearch.experiment_errors import Expected
from hpsearch.experiment_forms import Count, Section


class CheckpointsSection(Section):
    """Which models a trial writes, and which stay on the disk. Records, histories and pictures always do.

    A trial's `model.keras` is its best epoch's. Where not all trials' stay, MLflow receives the champion's
    only.
    """

    keep: Annotated[
        str,
        Field(pattern=r"^(all|none|best [1-9][0-9]*)$"),
        Expected("`all`, `none`, or `best` and a number, e.g. `best 3`"),
    ] = "all"
    """`all`; `best 3`, or any other number; or `none`, which leaves the champion's, to be exported. Of
    several objectives the Pareto front stays with `best`."""
    max_size_mib: float | None = Field(default=None, gt=0)
    """What all models together may take, in MiB: the worst are deleted first. Default: no limit."""

    last: bool = False
    """Whether a trial also keeps its last epoch's model, in its folder `checkpoints/`."""
    every: Count | None = None
    """Keep there the model after each of so many epochs, too. Default: none."""
    state_every_s: float = Field(default=10.0, ge=0)
    """Seconds, at least, between two savings of what a trial needs to go on after a crash; 0: every epoch."""

    @property
    def best(self) -> int | None:
        """How many trials' models stay; None: all."""
        if self.keep == "all":
            return None
        return 0 if self.keep == "none" else int(self.keep.removeprefix("best "))

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever deleted."""
        return self.keep == "all" and self.max_size_mib is None
