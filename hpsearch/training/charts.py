"""The pictures that every trial leaves: its learning curves, and the confusion matrix of its best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpsearch.training.canvas import Canvas, Point, text_width
from hpsearch.training.metrics import CLASSES_SHOWN, confusion_matrix
from hpsearch.trial import Epoch

if TYPE_CHECKING:
    from hpsearch.training.outputs import Judged

TRAIN, VALIDATION, MARK, INK, GRID = "#7a8ca3", "#1f5fbf", "#d1495b", "#30363d", "#e4e7eb"
PANEL = (506, 384)
"""Pixels of one metric's curves."""
LEFT, TOP, RIGHT, BOTTOM = 68, 44, 22, 70
"""Margins of a panel."""
MOST_MARKERS = 30
WHITE, BLUE = np.array([247, 251, 255]), np.array([8, 64, 129])
"""Of a confusion matrix: none of a class's rows, all of them."""


def draw_curves(target: Path, epochs: Sequence[Epoch], objective: str, best_epoch: int) -> None:
    """Draws the loss and the objective over the epochs, in training and validation.

    Args:
        target: The picture to write.
        epochs: At least one.
        objective: Its metric; with `val_` before the name, training's is drawn beside it.
        best_epoch: The number of the epoch to mark.
    """
    bases = dict.fromkeys(["loss", objective.removeprefix("val_")])
    panels = {base: series for base in bases if (series := _series(epochs, base))}
    canvas = Canvas(PANEL[0] * max(1, len(panels)), PANEL[1])
    for place, (base, series) in enumerate(panels.items()):
        _draw_panel(canvas, place * PANEL[0], base, series, len(epochs), best_epoch)
    canvas.save(target)


def _draw_panel(
    canvas: Canvas, offset: int, title: str, series: dict[str, list[Point]], epochs: int, best_epoch: int
) -> None:
    left, right, top, bottom = offset + LEFT, offset + PANEL[0] - RIGHT, TOP, PANEL[1] - BOTTOM
    first, last = (1, epochs) if epochs > 1 else (0, 2)
    values = [value for points in series.values() for _, value in points]
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) or abs(high) / 10 or 1.0
    low, high = low - margin, high + margin

    def place(point: Point) -> Point:
        number, value = point
        x = left + 12 + (right - left - 24) * (number - first) / (last - first)
        return (x, bottom - (bottom - top) * (value - low) / (high - low))

    marks, label = _ticks(low, high)
    for value in marks:
        y = place((first, value))[1]
        canvas.line([(left, y), (right, y)], GRID)
        canvas.text((left - 8, y), label(value), INK, anchor="rm")
    for number in _whole_ticks(first, last) if epochs > 1 else (1,):
        x = place((number, low))[0]
        canvas.line([(x, top), (x, bottom)], GRID)
        canvas.text((x, bottom + 14), str(number), INK)
    canvas.line([(left, top), (left, bottom), (right, bottom)], INK)
    canvas.text(((left + right) / 2, bottom + 35), "epoch", INK, 14)
    canvas.text(((left + right) / 2, top - 20), title, INK, 15)
    if 1 <= best_epoch <= epochs:
        x = place((best_epoch, low))[0]
        canvas.dotted((x, top), (x, bottom), MARK)
    for name, points in series.items():
        color, width = (VALIDATION, 2.6) if name == "validation" else (TRAIN, 2.0)
        canvas.line([place(point) for point in points], color, width)
        if epochs <= MOST_MARKERS:
            for point in points:
                canvas.disc(place(point), 2.8, color)
        for point in points:
            if name == "validation" and point[0] == best_epoch:
                x, y = place(point)
                canvas.ring((x, y), 7, MARK)
                canvas.text((x, y - 16), f"{point[1]:.4g}", MARK)
    _draw_legend(canvas, right, series, best_epoch)


