"""JPEG: equal to rasterio but for subsampled chroma, where Pillow, built with libjpeg-turbo, is the measure."""

import io

import imagecodecs
import numpy as np
import pytest
from assemble import read_header, read_window
from PIL import Image
from rasterio.io import MemoryFile

from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def scene(noise, seed=0):
    """A colourful image with edges and the given noise, (3, 64, 96)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:64, :96]
    bands = np.stack([across * 2, down * 3, (across + down) + 60 * (across // 24 % 2)])
    return (bands + rng.integers(0, noise + 1, bands.shape)).clip(0, 255).astype("u1")


def jpeg_tiff(image, **options):
    """(bytes, pixels as rasterio reads them) of a JPEG GeoTIFF of 32-pixel tiles or 16-row strips."""
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32} if options.pop("tiled", True) else {"blockysize": 16}
    count, height, width = image.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "uint8"}
    with MemoryFile() as file:
        with file.open(**profile, **layout, compress="JPEG", **options) as target:
            target.write(image)
        with file.open() as source:
            pixels = source.read()
        return file.read(), pixels


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("tables", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("interleave", some(["pixel", "band"], 2))
def test_without_subsampling_the_pixels_are_rasterios(count, tables, tiled, interleave):
    image = np.concatenate([scene(40), scene(200)[:1]])[:count]
    data, expected = jpeg_tiff(image, tiled=tiled, JPEGTABLESMODE=tables, interleave=interleave)
    level = read_header(data)[0].levels[0]
    assert len(expected) == count
    for sample in range(count):
        plane = level.plane(sample)
        at = 0 if level.planar == 2 else sample
        np.testing.assert_array_equal(read_window(data, plane, (0, 0, 96, 64))[at], expected[sample])


@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
def test_ycbcr_without_subsampling_is_given_as_rasterios_rgb(order):
    """GDAL always writes 4:2:0; its tiles are replaced by 4:4:4 ones, which GDAL reads by their own frame header."""
    image = scene(40)
    data, _ = jpeg_tiff(image, photometric="YCBCR", JPEGTABLESMODE=0, ENDIANNESS=order, JPEG_QUALITY=100)
    level = read_header(data)[0].levels[0]
    made = bytearray(data)
    for index in range(len(level.offsets)):
        down, across = divmod(index, level.tiles_across)
        tile = image[:, down * 32 : down * 32 + 32, across * 32 : across * 32 + 32].transpose(1, 2, 0)
        stored = imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=60, subsampling="444")
        start, count = int(level.offsets[index]), int(level.byte_counts[index])
        assert len(stored) <= count
        # Padding behind the end of the image is ignored.
        made[start : start + count] = stored.ljust(count, b"\0")
    tag = b"\x12\x02\x03\x00\x02\x00\x00\x00\x02\x00\x02\x00" if order == "LITTLE" else b"\x02\x12\0\3\0\0\0\2\0\2\0\2"
    assert made.count(tag) == 1
    at = made.index(tag) + 8
    made[at : at + 4] = b"\1\0\1\0" if order == "LITTLE" else b"\0\1\0\1"
    with MemoryFile(bytes(made)) as file, file.open() as source:
        expected = source.read()
    level = read_header(bytes(made))[0].levels[0]
    assert level.subsampling == (1, 1)
    np.testing.assert_array_equal(read_window(bytes(made), level, (0, 0, 96, 64)), expected)


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("tables", [0, 1, 3])
@pytest.mark.parametrize("size", [(64, 96), (61, 83), (17, 1)])
@pytest.mark.parametrize("quality", some([30, 75, 95], 3))
def test_subsampled_chroma_is_pillows(quality, size, tables, tiled):
    """rasterio 1.4.4's wheels hold the other libjpeg; Pillow reads the same file with libjpeg-turbo."""
    image = scene(40)[:, : size[0], : size[1]]
    options = {"photometric": "YCBCR", "JPEGTABLESMODE": tables, "JPEG_QUALITY": quality}
    data, rasterios = jpeg_tiff(image, tiled=tiled, **options)
    level = read_header(data)[0].levels[0]
    assert level.subsampling == (2, 2)
    with Image.open(io.BytesIO(data)) as source:
        expected = np.asarray(source).transpose(2, 0, 1)
    ours = read_window(data, level, (0, 0, size[1], size[0]))
    np.testing.assert_array_equal(ours, expected)
    # What docs/tiff.md says of rasterio: the same picture, but for edges of colour.
    assert np.abs(ours.astype(int) - rasterios).mean() < 3
