"""Phrases: a tiny made-up text set in which the order of the words matters."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

_SUBJECTS = ("the film", "this book", "her song", "the play", "his story", "that show")
_VERBS = ("was", "is", "seemed", "felt")
_ADVERBS = ("", "very ", "really ", "quite ", "rather ")
_WORDS = (
    ("dull", "boring", "awful", "weak", "sad"),
    ("great", "lovely", "funny", "clever", "bright"),
)
_ENDINGS = ("", " today", " to me", " in the end", " from start to finish")


def load(rows: int = 400, max_tokens: int = 100, length: int = 16, seed: int = 0) -> dict[str, Any]:
    """Made-up sentences, praise or complaint, such as "The film was not really boring, but funny!".

    Half of them deny one word and end with its opposite, so that the same words, "funny, not boring" and
    "boring, not funny", mean one thing or the other by their order.

    Args:
        rows: Sentences, as many of each class give or take one. Default: 400.
        max_tokens: Most tokens of the vocabulary. Default: 100, which is more than there are.
        length: Tokens a row. Default: 16.
        seed: Of the generator. Default: 0.

    Returns:
        `x` int32 `(rows, length)`, after preprocessing, `y` int32, 0 for complaint and 1 for praise.
    """
    from hpsearch.datasets.text import fit

    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(rows) % 2)

    def one(of: tuple[str, ...]) -> str:
        return of[int(generator.integers(len(of)))]

    def sentence(label: int) -> str:
        start = f"{one(_SUBJECTS)} {one(_VERBS)} ".capitalize()
        said, opposite = one(_ADVERBS) + one(_WORDS[label]), one(_ADVERBS) + one(_WORDS[1 - label])
        form = int(generator.integers(4))
        middle = (said, said, f"not {opposite}, but {said}", f"{said}, not {opposite}")[form]
        return f"{start}{middle}{one(_ENDINGS)}{one(('.', '!'))}"

    return {
        "x": [sentence(int(label)) for label in y],
        "y": y.astype(np.int32),
        "class_names": ("complaint", "praise"),
        "preprocess": partial(fit, max_tokens=max_tokens, length=length),
    }
