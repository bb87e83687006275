"""What `hpsearch serve` can be given: a folder, a file, a registered model, a study."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hpsearch import assemble
from hpsearch.deployment.description import describe
from hpsearch.deployment.litert_runtime.model import DESCRIPTION, Model
from hpsearch.deployment.registered import PREFIX, download
from hpsearch.deployment.verified import Verified, of_study, open_verified
from hpsearch.errors import ExportError, StudyError, UsageError, fault
from hpsearch.experiment import Experiment
from hpsearch.study import Study

CHAMPION = "champion"


def open_model(
    target: str | None, *, workdir: Path | None, trial: int | None, fmt: str | None, uri: str
) -> Model:
    """Opens a model to serve.

    Args:
        target: A packaged folder, a `.tflite` file beside its record, a registered model
            (`models:/name@champion`, `models:/name/2`), or a study by its name, folder or experiment file.
            Default, and `champion` alone: the study that changed last.
        workdir: Where studies are kept. Default: what the experiment file says, or `runs`.
        trial: Of a study. Default: the champion.
        fmt: Of a study or a registered model. Default: the first that LiteRT runs.
        uri: Of the store of registered models.

    Raises:
        UsageError: There is nothing of that name, or something else than a model.
        ExportError: The file is not the one that was verified.
    """
    if target is None:
        return _opened(of_study(_study(None, workdir), trial=trial, fmt=fmt))
    if (Path(target) / DESCRIPTION).is_file():
        _refuse_choice(target, trial=trial, fmt=fmt)
        return _packaged(Path(target))
    if Path(target).suffix == ".tflite":
        _refuse_choice(target, trial=trial, fmt=fmt)
        return _opened(open_verified(Path(target)))
    if target.startswith(PREFIX):
        _refuse_choice(target, trial=trial)
        with tempfile.TemporaryDirectory(prefix="hpsearch-serve-") as folder:
            return _opened(download(target, Path(folder), uri=uri, fmt=fmt))
    return _opened(of_study(_study(target, workdir), trial=trial, fmt=fmt))


def _refuse_choice(target: str, *, trial: int | None, fmt: str | None = None) -> None:
    for option, value in (("--trial", trial), ("--format", fmt)):
        if value is not None:
            what = "there is nothing to choose from: this is a single model"
            raise UsageError(fault(f"{option} {value}", what, received=target))


def _opened(verified: Verified) -> Model:
    try:
        return Model(verified.file.read_bytes(), describe(verified))
    except ValueError as failure:
        raise ExportError(fault(str(verified.file), "cannot be run", received=str(failure))) from failure


def _packaged(folder: Path) -> Model:
    try:
        return Model.load(folder)
    except (OSError, KeyError, ValueError) as failure:
        advice = "Make it again: `hpsearch package --force`."
        what = "the package cannot be read"
        raise UsageError(fault(str(folder), what, received=str(failure), advice=advice)) from failure


def _study(target: str | None, workdir: Path | None) -> Study:
    if target is not None and Path(target).suffix in (".yaml", ".yml"):
        experiment = Experiment.load(target)
        return assemble.open_study(experiment.name, workdir or experiment.workdir)
    try:
        return assemble.open_study(target, workdir or "runs")
    except StudyError:
        if target != CHAMPION:
            raise
        return assemble.open_study(None, workdir or "runs")
