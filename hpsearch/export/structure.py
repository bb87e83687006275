"""What a `.tflite` file computes, but for the numbers that were learned."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS_AND_NAMES = {
    "name",
    "description",
    "metadata",
    "metadataBuffer",
    "signatureDefs",
    "version",
    "quantization",
    "buffers",
    "buffer",
}


def structure_of(file: Path) -> str:
    """Returns a digest of a file's operators, their options, and the shapes and types they work on.

    Files of one structure take as long to run: they differ in weights, scales and names only. Dropout, say,
    leaves no trace in them.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    return hashlib.sha256(json.dumps(_plain(model), sort_keys=True).encode()).hexdigest()


def _plain(part: Any) -> Any:
    if isinstance(part, np.ndarray | np.generic):
        return part.tolist()
    if isinstance(part, bytes):
        return part.decode(errors="replace")
    if isinstance(part, list | tuple):
        return [_plain(each) for each in part]
    if hasattr(part, "__dict__"):
        return {name: _plain(each) for name, each in vars(part).items() if name not in _NUMBERS_AND_NAMES}
    return part
