"""`hpsearch package`: a folder ready to deploy."""

from __future__ import annotations

from pathlib import Path

from hpsearch.cli import documents
from hpsearch.cli.studies import open_study


def package(
    name: str | None,
    workdir: Path | None,
    output: Path,
    *,
    trial: int | None,
    fmt: str | None,
    with_c_array: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Writes the folder and prints what to do with it.

    Raises:
        StudyError: The study has no champion yet, or no such trial with a model.
        UsageError: LiteRT does not run the format, or the folder is not empty.
        ExportError: The file is not right, or not the one that was verified.
    """
    from hpsearch.deployment.package import check_output, write_package
    from hpsearch.deployment.verified import of_study

    check_output(output, force=force)  # before an export, which takes its time
    verified = of_study(open_study(name, workdir), trial=trial, fmt=fmt)
    files = write_package(verified, output, with_c_array=with_c_array, force=force)
    if as_json:
        record = verified.record
        facts = {"format": record["format"], "sha256": record["sha256"], "size_bytes": record["size_bytes"]}
        documents.write_json({"folder": str(output), "files": list(files), **facts})
        return
    print(f"{output} ({verified.record['format']}, {verified.record['size_bytes'] / 1024:.1f} KiB)")
    print(f"run    pip install -r {output}/requirements.txt; python {output}/predict.py")
    print(f"serve  hpsearch serve {output}, or what {output}/README.md says of Docker, Kubernetes, Cloud Run")
