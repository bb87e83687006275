"""The files of one model against each other: "int8 is 3.8x smaller, 2.1x faster, -0.3 points of f1"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hpsearch.trial import ExportResult

BASE = "float32"
"""The format that others are measured against."""
LITERT = ("float16", "dynamic_range", "int8", "int16x8")
"""Those of the other formats that the same interpreter runs."""
_TOLD = ("f1", "accuracy", "r2")
"""Scores worth a word, the first there is."""


def told_score(scores: Mapping[str, float]) -> str | None:
    """Returns the name of the score that speaks for a file, e.g. `f1` or `digit_f1`; None without scores."""
    return next((name for kind in _TOLD for name in scores if name.endswith(kind)), None)


def versus(result: ExportResult, base: ExportResult) -> str:
    """Says how a file differs from another one of the same model: size, speed, and what it decides.

    Args:
        result: The file.
        base: What it is compared with, as a rule the one in `float32`.
    """
    parts = [_ratio(base.size_bytes / result.size_bytes, "smaller", "larger")]
    if result.speed and base.speed:
        times = base.speed.default.median_ms / max(result.speed.default.median_ms, 1e-9)
        parts.append(_ratio(times, "faster", "slower"))
    score = told_score(result.scores)
    if score is not None and score in base.scores:
        loss = result.scores[score] - base.scores[score]
        parts.append(
            f"{loss:+.4f} of {score}" if score.endswith("r2") else f"{100 * loss:+.1f} points of {score}"
        )
    return f"{result.format} is {', '.join(parts)}"


def comparisons(results: Sequence[ExportResult], base: ExportResult | None = None) -> Iterable[str]:
    """Yields a sentence for each file that can be compared: those that LiteRT runs, with `float32`.

    Args:
        results: Files of one model.
        base: The one in `float32`, where it is not among them. Default: none.
    """
    base = next((each for each in results if each.format == BASE), base)
    for each in results:
        if base is not None and each.format in LITERT:
            yield versus(each, base)


def _ratio(times: float, more: str, less: str) -> str:
    return f"{times:.1f}x {more}" if times >= 1 else f"{1 / times:.1f}x {less}"
