"""Which trials' models stay on the disk: the section `checkpoints` of an experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpsearch.experiment_errors import Expected
from hpsearch.experiment_forms import Section


class CheckpointsSection(Section):
    """Which trials' models stay on the disk. Records, histories and pictures always do.

    Where not all stay, MLflow receives the champion's model only.
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
