"""The record beside an exported file: `<file>.json`, what someone needs who has only the two."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hpsearch.datasets.text import READING
from hpsearch.export import formats
from hpsearch.export.classes import Decision
from hpsearch.export.formats import Runner
from hpsearch.export.samples import Array, Arrays
from hpsearch.export.signature import Tensor
from hpsearch.export.verify import Comparison
from hpsearch.files import sha256_of, write_bytes, write_text
from hpsearch.trial import PREPROCESSING_FILE, VOCABULARY_FILE, Export, ExportResult


def write(
    result: ExportResult,
    job: Export,
    *,
    file: Path,
    runner: Runner,
    comparison: Comparison,
    samples: Arrays,
    classes: Mapping[str, Decision],
    refused: tuple[str, ...] = (),
) -> None:
    """Writes the record beside the target, and the vocabulary of a model that reads text.

    What made a table's columns the model's inputs is in it, as `keras.models.model_from_json` reads it.

    Args:
        result: What the export found.
        job: What was exported.
        file: The file, perhaps not yet in its place.
        runner: The file, opened: its signature.
        comparison: How far it is from Keras.
        samples: What it was compared on, by input.
        classes: How the classes are read off, for each output that tells some.
        refused: What came of the attempts before the one that gave the file.
    """
    record: dict[str, Any] = {
        "file": Path(job.target).name,
        "format": result.format,
        "size_bytes": result.size_bytes,
        "sha256": sha256_of(file),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {"file": Path(job.model).name, "sha256": sha256_of(Path(job.model))},
        "source": dict(job.source),
        "inputs": [_signature(tensor) | _range(samples[tensor.name]) for tensor in runner.inputs],
        "outputs": [
            _signature(tensor) | ({"classes": classes[tensor.name].rule()} if tensor.name in classes else {})
            for tensor in runner.outputs
        ],
        "class_names": list(job.class_names),
        "comparison": {"samples": result.samples, **_limits(job), **asdict(comparison)},
        "speed": asdict(result.speed) if result.speed else None,
        "ops": list(result.ops),
        "notes": list(result.notes),
        "refused": list(refused),
        "versions": versions(job.format),
    }
    if (vocabulary := Path(job.model).with_name(VOCABULARY_FILE)).is_file():
        beside = Path(f"{job.target}.{VOCABULARY_FILE}")
        write_bytes(beside, vocabulary.read_bytes())
        record["vocabulary"] = {"file": beside.name, "reading": READING}
    if (before := Path(job.samples).with_name(PREPROCESSING_FILE)).is_file():
        record["preprocessing"] = json.loads(before.read_text(encoding="utf-8"))
    write_text(f"{job.target}.json", json.dumps(record, indent=2) + "\n")


def _limits(job: Export) -> dict[str, float]:
    """Returns what the comparison was held against."""
    if formats.find(job.format).quantized:
        return {"min_agreement": job.min_agreement, "max_loss": job.max_loss}
    return {"tolerance": job.tolerance}


def versions(fmt: str) -> dict[str, str]:
    """Returns the versions that made and ran a file of a format."""
    import keras
    import tensorflow as tf

    extra = ("tf2onnx", "onnx", "onnxruntime") if fmt == "onnx" else ()
    return {
        "hpsearch": version("hpsearch"),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ai-edge-litert": version("ai-edge-litert"),
        **{name: version(name) for name in extra},
    }


def _range(array: Array) -> dict[str, list[float]]:
    """Returns the least and the largest value: on which scale the model takes its inputs."""
    return {"range": [float(array.min()), float(array.max())]}


def _signature(tensor: Tensor) -> dict[str, Any]:
    described: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}
    if tensor.scale is not None:
        described |= {"scale": tensor.scale, "zero_point": tensor.zero_point}
    return described
