"""The worst mistakes on the test rows, for people to look at: as pictures, as text, or by their numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.files import whole, write_text

if TYPE_CHECKING:
    from hpsearch.datasets import Split
    from hpsearch.training.outputs import Judged

FILE, PICTURE = "test_mistakes.json", "test_mistakes.png"
MOST = 24
COLUMNS = 8
SMALLEST = 8
"""Side of a picture, in pixels, below which rows of numbers are taken for what they are."""
LONGEST_TEXT = 400


def write_mistakes(
    folder: Path, judged: Judged, split: Split, rows: NDArray[Any], vocabulary: Sequence[str] = ()
) -> tuple[str, ...]:
    """Writes up to 24 rows that were judged wrong, those first about which the model was surest.

    Of amounts, the rows with the largest errors.

    Args:
        folder: Where to write `test_mistakes.json` and, where the inputs are pictures, `test_mistakes.png`.
        judged: Truth and predictions, in the order of the split.
        split: What was judged.
        rows: Their numbers in the test data.
        vocabulary: Words by token id, where the inputs are token ids.

    Returns:
        The files' names; none if nothing was wrong.
    """
    worst = _worst(judged)
    if not len(worst):
        return ()
    inputs = _only(split.x)
    entries = [
        {"row": int(rows[i]), **_judgement(judged, i), **_text(inputs, i, vocabulary)} for i in worst.tolist()
    ]
    write_text(folder / FILE, json.dumps(entries, indent=2) + "\n")
    pictures = None if vocabulary or inputs is None else _pictures(inputs, worst)
    if pictures is None:
        return (FILE,)
    captions = [f"{e['truth']} → {e['prediction']}" for e in entries]
    _draw(folder / PICTURE, pictures, captions)
    return FILE, PICTURE


def _worst(judged: Judged) -> NDArray[Any]:
    """Returns the rows in question, the worst first."""
    if judged.confidence is not None:
        wrong = np.flatnonzero(judged.truth != judged.predicted)
        order = np.argsort(-judged.confidence[wrong], kind="stable")
        return wrong[order][:MOST]
    error = np.abs(judged.predicted - judged.truth).reshape(len(judged.truth), -1).max(axis=1)
    return np.argsort(-error, kind="stable")[:MOST]


def _judgement(judged: Judged, row: int) -> dict[str, Any]:
    truth, predicted = judged.truth[row], judged.predicted[row]
    if judged.confidence is not None:
        names = judged.target.class_names
        said = [str(names[n]) if n < len(names) else str(n) for n in (int(truth), int(predicted))]
        return {"truth": said[0], "prediction": said[1], "confidence": float(judged.confidence[row])}
    if np.size(truth) == 1:
        return {"truth": f"{float(truth.item()):.6g}", "prediction": f"{float(predicted.item()):.6g}"}
    rmse = float(np.sqrt(np.mean((predicted - truth) ** 2)))
    return {"truth": f"{np.size(truth)} numbers", "prediction": f"off by {rmse:.4g} (RMSE)"}


def _only(x: Any) -> Any:
    """Returns the inputs, if there is one array of them in memory."""
    if isinstance(x, dict):
        x = next(iter(x.values())) if len(x) == 1 else None
    return x if isinstance(x, np.ndarray) else None


def _text(inputs: Any, row: int, vocabulary: Sequence[str]) -> dict[str, str]:
    """Returns the text of a row: as it is, or of its token ids."""
    if inputs is None or inputs.ndim not in (1, 2):
        return {}
    if inputs.dtype.kind in "US":
        return {"text": str(np.ravel(inputs[row])[0])[:LONGEST_TEXT]}
    if not vocabulary or inputs.ndim != 2:
        return {}
    words = [vocabulary[token] for token in inputs[row].astype(int).tolist() if 0 < token < len(vocabulary)]
    return {"text": " ".join(words)[:LONGEST_TEXT]}


def _pictures(inputs: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any] | None:
    """Returns the rows as pictures `(rows, height, width[, 3])` in 0..1; None if they are none."""
    shape = inputs.shape[1:]
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    flat = len(shape) == 1 and side**2 == shape[0] and np.abs(inputs[:256]).max() <= 1
    if flat:
        shape = (side, side)
    if len(shape) not in (2, 3) or min(shape[:2]) < SMALLEST or (len(shape) == 3 and shape[2] not in (1, 3)):
        return None
    chosen = inputs[rows].astype(np.float32).reshape(len(rows), *shape)
    if chosen.shape[-1] == 1 and chosen.ndim == 4:
        chosen = chosen[..., 0]
    low, high = chosen.min(), chosen.max()
    return (chosen - low) / (high - low) if high > low else None


def _draw(target: Path, pictures: NDArray[Any], captions: Sequence[str]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(pictures))
    lines = -(-len(pictures) // columns)
    figure = Figure(figsize=(1.25 * columns, 1.55 * lines), dpi=100)
    FigureCanvasAgg(figure)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True), start=1):
        axes = figure.add_subplot(lines, columns, place)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(caption if len(caption) <= 18 else caption[:17] + "…", fontsize=7, pad=2)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.93, 0.05, 0.25)
    with whole(target) as path:
        figure.savefig(path, metadata={"Software": None})
