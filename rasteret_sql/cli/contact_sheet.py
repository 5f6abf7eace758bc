"""Draws many small pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import imagecodecs
import numpy as np

from rasteret_sql.errors import InvalidArgumentError


def contact_sheet(pictures: Sequence[bytes], columns: int, *, scale: int = 1, gap: int = 4) -> bytes:
    """Set PNG pictures in rows from the top left, in cells as large as the largest picture.

    Args:
        pictures: PNG files, of any kind and size.
        columns: Pictures in a row.
        scale: Pixels of the sheet for each pixel of a picture, along both sides.
        gap: White pixels between cells and around them.

    Returns:
        A PNG file, RGB with opacity.
    """
    if not pictures:
        raise InvalidArgumentError("a contact sheet needs at least one picture")
    cells = [np.kron(_rgba(picture), np.ones((scale, scale, 1), "u1")) for picture in pictures]
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 4), 255, "u1")
    for number, cell in enumerate(cells):
        top = gap + number // columns * (height + gap)
        left = gap + number % columns * (width + gap)
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
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
