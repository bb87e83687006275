"""The same export in a process of its own, for those who have no worker.

    python -m hpsearch.export.child OUTCOME.json < REQUEST.json

A converter that takes its process down costs nothing but the child.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cloudpickle

from hpsearch.files import remove
from hpsearch.trial import Export, ExportResult, Failure, FailureKind

_TAIL = 4000
"""Characters of the child's log that a failure carries."""


def export(
    job: Export,
    *,
    imports: Sequence[str] = (),
    register: Callable[[], object] | None = None,
    expected: str | None = None,
    timeout_s: float | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> ExportResult | Failure:
    """Exports a model in a new process, without importing TensorFlow here.

    Args:
        job: What to export.
        imports: References (`package.module:name`, `path/to/file.py:name`) to import first, so that the
            model's own classes are registered.
        register: Called in the child before, to the same end; it is pickled by value. Default: nothing.
        expected: An `.npz` file of outputs that the model must give there, too; see `hpsearch.export.export`.
        timeout_s: The child is killed after so many seconds; None waits for ever.
        environment: Variables that the child has besides this process's. Default: none.

    Returns:
        What `hpsearch.export.export` returns; a `Failure` of kind `crash` if the child dies, of kind
        `timeout` if it takes too long.
    """
    request = {
        "job": asdict(job),
        "imports": list(imports),
        "register": base64.b64encode(cloudpickle.dumps(register)).decode(),
        "sys_path": [entry for entry in sys.path if isinstance(entry, str)],
        "expected": expected,
    }
    # The child's temporary files go where they are removed, whatever becomes of it.
    with tempfile.TemporaryDirectory(prefix="hpsearch-export-") as folder:
        outcome = Path(folder, "outcome.json")
        log = Path(folder, "log.txt")
        variables = {**os.environ, **environment, "TMPDIR": folder, "KERAS_BACKEND": "tensorflow"}
        with log.open("wb") as stream:
            child = subprocess.Popen(
                [sys.executable, "-m", "hpsearch.export.child", str(outcome)],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                env=variables,
            )
            try:
                child.communicate(json.dumps(request).encode(), timeout=timeout_s)
            except subprocess.TimeoutExpired:
                cause = f"The export took longer than its {timeout_s:g} s."
                return Failure(FailureKind.TIMEOUT, cause, _tail(log))
            finally:
                _bury(child, job.target)
        if outcome.is_file():
            return _outcome(json.loads(outcome.read_text(encoding="utf-8")))
        return Failure(FailureKind.CRASH, f"The converter's process {_end(child.returncode)}.", _tail(log))


def _bury(child: subprocess.Popen[bytes], target: str) -> None:
    """Ends the child if it still runs, and removes what a killed one left beside the target."""
    child.kill()
    child.wait()
    final = Path(target)
    for left in final.parent.glob(f".{child.pid}.partial.{glob.escape(final.name)}*"):
        with contextlib.suppress(OSError):
            remove(left)


def _end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL:].decode(errors="replace")


def _outcome(values: dict[str, Any]) -> ExportResult | Failure:
    if "cause" in values:
        return Failure(**{**values, "kind": FailureKind(values["kind"])})
    return ExportResult.from_dict(values)


def _main() -> None:
    from hpsearch.errors import ModelError
    from hpsearch.export import export as export_here
    from hpsearch.files import write_text
    from hpsearch.references import resolve

    request = json.load(sys.stdin)
    sys.path += [entry for entry in request["sys_path"] if entry not in sys.path]
    outcome: ExportResult | Failure
    try:
        for reference in request["imports"]:
            resolve(reference, where="import", error=ModelError)
        register = pickle.loads(base64.b64decode(request["register"]))
        if register is not None:
            register()
    except ModelError as failure:
        outcome = Failure(FailureKind.BUILD, str(failure), usage=True)
    else:
        job = Export(**{**request["job"], "class_names": tuple(request["job"]["class_names"])})
        outcome = export_here(job, expected=request["expected"])
    write_text(sys.argv[1], json.dumps(asdict(outcome)))


if __name__ == "__main__":
    _main()
