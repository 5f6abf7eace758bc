"""Sets PNG pictures of the demo on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import imagecodecs
import numpy as np

from rasteret_sql.raster import contact_sheet as raster
from rasteret_sql.raster.render import Image, encode, resize


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
    return encode(raster.contact_sheet([resize(_decoded(one), scale) for one in pictures], columns, gap=gap))


def _decoded(picture: bytes) -> Image:
    pixels = np.asarray(imagecodecs.png_decode(picture))
    image: Image = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return image
