"""From a study to the jobs that export a trial's model, and what is said of those that fail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpsearch.errors import StudyError, fault
from hpsearch.experiment import Experiment
from hpsearch.export import formats
from hpsearch.study import Study
from hpsearch.study_folder import StudyFolder
from hpsearch.trial import CALIBRATION_FILE, TRUTH_FILE, DataSummary, Export, Failure


def export_jobs(
    study: Study, experiment: Experiment, outputs: Mapping[str, str | Path | None], *, trial: int | None
) -> list[Export]:
    """Returns the jobs that export a trial's model, one a format.

    Args:
        study: A study whose search has ended.
        experiment: Its experiment; `export` says how.
        outputs: The file to write, by format; None: in the study's folder.
        trial: Its number. Default: the champion.

    Raises:
        StudyError: The study has no champion yet, or no such trial with a model.
        UsageError: There is no such format, or a file has another ending.
    """
    number = exported_trial(study, trial)
    study.model_file(number)
    samples = (study.champion or {})["samples"]
    data = DataSummary(**{**study.facts["data"], "class_names": tuple(study.facts["data"]["class_names"])})
    jobs = []
    for fmt, output in outputs.items():
        default = study.files.champion / file_name(study.name, number, fmt)
        target = Path(output).absolute() if output else default
        formats.check_target(fmt, target)
        jobs.append(export_job(experiment, study.files, data, number, samples, target, fmt))
    return jobs


def exported_trial(study: Study, trial: int | None) -> int:
    """Returns the number of the trial to export: the champion's, unless another is named.

    Raises:
        StudyError: The search has not ended, so that there are no samples to check a file on.
    """
    if (record := study.champion) is None:
        what = "nothing to export yet: the search has not ended"
        raise StudyError(fault(f"study {study.name}", what, advice="Run it to its end: `hpsearch run`."))
    return int(record["trial"]) if trial is None else trial


def file_name(study: str, trial: int, fmt: str) -> str:
    """Returns what an exported file is called where nobody says.

    Raises:
        UsageError: There is no such format.
    """
    return f"{study}-{trial:04d}-{fmt}{formats.find(fmt).suffix}"


def export_job(
    experiment: Experiment,
    folder: StudyFolder,
    data: DataSummary,
    trial: int,
    samples: str,
    target: Path,
    fmt: str,
) -> Export:
    """Returns the job that exports a trial's model, as the experiment's `export` says.

    Args:
        experiment: The experiment.
        folder: Of the study.
        data: What the model was trained on.
        trial: Its number.
        samples: What the test evaluation wrote.
        target: The file to write.
        fmt: Its format.
    """
    section = experiment.export

    def beside(name: str) -> str | None:
        file = Path(samples).with_name(name)
        return str(file) if file.exists() else None  # studies of earlier versions have none

    return Export(
        model=str(folder.model(trial)),
        samples=samples,
        target=str(target),
        format=fmt,
        tolerance=section.tolerance,
        min_agreement=section.min_agreement,
        max_loss=section.max_loss,
        task=data.task,
        class_names=data.class_names,
        truth=beside(TRUTH_FILE),
        calibration=beside(CALIBRATION_FILE),
        integer_io=section.integer_io,
        measure=section.measure,
        source={"study": folder.name, "trial": str(trial), "data": data.name, "data_digest": data.digest},
    )


def refusal(study: str, trial: int, failures: Mapping[str, Failure], advice: str | None = None) -> str:
    """Says which files are not right, and were therefore not written; failures are by format."""
    names = ", ".join(failures)
    what = f"trial {trial} could not be exported as {names}, so no such file was written"
    causes = [failure.cause for failure in failures.values()]
    received = (
        causes[0] if len(failures) == 1 else " ".join(map(": ".join, zip(failures, causes, strict=True)))
    )
    return fault(f"study {study}", what, received=received, advice=advice)
