"""JPEG tiles and strips of any subsampling: every pixel is Pillow's, for the same stored stream."""

import io

import imagecodecs
import numpy as np
import pytest
from craft import SHORT, header_of, image_tags, pixels_of, tiff
from PIL import Image

from tests.sampling import some

SUBSAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "440": (1, 2), "411": (4, 1)}
TABLES = {0xDB, 0xC4}
"""Markers of quantization and Huffman tables."""


def scene(rows, cols, noise):
    """A colourful image with edges, (rows, cols, 3)."""
    down, across = np.mgrid[:rows, :cols]
    image = np.stack([across * 2, down * 3, (across + down) + 60 * (across // 24 % 2)], axis=-1)
    return (image + np.random.default_rng(7).integers(0, noise + 1, image.shape)).clip(0, 255).astype("u1")


def parted(stream):
    """(tables, the rest) of a JPEG stream, both complete streams, as TIFF stores them."""
    tables, rest, at = b"\xff\xd8", b"\xff\xd8", 2
    while stream[at + 1] != 0xDA:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = stream[at : at + length]
        if stream[at + 1] in TABLES:
            tables += segment
        elif stream[at + 1] != 0xE0:
            rest += segment
        at += length
    return tables + b"\xff\xd9", rest + stream[at:]


def pillows(stream):
    with Image.open(io.BytesIO(stream)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize("quality", some([30, 75, 95, 100], 3))
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("layout", [(64, 96, 32, 48), (45, 83, 16, None), (7, 1, 7, None)])
def test_every_pixel_is_pillows(layout, apart, subsampling, quality):
    """Layouts: (rows, cols) of the image, then those of a tile, or (rows of a strip, None)."""
    rows, cols, high, wide = layout
    image = scene(rows, cols, 40)
    expected, stored, tables = np.empty_like(image), [], b""
    for top in range(0, rows, high):
        for left in range(0, cols, wide or cols):
            part = np.s_[top : top + high, left : left + (wide or cols)]
            # A strip's height is told by its own stream: the last one is lower.
            whole = imagecodecs.jpeg8_encode(np.ascontiguousarray(image[part]), level=quality, subsampling=subsampling)
            expected[part] = pillows(whole)
            tables, rest = parted(whole)
            stored.append(rest if apart else whole)
    form = {"rows": high} if wide is None else {"tile_width": wide, "tile_height": high}
    tags = image_tags(cols, rows, compression=7, photometric=6, samples=3, bits=(SHORT, [8] * 3), **form)
    tags |= {530: (SHORT, list(SUBSAMPLINGS[subsampling]))} | ({347: (1, tables)} if apart else {})
    data = tiff((tags, stored))
    assert header_of(data).levels[0].subsampling == SUBSAMPLINGS[subsampling]
    np.testing.assert_array_equal(pixels_of(data).transpose(1, 2, 0), expected)
