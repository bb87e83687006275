"""A registered model's LiteRT file, fetched from MLflow: `models:/name@champion`, `models:/name/2`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.deployment.verified import FORMATS, Verified, open_verified
from hpsearch.errors import TrackingError, UsageError, fault
from hpsearch.tracking.store import connect, one_line, resolve

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "models:/"
_ADDRESS = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def download(address: str, folder: Path, *, uri: str, fmt: str | None = None) -> Verified:
    """Fetches the file of a registered model, with its record.

    Args:
        address: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
        folder: Where to.
        uri: Of the store.
        fmt: Its format. Default: the first that LiteRT runs, `float32` before others.

    Raises:
        UsageError: The address is none, or the model has no such file.
        TrackingError: There is no such model, or the store cannot be reached.
        ExportError: The file is not the one that was verified.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        expected = "models:/NAME@champion or models:/NAME/VERSION"
        raise UsageError(fault(address, "no address of a registered model", expected=expected))
    store = resolve(uri)
    if store.database is not None and not store.database.exists():
        what = f"there are no records at {store.database}"
        advice = "Go to the folder of the search, or name the store with `--uri`."
        raise TrackingError(fault("--uri", what, advice=advice))
    client = connect(store)
    try:
        place = _exports(_source(client, **parts.groupdict()), folder, store.uri)
    except Exception as error:
        raise TrackingError(fault(address, "cannot be fetched", received=one_line(error))) from error
    files: dict[str, Path] = {}
    for record in sorted(place.glob("*.tflite.json")):
        files[json.loads(record.read_text(encoding="utf-8"))["format"]] = record.with_suffix("")
    there = [each for each in FORMATS if each in files]
    if not there or (fmt is not None and fmt not in there):
        what = f"has no file in the format {fmt}" if fmt else "has no file that LiteRT runs"
        expected = f"one of {', '.join(there)}" if there else "an export, e.g. `export: {formats: [float32]}`"
        raise UsageError(fault(address, what, expected=expected, received=fmt or ", ".join(files) or "none"))
    return open_verified(files[fmt or there[0]])


def _source(client: MlflowClient, name: str, alias: str | None, version: str | None) -> str:
    if alias is not None:
        found = client.get_model_version_by_alias(name, alias)
    else:
        found = client.get_model_version(name, version or "")
    return str(found.source)


def _exports(source: str, folder: Path, uri: str) -> Path:
    from mlflow.artifacts import download_artifacts

    address: Any = f"{source.rstrip('/')}/export"
    return Path(download_artifacts(artifact_uri=address, dst_path=str(folder), tracking_uri=uri))
