"""Pictures of what an autoencoder does: the codes of many rows, and some rows before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
COLOURS = "tab10", "tab20"
"""For up to 10, and up to 20 classes."""


def draw_codes(
    target: Path, codes: NDArray[Any], labels: NDArray[Any] | None, class_names: Sequence[str]
) -> None:
    """Draws a point a row at the first two numbers of its code.

    Args:
        target: The picture to write.
        codes: `(rows, code)`.
        labels: What gives the points their colours: class numbers `(rows,)` or one-hot rows where there
            are class names, else amounts; None for one colour.
        class_names: In the order of the class numbers; empty when the labels are amounts.
    """
    figure = _figure(6.0, 5.0)
    axes = figure.add_subplot()
    across = codes[:, 0]
    up = codes[:, 1] if codes.shape[1] > 1 else np.zeros(len(codes))
    style: dict[str, Any] = {"s": 14 if len(codes) <= 500 else 5, "alpha": 0.7, "linewidths": 0}
    if labels is not None and class_names:
        numbers = labels.argmax(axis=1) if labels.ndim == 2 else labels
        shades = _shades(len(class_names))
        for number, name in enumerate(class_names):
            chosen = numbers == number
            axes.scatter(across[chosen], up[chosen], color=shades[number], label=name, **style)
        if len(class_names) <= 20:
            axes.legend(frameon=False, fontsize=8, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    elif labels is not None and labels.ndim == 1:
        points = axes.scatter(across, up, c=labels, cmap="viridis", **style)
        figure.colorbar(points)
    else:
        axes.scatter(across, up, **style)
    axes.set_xlabel("code[0]")
    axes.set_ylabel("code[1]" if codes.shape[1] > 1 else "")
    shown = f", the first 2 of {codes.shape[1]} numbers" if codes.shape[1] > 2 else ""
    axes.set_title(f"codes of {len(codes):,} validation rows{shown}", fontsize=10)
    axes.grid(alpha=0.25)
    figure.savefig(target, metadata={"Software": None})


def draw_reconstructions(target: Path, originals: NDArray[Any], reconstructed: NDArray[Any]) -> None:
    """Draws rows above what became of them, as images where they are images or squares.

    Args:
        target: The picture to write.
        originals: `(rows, ...)`.
        reconstructed: Of the same shape.
    """
    rows = len(originals)
    figure = _figure(0.8 * rows + 0.6, 2.2)
    low, high = float(originals.min()), float(originals.max())
    for line, (label, values) in enumerate((("original", originals), ("rebuilt", reconstructed))):
        for index in range(rows):
            axes = figure.add_subplot(2, rows, line * rows + index + 1)
            picture = (np.clip(_picture(values[index]), low, high) - low) / (high - low or 1.0)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect=1.0 if len(picture) > 1 else "auto")
            axes.set_xticks([])
            axes.set_yticks([])
            if index == 0:
                axes.set_ylabel(label, fontsize=8)
    figure.savefig(target, metadata={"Software": None})


def _picture(values: NDArray[Any]) -> NDArray[Any]:
    """Returns `(height, width)`, or with 3 colours behind it; a single line if there is no other way."""
    if values.ndim == 3 and values.shape[-1] == 3:
        return values
    if values.ndim == 3:
        return np.asarray(values.mean(axis=-1))
    if values.ndim == 2:
        return values
    side = math.isqrt(values.size)
    return values.reshape((side, side) if side * side == values.size else (1, values.size))


def _shades(count: int) -> NDArray[Any]:
    from matplotlib import colormaps

    if count <= 20:
        return np.asarray(colormaps[COLOURS[count > 10]](np.arange(count)))
    return np.asarray(colormaps["turbo"](np.linspace(0, 1, count)))


def _figure(width: float, height: float) -> Figure:
    """Makes an empty figure without pyplot, so that nothing global is touched; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
