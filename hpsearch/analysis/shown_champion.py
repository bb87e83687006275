"""What a report shows of the champion: its pictures, test metrics, worst mistakes and files."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.writing import number, score

if TYPE_CHECKING:
    from hpsearch.analysis.evidence import Interval
    from hpsearch.study import Study

TESTS = 24
SAME = {"test_mean_absolute_error": "test_mae", "test_root_mean_squared_error": "test_rmse"}
"""What Keras names otherwise."""


def pictures(study: Study) -> Iterator[dict[str, str]]:
    """Yields the winner's learning curves and what the test evaluation drew."""
    best = study.best[0] if study.best else None
    if best is None:
        return
    curves = study.folder / "trials" / f"{best.number:04d}" / "curves.png"
    if curves.is_file():
        yield {"title": f"Learning curves of trial {best.number}", "source": _inline(curves)}
    for file in sorted((study.folder / "champion").glob("test_*.png")):
        if study.champion is not None and file.name != "test_mistakes.png":
            yield {"title": file.stem.replace("_", " "), "source": _inline(file)}


def tests(study: Study, intervals: Mapping[str, Interval]) -> Iterator[dict[str, str]]:
    """Yields the test metrics, each once, with their intervals."""
    tested = (study.champion or {}).get("test", {})
    once = {name: value for name, value in tested.items() if SAME.get(name) not in tested}
    for name, value in list(once.items())[:TESTS]:
        interval = intervals.get(name)
        written = f"{score(interval.low)} to {score(interval.high)}" if interval else ""
        yield {"name": name, "value": score(value), "interval": written}


def alike(mistakes: list[dict[str, Any]]) -> str:
    """Says if half of the worst mistakes or more are about one and the same truth."""
    if not mistakes:
        return ""
    truth, count = Counter(str(each["truth"]) for each in mistakes).most_common(1)[0]
    return f"Of these {len(mistakes)}, {count} have the truth {truth}." if count * 2 >= len(mistakes) else ""


def worst_mistakes(study: Study) -> tuple[list[dict[str, Any]], str]:
    """Returns the mistakes, and a picture of them; empty where there is none."""
    file = study.folder / "champion" / "test_mistakes.json"
    if study.champion is None or not file.is_file():
        return [], ""
    entries = [{"text": "", **entry} for entry in json.loads(file.read_text(encoding="utf-8"))]
    for entry in entries if study.facts["data"]["task"] == "regression" else ():
        with suppress(ValueError):  # several amounts
            entry["error"] = number(float(entry["prediction"]) - float(entry["truth"]))
    picture = file.with_suffix(".png")
    return entries, _inline(picture) if picture.is_file() else ""


def exported(export: Mapping[str, Any]) -> str:
    """Describes an exported file."""
    name, kib = Path(export["path"]).name, export["size_bytes"] / 1024
    difference = f"largest difference to Keras {export['largest_difference']:.1e}"
    return f"{export['format']}: champion/{name}, {kib:.0f} KiB, {difference}"


def _inline(file: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
