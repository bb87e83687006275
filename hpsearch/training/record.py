"""The files a trial leaves in its folder, and the one that lets a finished trial be told again.

`result.json` is written last. If the driver dies after that and before it has noted the outcome, it
submits the trial again; the worker then tells what happened instead of training once more.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.files import write_text
from hpsearch.trial import CHECKPOINTS_FOLDER, Epoch, Result, TrialSpec, Value

if TYPE_CHECKING:
    from hpsearch.experiment import Experiment

HISTORY, PARAMS, RESULT = "history.csv", "params.json", "result.json"
TENSORBOARD = "tensorboard"
"""Folder that is no part of the result, as the checkpoints are: both stay where they are."""
FORMAT = 1


def write_history(folder: Path, epochs: Sequence[Epoch]) -> str:
    """Writes one line an epoch, with every metric in a column; returns the file's name."""
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *names])
    for epoch in epochs:
        writer.writerow([epoch.number, *(epoch.metrics.get(name, "") for name in names)])
    write_text(folder / HISTORY, text.getvalue())
    return HISTORY


def write_params(folder: Path, params: Mapping[str, Value]) -> str:
    """Writes the hyperparameters by their names; returns the file's name."""
    write_text(folder / PARAMS, json.dumps(dict(params), indent=2) + "\n")
    return PARAMS


def read_params(folder: Path) -> dict[str, Value]:
    """Returns what `write_params` wrote; empty if there is nothing.

    Raises:
        ValueError: The file is not JSON.
    """
    file = folder / PARAMS
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def write_result(
    folder: Path,
    experiment: Experiment,
    spec: TrialSpec,
    chosen: Mapping[str, Value],
    epochs: Sequence[Epoch],
    result: Result,
) -> None:
    """Writes everything needed to tell a finished trial again.

    Args:
        folder: The trial's.
        experiment: What was trained.
        spec: As it was submitted.
        chosen: All values that the driver chose: in `spec`, or when asked.
        epochs: As they were reported.
        result: The outcome.
    """
    record = {
        "identity": identity(experiment, spec, chosen),
        "epochs": [asdict(epoch) for epoch in epochs],
        "result": asdict(result),
    }
    write_text(folder / RESULT, json.dumps(record))


def read_result(
    folder: Path, experiment: Experiment, spec: TrialSpec
) -> tuple[tuple[Epoch, ...], Result] | None:
    """Returns the epochs and the result of a trial that has finished before.

    Only if it is the same trial in every respect, if the driver has noted every value that it chose
    then (a study that lacks one could not go on as before), and if all of its files are there.

    Args:
        folder: The trial's.
        experiment: What would be trained.
        spec: As it is submitted now.

    Returns:
        None if the trial must be trained.
    """
    try:
        record = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if record["identity"] != identity(experiment, spec, spec.params):
            return None
        epochs = tuple(Epoch(**entry) for entry in record["epochs"])
        result = Result.from_dict(record["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (epochs, result) if all((folder / name).is_file() for name in result.files) else None


def forget_result(folder: Path) -> None:
    """Removes an earlier result: from here on the folder's files are another run's."""
    (folder / RESULT).unlink(missing_ok=True)


def forget_epochs(folder: Path) -> None:
    """Removes what a run adds to epoch by epoch: what an earlier one left would be taken for this one's."""
    for name in (CHECKPOINTS_FOLDER, TENSORBOARD):
        shutil.rmtree(folder / name, ignore_errors=True)


def identity(experiment: Experiment, spec: TrialSpec, chosen: Mapping[str, Value]) -> dict[str, Any]:
    """Returns what makes a trial the same: what its numbers depend on."""
    return {
        "format": FORMAT,
        "experiment": experiment.digest(),
        "cores_per_trial": experiment.resources.cores,
        "gpus_per_trial": experiment.resources.gpus_per_trial,
        "number": spec.number,
        "seed": spec.seed,
        "prunable": spec.prunable,
        "params": dict(sorted(chosen.items())),
    }
