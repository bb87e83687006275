"""How to use the champion: what it takes and returns, and how to load it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.study import Study

END_TO_END = "end_to_end.keras"


def code(study: Study) -> str:
    """Returns Python and shell that load the champion, run it and pack it; empty without one."""
    champion = study.champion
    if champion is None:
        return ""
    lines = [
        "import hpsearch",
        f'model = hpsearch.open_study("{study.name}").load_model()  # of trial {champion["trial"]}, in Keras',
        "model.predict(rows)",
    ]
    if END_TO_END in champion.get("files", ()):
        lines += [
            "",
            "import keras  # in the study's folder; this one takes the data set's own columns, as they are",
            f'model = keras.models.load_model("champion/{END_TO_END}")',
        ]
    if any(Path(each["path"]).suffix == ".tflite" for each in champion.get("exports", ())):
        lines += ["", f"# hpsearch package {study.name} -o out: a folder that predicts without TensorFlow"]
    return "\n".join(lines)


def takes(study: Study) -> str:
    """Says what the champion takes and returns, as far as an exported file's record tells."""
    for each in (study.champion or {}).get("exports", ()):
        record = study.files.champion / f"{Path(each['path']).name}.json"
        if record.is_file():
            described = json.loads(record.read_text(encoding="utf-8"))
            if described.get("inputs") and described.get("outputs"):
                encoded = " (the columns, encoded)" if described.get("preprocessing") else ""
                takes, returns = _tensors(described["inputs"]), _tensors(described["outputs"])
                return f"Takes {takes}{encoded}; returns {returns}."
    return ""


def _tensors(described: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"`{each['name']}` {_shape(each['shape'])} of {each['dtype']}" for each in described)


def _shape(sizes: Iterable[int | None]) -> str:
    written = [str(size) if size is not None else "any" for size in sizes]
    written[:1] = ["batch"]
    return f"({', '.join(written)})"
