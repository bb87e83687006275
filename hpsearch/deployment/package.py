"""A folder ready to deploy: the verified file, what runs it, and what ships that.

model.tflite, model.json     the file; what it takes, gives and scores
predict.py, serve.py         a command line, and a service over HTTP
litert_runtime/              what both do; needs Python, NumPy and ai-edge-litert (the service FastAPI)
requirements*.txt            the packages
Dockerfile, kubernetes.yaml, cloudrun.yaml    the service in a container
MLmodel, python_env.yaml     the folder as a model of MLflow
model_data.cc, .h            the file as an array of C, if asked for
README.md                    how to use it, and the measured numbers
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.deployment import mlmodel
from hpsearch.deployment.c_array import NAME, ON_MICROCONTROLLERS, c_array, identifier
from hpsearch.deployment.description import FILE, describe
from hpsearch.deployment.litert_runtime.inputs import TEXT, kind, names, shape_of
from hpsearch.deployment.litert_runtime.model import DESCRIPTION
from hpsearch.deployment.verified import Verified
from hpsearch.errors import UsageError, fault
from hpsearch.files import remove, whole_folder, write_bytes

_HERE = Path(__file__).parent
RUNTIME = "litert_runtime"
_C_ARRAY = (f"{NAME}.cc", f"{NAME}.h")


def write_package(
    verified: Verified, output: Path, *, with_c_array: bool = False, force: bool = False
) -> tuple[str, ...]:
    """Writes the folder.

    Args:
        verified: The file.
        output: The folder, which must be new or empty.
        with_c_array: Whether to write the file as an array of C, too.
        force: Whether to write over an earlier package; other files in the folder stay.

    Returns:
        The names of the files.

    Raises:
        UsageError: The folder is not empty, or cannot be written.
        ExportError: The vocabulary of a model of text is missing.
    """
    check_output(output, force=force)
    files = _contents(verified, with_c_array=with_c_array)
    try:
        if output.is_dir():
            for name in (
                DESCRIPTION,
                *_C_ARRAY,
            ):  # without its description it is no package, until it is whole
                remove(output / name)
            for name, content in files.items():
                write_bytes(output / name, content)
        else:
            with whole_folder(output.absolute()) as folder:
                for name, content in files.items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(content)
    except OSError as failure:
        received = failure.strerror or str(failure)
        raise UsageError(fault(str(output), "the folder cannot be written", received=received)) from failure
    return tuple(files)


def check_output(output: Path, *, force: bool) -> None:
    """Makes sure that a package may be written there.

    Raises:
        UsageError: Something is there: anything, or with `force` something else than a package.
    """
    expected = "a folder that is new or empty"
    if output.exists() and not output.is_dir():
        raise UsageError(fault(str(output), "is a file", expected=expected))
    there = sorted(each.name for each in output.iterdir()) if output.is_dir() else []
    if there and not force:
        advice = "`--force` writes over an earlier package."
        received = ", ".join(there[:5])
        raise UsageError(
            fault(str(output), "is not empty", expected=expected, received=received, advice=advice)
        )
    if there and DESCRIPTION not in there:
        what = f"holds something else than a package (there is no {DESCRIPTION})"
        received = ", ".join(there[:5])
        raise UsageError(fault(str(output), what, expected=expected, received=received))


def _contents(verified: Verified, *, with_c_array: bool) -> dict[str, bytes]:
    description = describe(verified)
    content = verified.file.read_bytes()
    texts = {f"{RUNTIME}/{path.name}": path.read_text(encoding="utf-8") for path in _runtime()}
    facts = _facts(description, with_c_array=with_c_array)
    texts |= {path.stem: _render(path, facts) for path in sorted((_HERE / "templates").glob("*.j2"))}
    texts |= mlmodel.files(description)
    if with_c_array:
        texts |= c_array(content, description)
    # The last: with its description it is a package.
    texts[DESCRIPTION] = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    return {FILE: content, **{name: text.encode() for name, text in texts.items()}}


def _runtime() -> list[Path]:
    return sorted(path for path in (_HERE / RUNTIME).iterdir() if path.suffix in (".py", ".html"))


def _facts(description: Mapping[str, Any], *, with_c_array: bool) -> dict[str, Any]:
    """Returns what the templates are filled in with."""
    versions = description["versions"]
    return {
        "model": description,
        "label": _label(description["name"]),
        "tag": description["sha256"][:12],
        "python": ".".join(str(versions.get("python", "3.11")).split(".")[:2]),
        "litert": versions["ai-edge-litert"],
        "c_array": identifier(description["name"]) if with_c_array else None,
        "on_microcontrollers": description["format"] in ON_MICROCONTROLLERS,
        "memory_mib": _memory_mib(description),
        "shape": shape_of,
        "call": _call(description),
    }


def _memory_mib(description: Mapping[str, Any]) -> int:
    """Returns what a container needs: Python and the service, and an interpreter for each of a few cores."""
    speed = description["speed"] or {}
    interpreter_kib = int(speed.get("memory_kib") or 4 * description["size_bytes"] // 1024)
    return 128 + 64 * -(-4 * interpreter_kib // 1024 // 64)


def _call(description: Mapping[str, Any]) -> str:
    """Returns what to give `Model.predict`, as a line of Python."""
    if kind(description) == "text":
        return f'{{"{TEXT}": ["some text"]}}'
    rows = "[...]" if kind(description) == "columns" else "rows"
    return f"{{{', '.join(f'{json.dumps(name)}: {rows}' for name in names(description))}}}"


def _label(name: str) -> str:
    """Returns a name that Kubernetes and Cloud Run accept: lower case, digits, hyphens; a letter first."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (label if label[:1].isalpha() else f"model-{label}")[:49].strip("-")


def _render(template: Path, facts: Mapping[str, Any]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(template.read_text(encoding="utf-8")).render(facts)
