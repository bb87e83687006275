"""Pictures that are drawn seldom, or of many points: predicted against true values, rates tried.

Drawn on Matplotlib's canvas without pyplot, so that nothing global is touched and no window opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.files import whole
from hpsearch.training.charts import INK, MARK, TRAIN, VALIDATION, draw_confusion
from hpsearch.trial import RateRangeResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hpsearch.training.outputs import Judged

DPI = 110
POINTS_SHOWN = 5_000


def draw_rates(target: Path, test: RateRangeResult) -> None:
    """Draws the loss over the learning rate, and what is suggested.

    Args:
        target: The picture to write.
        test: At least one step of it.
    """
    figure = _figure(5.6, 3.6)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.plot(test.rates, test.losses, ".", color=TRAIN, alpha=0.45, markersize=4, label="batches")
    axes.plot(test.rates, test.smoothed, color=VALIDATION, linewidth=1.8, label="smoothed")
    if test.low is not None and test.high is not None and test.suggestion is not None:
        axes.axvspan(test.low, test.high, color=VALIDATION, alpha=0.08, linewidth=0, label="range to search")
        level = test.smoothed[test.rates.index(test.suggestion)]
        label = f"suggestion ({test.suggestion:.2g})"
        axes.plot([test.suggestion], [level], "o", markersize=9, color=MARK, fillstyle="none", label=label)
    low, high = min(test.losses), max(test.smoothed)
    margin = 0.06 * (high - low) or 1.0  # a few losses far above the curve would flatten it
    axes.set_ylim(low - margin, high + 4 * margin)
    axes.set_title(f"{test.optimizer}, batches of {test.batch_size}")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, target)


def draw_judged(target: Path, judged: Judged, title: str) -> None:
    """Draws a confusion matrix for classes, predicted against true values for amounts.

    Args:
        target: The picture to write.
        judged: Truth and predictions.
        title: What they are of.
    """
    if judged.confidence is None:
        _draw_scatter(target, judged.truth, judged.predicted, title)
    else:
        draw_confusion(target, judged, title)


def _draw_scatter(target: Path, truth: NDArray[Any], predicted: NDArray[Any], title: str) -> None:
    truth, predicted = truth.ravel(), predicted.ravel()
    if len(truth) > POINTS_SHOWN:
        rows = np.linspace(0, len(truth) - 1, POINTS_SHOWN).astype(int)
        truth, predicted = truth[rows], predicted[rows]
    figure = _figure(4.8, 4.6)
    axes = figure.add_subplot()
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axes.plot([low, high], [low, high], color=MARK, linewidth=1, linestyle=":", label="predicted = true")
    axes.scatter(
        truth, predicted, s=14 if len(truth) <= 500 else 5, color=VALIDATION, alpha=0.5, linewidths=0
    )
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    _save(figure, target)


def _figure(
    width: float,
    height: float,
    *,
    left: float = 0.62,
    bottom: float = 0.55,
    right: float = 0.2,
    top: float = 0.4,
) -> Figure:
    """Makes an empty figure; sizes and margins in inches.

    Matplotlib's own layout engines measure every text first, which takes as long as the drawing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, wspace=0.2)
    return figure


def _save(figure: Figure, target: Path) -> None:
    for axes in figure.axes:
        axes.tick_params(labelsize=8, colors=INK)
        axes.title.set_fontsize(10)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_fontsize(9)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with whole(target) as path:
        figure.savefig(path, metadata={"Software": None})
