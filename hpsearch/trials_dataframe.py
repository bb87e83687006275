"""The trials of a study as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpsearch.trial_view import TrialView

if TYPE_CHECKING:
    import pandas as pd


def trials_dataframe(trials: Sequence[TrialView]) -> pd.DataFrame:
    """Returns a row for each trial: what `Study.trials_dataframe` says."""
    import pandas as pd

    rows = [
        {
            "trial": trial.number,
            "state": str(trial.state),
            **{f"params.{name}": value for name, value in trial.params.items()},
            **{f"metrics.{name}": value for name, value in trial.metrics.items()},
            **{f"metrics.{name}_std": spread.std for name, spread in trial.spreads.items()},
            **{f"metrics.{name}_se": spread.error for name, spread in trial.spreads.items()},
            "epochs": trial.epochs,
            "best_epoch": trial.best_epoch,
            "duration_s": trial.duration_s,
            "started_at": trial.started_at,
            "attempts": trial.attempts,
            "feasible": trial.feasible,
            "failure": str(trial.failure.kind) if trial.failure else None,
            "cause": trial.failure.cause if trial.failure else None,
        }
        for trial in trials
    ]
    columns = ("state", "params.", "metrics.", "epochs", "best_epoch", "duration_s", "started_at")
    order = [*columns, "attempts", "feasible", "failure", "cause"]
    names = list(dict.fromkeys(name for row in rows for name in row if name != "trial"))

    def place(name: str) -> int:
        return next(i for i, prefix in enumerate(order) if name == prefix or name.startswith(prefix))

    frame = pd.DataFrame(rows, columns=["trial", *sorted(names, key=place)])
    return frame.set_index("trial")
