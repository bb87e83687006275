"""Pictures of a trial: learning curves, confusion matrix, predicted against true values; of rates tried.

Drawn on Matplotlib's canvas without pyplot, so that nothing global is touched and no window opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.files import whole
from hpsearch.training.metrics import CLASSES_SHOWN, confusion_matrix
from hpsearch.trial import Epoch, RateRangeResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hpsearch.training.outputs import Judged

DPI = 110
TRAIN, VALIDATION, MARK, INK = "#7a8ca3", "#1f5fbf", "#d1495b", "#30363d"
POINTS_SHOWN = 5_000


def draw_curves(target: Path, epochs: Sequence[Epoch], objective: str, best_epoch: int) -> None:
    """Draws the loss and the objective over the epochs, in training and validation.

    Args:
        target: The picture to write.
        epochs: At least one.
        objective: Its metric; with `val_` before the name, training's is drawn beside it.
        best_epoch: The number of the epoch to mark.
    """
    from matplotlib.ticker import MaxNLocator

    shown = [
        base for base in dict.fromkeys(["loss", objective.removeprefix("val_")]) if _series(epochs, base)
    ]
    figure = _figure(4.6 * max(1, len(shown)), 3.4)
    for place, base in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), place)
        for label, (numbers, values) in _series(epochs, base).items():
            of_validation = label == "validation"
            axes.plot(
                numbers,
                values,
                color=VALIDATION if of_validation else TRAIN,
                marker="o" if len(numbers) <= 30 else None,
                markersize=3,
                linewidth=1.8 if of_validation else 1.4,
                label=label,
            )
            if of_validation and best_epoch in numbers:
                best = values[numbers.index(best_epoch)]
                axes.plot([best_epoch], [best], "o", markersize=9, markerfacecolor="none", color=MARK)
                axes.annotate(
                    f"{best:.4g}",
                    (best_epoch, best),
                    textcoords="offset points",
                    xytext=(0, 9),
                    ha="center",
                    color=MARK,
                    fontsize=8,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )
        axes.axvline(best_epoch, color=MARK, linewidth=0.8, linestyle=":", label=f"best epoch ({best_epoch})")
        axes.set_title(base)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.03 if len(epochs) > 1 else 1, y=0.12)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    _save(figure, target)


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
        _draw_confusion(target, judged, title)


def _draw_confusion(target: Path, judged: Judged, title: str) -> None:
    names = list(judged.target.class_names)
    classes = max(len(names), 1 + int(max(judged.truth.max(), judged.predicted.max())))
    names += map(str, range(len(names), classes))
    counts = confusion_matrix(judged.truth, judged.predicted, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = classes <= CLASSES_SHOWN
    short = [name if len(name) <= 14 else name[:13] + "…" for name in names] if few else []
    longest = max(map(len, short), default=3)
    side = max(3.0, 0.42 * classes) if few else 5.0
    left, bottom, right = 0.6 + 0.075 * longest, 0.6 + 0.06 * longest, 0.3 if few else 0.9
    figure = _figure(left + side + right, bottom + side + 0.4, left=left, bottom=bottom, right=right)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if few:
        for row, column in np.argwhere(counts):
            axes.text(
                column,
                row,
                f"{counts[row, column]:,}",
                ha="center",
                va="center",
                fontsize=8 if counts.max() < 1000 else 7,
                color="white" if shares[row, column] > 0.55 else INK,
            )
        slant: dict[str, Any] = (
            {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if longest > 2 else {}
        )
        axes.set_xticks(range(classes), short, **slant)
        axes.set_yticks(range(classes), short)
    else:
        figure.colorbar(image, fraction=0.046, pad=0.03).set_label("share of the true class", fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{title}: {counts.trace() / counts.sum():.2%} of {counts.sum():,} right")
    _save(figure, target)


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


def _series(epochs: Sequence[Epoch], base: str) -> dict[str, tuple[list[int], list[float]]]:
    """Returns epoch numbers and values of a metric in training and validation, where there are any."""
    found = {}
    for label, name in (("training", base), ("validation", f"val_{base}")):
        points = [(epoch.number, epoch.metrics[name]) for epoch in epochs if name in epoch.metrics]
        if points:
            found[label] = ([number for number, _ in points], [value for _, value in points])
    return found


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
