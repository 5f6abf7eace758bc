"""Many small pictures on one."""

from __future__ import annotations

from collections.abc import Sequence

import imagecodecs
import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.font import GLYPH_HEIGHT, draw_text


def contact_sheet(pictures: Sequence[tuple[str, bytes]], columns: int, *, scale: int = 1, gap: int = 4) -> bytes:
    """Set PNG pictures in rows from the top left, each over its label, in cells as large as the largest picture.

    Args:
        pictures: Label and PNG file of each, of any kind and size.
        columns: Pictures in a row.
        scale: Pixels of the sheet for each pixel of a picture, along both sides.
        gap: White pixels between cells and around them.

    Returns:
        A PNG file, RGB with opacity.
    """
    if not pictures:
        raise InvalidArgumentError("a contact sheet needs at least one picture")
    cells = [np.kron(_rgba(picture), np.ones((scale, scale, 1), "u1")) for _, picture in pictures]
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    line = GLYPH_HEIGHT + 2 if any(label for label, _ in pictures) else 0
    sheet = np.full((rows * (height + line + gap) + gap, columns * (width + gap) + gap, 4), 255, "u1")
    for number, ((label, _), cell) in enumerate(zip(pictures, cells, strict=True)):
        top = gap + number // columns * (height + line + gap)
        left = gap + number % columns * (width + gap)
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        if line:
            text = sheet[top + height + 2 : top + height + 2 + GLYPH_HEIGHT, left : left + width, :3]
            text[draw_text(label, width)] = 0
    return bytes(imagecodecs.png_encode(sheet))


def _rgba(picture: bytes) -> np.ndarray:
    """A PNG as (rows, columns, 4) of uint8."""
    pixels = np.atleast_3d(imagecodecs.png_decode(picture))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype("u1")
    samples = pixels.shape[2]
    colours = np.repeat(pixels[..., :1], 3, axis=2) if samples <= 2 else pixels[..., :3]
    opacity = pixels[..., -1:] if samples in (2, 4) else np.full((*pixels.shape[:2], 1), 255, "u1")
    return np.concatenate([colours, opacity], axis=2)
