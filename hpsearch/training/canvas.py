"""A picture of lines, tiles and text, drawn by Pillow.

Matplotlib's axes make charts of any kind, and take 0.1 to 0.3 s for one: as long as a small trial trains.
The two pictures that every trial leaves are simple enough to be drawn directly, in a tenth of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hpsearch.files import whole

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SCALE = 3
"""Shapes are drawn this much larger, and reduced: Pillow's own have no smooth edges."""

Point = tuple[float, float]
"""Pixels from the left and from the top."""


class Canvas:
    """A white picture to draw on; text lies above all shapes.

    Args:
        width: In pixels.
        height: In pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (SCALE * width, SCALE * height), "white")
        self._draw = ImageDraw.Draw(self._image)
        self._texts: list[tuple[Point, str, str, float, str, bool]] = []

    def line(self, points: Sequence[Point], color: str, width: float = 1.0) -> None:
        """Draws a line through points."""
        self._draw.line([_scaled(point) for point in points], color, round(SCALE * width), "curve")

    def dotted(self, start: Point, end: Point, color: str) -> None:
        """Draws a dotted vertical line, from the upper point to the lower."""
        x, y = start
        while y < end[1]:
            self.line([(x, y), (x, min(y + 1.5, end[1]))], color)
            y += 4

    def disc(self, center: Point, radius: float, color: str) -> None:
        """Draws a filled circle."""
        self._draw.circle(_scaled(center), SCALE * radius, fill=color)

    def ring(self, center: Point, radius: float, color: str) -> None:
        """Draws an empty circle."""
        self._draw.circle(_scaled(center), SCALE * radius, outline=color, width=SCALE)

    def tiles(self, start: Point, side: int, colors: NDArray[np.uint8]) -> None:
        """Fills a square with tiles.

        Args:
            start: Its upper left corner.
            side: Its width and height.
            colors: Red, green and blue of each tile, `(rows, columns, 3)`.
        """
        tiles = Image.fromarray(colors).resize((SCALE * side, SCALE * side), Image.Resampling.NEAREST)
        self._image.paste(tiles, (round(SCALE * start[0]), round(SCALE * start[1])))

    def text(
        self, at: Point, text: str, color: str, size: float = 12, anchor: str = "mm", *, upwards: bool = False
    ) -> None:
        """Writes a line.

        Args:
            at: Where its anchor lies.
            text: What to write.
            color: Of the letters.
            size: In pixels.
            anchor: As in Pillow: `l`, `m` or `r` and `t`, `m` or `s` (baseline).
            upwards: Whether it runs from below to above.
        """
        self._texts.append((at, text, color, size, anchor, upwards))

    def save(self, target: Path) -> None:
        """Writes a PNG file, which appears whole."""
        picture = self._image.reduce(SCALE)
        draw = ImageDraw.Draw(picture)
        for at, text, color, size, anchor, upwards in self._texts:
            if upwards:
                _write_upwards(picture, at, text, color, size)
            else:
                draw.text(at, text, color, _font(size), anchor)
        with whole(target) as path:
            picture.save(path, compress_level=4)


def text_width(text: str, size: float) -> float:
    """Returns the pixels that a line takes."""
    return _font(size).getlength(text)


def _write_upwards(picture: Image.Image, at: Point, text: str, color: str, size: float) -> None:
    letters = Image.new("L", (round(text_width(text, size)) + 2, round(1.5 * size)))
    ImageDraw.Draw(letters).text((1, letters.height / 2), text, 255, _font(size), "lm")
    letters = letters.transpose(Image.Transpose.ROTATE_90)
    corner = (round(at[0] - letters.width / 2), round(at[1] - letters.height / 2))
    picture.paste(color, (*corner, corner[0] + letters.width, corner[1] + letters.height), letters)


def _scaled(point: Point) -> Point:
    return (SCALE * point[0], SCALE * point[1])


@cache
def _font(size: float) -> FreeTypeFont:
    """Matplotlib brings a font that has letters of most alphabets."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
