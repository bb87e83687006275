"""Which classes an output predicts, if it predicts any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpsearch.export.samples import Array


@dataclass(frozen=True)
class Decision:
    """How classes are read off an output: the largest unit, or those above a threshold.

    Attributes:
        above: The threshold. Default: the largest unit is the class.
    """

    above: float | None = None

    def __call__(self, output: Array) -> Array:
        """From outputs, `(rows, ..., units)`, to class numbers, `(rows, ...)`, or a yes or no a unit."""
        return np.asarray(output.argmax(axis=-1) if self.above is None else output > self.above)

    def rule(self) -> dict[str, object]:
        """Returns it in words that a record keeps."""
        return {"largest": True} if self.above is None else {"above": self.above}


_CLASSIFIES = ("crossentropy", "hinge", "focal")
_EACH_UNIT_FOR_ITSELF = ("binary", "sigmoid")


def decision(output: Array, *, task: str | None, loss: str) -> Decision | None:
    """Returns how an output's classes are read off: the largest unit, or those above a threshold.

    Args:
        output: What the model predicted, `(rows, ..., units)`. One unit, or units with a binary loss, are
            above 0.5 when all are probabilities, else above 0 (logits).
        task: What the model is for, or None to infer it from the loss, and else from the output: units
            that add up to one classify.
        loss: The loss's name in lower case, e.g. `sparse_categorical_crossentropy`; may be empty.

    Returns:
        The rule, or None for regression.
    """
    probabilities = bool((output >= 0).all() and (output <= 1).all())
    several = output.ndim > 1 and output.shape[-1] > 1
    if task is None:
        adds_up = several and probabilities and np.allclose(output.sum(axis=-1), 1, atol=1e-3)
        classifies = adds_up or any(part in loss for part in _CLASSIFIES)
    else:
        classifies = task == "classification"
    if not classifies:
        return None
    if several and not any(part in loss for part in _EACH_UNIT_FOR_ITSELF):
        return Decision()
    return Decision(above=0.5 if probabilities else 0.0)
