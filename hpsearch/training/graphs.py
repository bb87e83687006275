"""What has been compiled for a model, to be used again by the next trial that trains an equal one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from hpsearch.training.placed import addresses

if TYPE_CHECKING:
    from hpsearch.datasets import Split

Made = TypeVar("Made")


class Graphs:
    """Compiled functions of one model, by name and by the rows that they read."""

    def __init__(self) -> None:
        self._made: dict[tuple[Hashable, ...], tuple[Split, Any]] = {}

    def get(self, name: tuple[Hashable, ...], split: Split, make: Callable[[], Made]) -> Made:
        """Returns what `make` made when it was first asked for.

        Args:
            name: What it does, with all that it depends on but the model and the rows.
            split: The rows.
            make: Compiles it.
        """
        key = (*name, *addresses(split))
        if key not in self._made:
            self._made[key] = (split, make())  # the split keeps its place in memory
        made: Made = self._made[key][1]
        return made
