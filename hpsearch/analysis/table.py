"""A study as a pandas DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.study import Study


def table(study: Study) -> pd.DataFrame:
    """Returns a row for each trial, by its number.

    Columns: `state`, `params.<name>` for each hyperparameter, `metrics.<name>` for each metric of the best
    epoch, `epochs`, `best_epoch`, `duration_s`, `started_at`, `attempts`, `failure` (kind) and `cause`.
    What a trial does not have is missing (NaN or None).

    Args:
        study: Any.
    """
    import pandas as pd

    rows = [
        {
            "trial": trial.number,
            "state": str(trial.state),
            **{f"params.{name}": value for name, value in trial.params.items()},
            **{f"metrics.{name}": value for name, value in trial.metrics.items()},
            "epochs": trial.epochs,
            "best_epoch": trial.best_epoch,
            "duration_s": trial.duration_s,
            "started_at": trial.started_at,
            "attempts": trial.attempts,
            "failure": str(trial.failure.kind) if trial.failure else None,
            "cause": trial.failure.cause if trial.failure else None,
        }
        for trial in study.trials
    ]
    columns = ("state", "params.", "metrics.", "epochs", "best_epoch", "duration_s", "started_at")
    order = [*columns, "attempts", "failure", "cause"]
    names = list(dict.fromkeys(name for row in rows for name in row if name != "trial"))

    def place(name: str) -> int:
        return next(i for i, prefix in enumerate(order) if name == prefix or name.startswith(prefix))

    frame = pd.DataFrame(rows, columns=["trial", *sorted(names, key=place)])
    return frame.set_index("trial")
