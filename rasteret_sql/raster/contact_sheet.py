"""Sets many small pictures on one sheet, with labels under them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.render import Image, rgba

_TEXT = 12
"""Pixels of the height of letters."""
_LINE = 16
"""Pixels of the line of a label."""


def contact_sheet(
    pictures: Sequence[Image | None], columns: int, *, gap: int = 4, labels: Sequence[str | None] | None = None
) -> Image:
    """Set pictures in rows from the top left, in cells as large as the largest one.

    Args:
        pictures: Any images; None leaves a cell empty.
        columns: Pictures in a row.
        gap: White pixels between cells and around them.
        labels: Text under each picture, cut where it is wider; None: none. Needs pillow.

    Returns:
        RGBA, shape (height, width, 4).

    Raises:
        InvalidArgumentError: There is no picture, not a label for each, or no pillow for labels.
    """
    cells = [None if one is None else rgba(one) for one in pictures]
    sizes = [one.shape[:2] for one in cells if one is not None]
    if not sizes:
        raise InvalidArgumentError("a contact sheet needs at least one picture")
    if labels is not None and len(labels) != len(pictures):
        raise InvalidArgumentError(f"{len(labels)} labels for {len(pictures)} pictures; give one for each, or NULL")
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    line = 0 if labels is None else _LINE
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    shape = rows * (height + line + gap) + gap, columns * (width + gap) + gap, 4
    sheet = np.full(shape, 255, np.uint8)
    for number, cell in enumerate(cells):
        top = gap + number // columns * (height + line + gap)
        left = gap + number % columns * (width + gap)
        if cell is not None:
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        if labels is not None and labels[number]:
            sheet[top + height : top + height + line, left : left + width, :3] = _written(str(labels[number]), width)
    return sheet


def _written(text: str, width: int) -> Image:
    """Black letters on white, shape (_LINE, width, 3)."""
    drawing, image, font = (_pillow(name) for name in ("ImageDraw", "Image", "ImageFont"))
    face = font.load_default(_TEXT)
    while text and face.getlength(text) > width:
        text = text.removesuffix("…")[:-1].rstrip() + "…" if len(text) > 1 else ""
    line = image.new("RGB", (width, _LINE), "white")
    drawing.Draw(line).text((0, 1), text, fill="black", font=face)
    return np.asarray(line)


def _pillow(module: str) -> Any:
    try:
        return import_module(f"PIL.{module}")
    except ImportError:
        raise InvalidArgumentError(
            "labels of a sheet are written by pillow, which is not installed; pip install 'rasteret-sql[pictures]', or "
            "leave labels := out"
        ) from None