def _draw_legend(canvas: Canvas, right: int, series: dict[str, list[Point]], best_epoch: int) -> None:
    """In one line under the axis, where no curve runs; from right to left."""
    x, y = float(right), PANEL[1] - 12
    for name, color in (
        (f"best epoch ({best_epoch})", MARK),
        ("validation", VALIDATION),
        ("training", TRAIN),
    ):
        if color == MARK or name in series:
            canvas.text((x, y), name, INK, 11, "rm")
            x -= text_width(name, 11) + 8
            canvas.line([(x - 18, y), (x, y)], color, 2.0)
            x -= 18 + 16


def draw_confusion(target: Path, judged: Judged, title: str) -> None:
    """Draws how many rows of each class were taken for which.

    Args:
        target: The picture to write.
        judged: Truth and predictions; of classes.
        title: What they are of.
    """
    names = list(judged.target.class_names)
    classes = max(len(names), 1 + int(max(judged.truth.max(), judged.predicted.max())))
    names += map(str, range(len(names), classes))
    counts = confusion_matrix(judged.truth, judged.predicted, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = classes <= CLASSES_SHOWN
    short = [name if len(name) <= 14 else name[:13] + "…" for name in names] if few else []
    longest = max((text_width(name, 12) for name in short), default=0)
    upright = longest > 40  # names too wide for a column are written upwards
    cell = 46 if few else 550 / classes
    side = round(cell * classes)
    heading = f"{title}: {counts.trace() / counts.sum():.2%} of {counts.sum():,} right"
    left, top = round(48 + longest), 44
    width = round(max(left + side + 24, text_width(heading, 15) + 24))
    canvas = Canvas(width, round(top + side + 56 + (longest if upright else 14)))
    canvas.tiles((left, top), side, np.rint(WHITE + (BLUE - WHITE) * shares[..., None]).astype(np.uint8))
    for row, column in np.argwhere(counts).tolist() if few else []:
        middle = (left + (column + 0.5) * cell, top + (row + 0.5) * cell)
        ink = "white" if shares[row, column] > 0.55 else INK
        canvas.text(middle, f"{counts[row, column]:,}", ink, 12 if counts.max() < 10_000 else 10)
    for number, name in enumerate(short):
        along, below = (number + 0.5) * cell, top + side + 8
        canvas.text((left - 8, top + along), name, INK, anchor="rm")
        canvas.text((left + along, below + (longest / 2 if upright else 8)), name, INK, upwards=upright)
    edges = [(left, top), (left, top + side), (left + side, top + side)]
    canvas.line(edges, INK)
    canvas.text((left + side / 2, canvas.height - 18), "predicted", INK, 14)
    canvas.text((16, top + side / 2), "true", INK, 14, upwards=True)
    canvas.text((width / 2, 22), heading, INK, 15)
    canvas.save(target)


def _series(epochs: Sequence[Epoch], base: str) -> dict[str, list[Point]]:
    """Returns the epochs' numbers and values of a metric in training and validation, where there are any."""
    found: dict[str, list[Point]] = {}
    for label, name in (("training", base), ("validation", f"val_{base}")):
        points = [
            (float(epoch.number), epoch.metrics[name])
            for epoch in epochs
            if math.isfinite(epoch.metrics.get(name, math.nan))
        ]
        if points:
            found[label] = points
    return found


def _ticks(low: float, high: float) -> tuple[list[float], Callable[[float], str]]:
    """Returns round numbers in a range, and how to write them: all with as many digits."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(6).tick_values(low, high)
    step, largest = float(found[1] - found[0]), float(np.abs(found).max())
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    digits += not math.isclose(round(step, digits), step)
    marks = [float(value) for value in found if low <= value <= high]
    if digits > 5 or largest >= 1e6:
        return marks, lambda value: f"{value:.3g}"
    return marks, lambda value: f"{value:.{digits}f}"


def _whole_ticks(first: int, last: int) -> list[int]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(8, integer=True).tick_values(first, last)
    return [int(value) for value in found if first <= value <= last]
