"""Colours that GDAL converts, and CCITT: pixels are rasterio's."""

import imagecodecs
import numpy as np
import pytest
from craft import SHORT, header_of, image_tags, pixels_of, tiff
from rasterio.io import MemoryFile

from rasteret_sql.errors import CorruptTiffError, TiffError
from rasteret_sql.index.format.header_codec import pack_file, pack_header, unpack_file, unpack_header
from rasteret_sql.tiff.decode import decode_tile
from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(5)
RATIONAL = 5


def assert_as_rasterio(data):
    header = header_of(data)
    with MemoryFile(data) as file, file.open() as source:
        expected = source.read()
    got = pixels_of(data)
    assert got.dtype == expected.dtype
    assert header.count == len(expected)
    np.testing.assert_array_equal(got, expected)
    return got


def page(samples, photometric, *, rows=32, cols=48, dtype="u1", compression=1, form=1, strips=1, **more):
    image = RNG.integers(0, np.iinfo(dtype).max + 1, (rows, cols, samples), dtype)
    high = rows // strips
    encode = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode}[compression]
    tags = image_tags(
        cols, rows, samples=samples, photometric=photometric, compression=compression, rows=high,
        bits=(SHORT, [image.dtype.itemsize * 8] * samples), format=(SHORT, [form] * samples), **more,
    )  # fmt: skip
    return tags, [encode(image[row : row + high].tobytes()) for row in range(0, rows, high)]


@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("samples", [4, 5, 6])
@pytest.mark.parametrize("form", [1, 2])
def test_cmyk_of_eight_bit_is_given_as_rgba(samples, compression, form):
    tags, tiles = page(samples, 5, compression=compression, strips=2, form=form)
    assert len(assert_as_rasterio(tiff((tags, tiles)))) == 4


def test_cmyk_of_all_inks():
    levels = np.arange(256, dtype=np.uint8)
    image = np.stack([*np.meshgrid(levels, levels), *np.meshgrid(levels[::-1], levels)], axis=-1)
    tags = image_tags(256, 256, samples=4, photometric=5, bits=(SHORT, [8] * 4))
    assert_as_rasterio(tiff((tags, [image.tobytes()])))


@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_cmyk_of_other_types_is_four_samples_as_stored(dtype):
    tags, tiles = page(4, 5, dtype=dtype)
    assert header_of(tiff((tags, tiles))).levels[0].stored_samples == 0
    assert_as_rasterio(tiff((tags, tiles)))


def test_other_inks_and_colour_models_are_given_as_stored():
    tags, tiles = page(4, 5)
    assert_as_rasterio(tiff((tags | {332: 2}, tiles)))
    for photometric in (7, 9, 10, 32844, 32845, 5000):
        for samples in (1, 3):
            assert_as_rasterio(tiff(page(samples, photometric)))
    assert_as_rasterio(tiff(page(3, 5)))


# The white of D65 lies on a step of the table here and there, where the last bit of a float decides.
@pytest.mark.parametrize(("tags", "near"), [({}, 0), ({318: (RATIONAL, [3127, 10000, 3290, 10000])}, 3)])
def test_cielab_of_eight_bit_is_given_as_rgba(tags, near):
    levels = np.arange(256, dtype=np.uint8)
    for lightness in (0, 5, 23, 100, 180, 255):
        a, b = np.meshgrid(levels, levels)
        image = np.stack([np.full_like(a, lightness), a, b], axis=-1)
        lab = image_tags(256, 256, samples=3, photometric=8, bits=(SHORT, [8] * 3))
        data = tiff((lab | tags, [image.tobytes()]))
        with MemoryFile(data) as file, file.open() as source:
            difference = np.abs(pixels_of(data).astype(int) - source.read())
        assert difference.shape[0] == 4
        assert np.count_nonzero(difference) <= near
        assert difference.max() <= 1


def test_cielab_of_other_types_or_with_alpha_is_given_as_stored():
    assert_as_rasterio(tiff(page(3, 8, dtype="u2")))
    assert_as_rasterio(tiff(page(4, 8, extra=2)))
    assert_as_rasterio(tiff(page(1, 8)))


WEIRD = {
    529: (RATIONAL, [2125, 10000, 7154, 10000, 721, 10000]),
    532: (RATIONAL, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]),
}


@pytest.mark.parametrize("tags", [{}, WEIRD, {529: WEIRD[529]}, {532: WEIRD[532]}])
def test_ycbcr_is_given_as_rgb(tags):
    levels = np.arange(256, dtype=np.uint8)
    image = np.stack([*np.meshgrid(levels, levels), RNG.permutation(65536).reshape(256, 256) % 256], axis=-1)
    plain = image_tags(256, 256, samples=3, photometric=6, bits=(SHORT, [8] * 3)) | {530: (SHORT, [1, 1])}
    assert len(assert_as_rasterio(tiff((plain | tags, [image.astype("u1").tobytes()])))) == 3


@pytest.mark.parametrize("subsampling", [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize(("compression", "tiled"), [(1, False), (5, False), (5, True)])
def test_ycbcr_with_subsampled_chroma(subsampling, compression, tiled):
    across, down = subsampling
    encode = {1: bytes, 5: imagecodecs.lzw_encode}[compression]
    cols, rows, high = 64, 32, 16
    tags = image_tags(cols, rows, samples=3, photometric=6, bits=(SHORT, [8] * 3), compression=compression, rows=high)
    if tiled:
        tags |= {322: 32, 323: 16}
        del tags[278]
    tags |= {530: (SHORT, [across, down])}
    wide = 32 if tiled else cols
    size = (wide // across) * (high // down) * (across * down + 2)
    tiles = [encode(RNG.integers(0, 256, size, np.uint8).tobytes()) for _ in range(rows // high * cols // wide)]
    assert_as_rasterio(tiff((tags, tiles)))


def test_ycbcr_whose_blocks_reach_over_the_edge():
    tags = image_tags(45, 31, samples=3, photometric=6, bits=(SHORT, [8] * 3), rows=16) | {530: (SHORT, [2, 2])}
    tiles = [RNG.integers(0, 256, 23 * 8 * 6, np.uint8).tobytes() for _ in range(2)]
    assert_as_rasterio(tiff((tags, tiles)))


def test_what_a_conversion_needs_is_kept_in_an_index():
    tags, tiles = page(3, 6)
    file = tiff((tags | WEIRD | {530: (SHORT, [1, 1])}, tiles), page(4, 5, rows=16, cols=24, subfile=1))
    for data in (file, tiff(page(4, 5)), fax("CCITTFAX3")[0]):
        header = header_of(data)
        for kept in (unpack_file(pack_file(header)), unpack_header(pack_header(header.band(0)))):
            level, expected = kept.levels[0], header.levels[0]
            assert (level.stored_samples, level.colours, level.t4_options) == (
                expected.stored_samples, expected.colours, expected.t4_options,
            )  # fmt: skip
            np.testing.assert_array_equal(pixels_of(data, level), pixels_of(data))


@pytest.mark.parametrize("tags", [{529: (RATIONAL, [1, 1, 0, 1, 0, 1])}, {530: (SHORT, [3, 7])}])
def test_colours_that_mean_nothing_are_an_error(tags):
    plain, tiles = page(3, 6)
    with pytest.raises(TiffError):
        header_of(tiff((plain | tags, tiles)))


def fax(compress, rows=64, cols=203, blank=0, **options):
    """(bytes, image) of a two-coloured GeoTIFF with blank last rows."""
    image = RNG.integers(0, 2, (rows, cols), np.uint8).repeat(2, axis=1)
    image[rows - blank :] = 0
    profile = {"driver": "GTiff", "count": 1, "height": rows, "width": 2 * cols, "dtype": "uint8", "nbits": 1}
    with MemoryFile() as file:
        with file.open(**profile, compress=compress, **options) as target:
            target.write(image, 1)
        return file.read(), image


@pytest.mark.parametrize("compress", some(["CCITTRLE", "CCITTFAX3", "CCITTFAX4"], 3))
@pytest.mark.parametrize("blank", [0, 1, 2, 20, 64])
@pytest.mark.parametrize("height", [64, 16, 7])
def test_ccitt_codes(compress, blank, height):
    for white in ("MINISBLACK", "MINISWHITE"):
        data, _ = fax(compress, blank=blank, blockysize=height, photometric=white)
        assert_as_rasterio(data)


@pytest.mark.parametrize("compress", ["CCITTRLE", "CCITTFAX3", "CCITTFAX4"])
def test_ccitt_codes_cut_short_are_an_error(compress):
    data, _ = fax(compress, blockysize=64)
    level = header_of(data).levels[0]
    start, count = int(level.offsets[0]), int(level.byte_counts[0])
    for cut in (0, *range(1, count * 15 // 16, 97)):
        with pytest.raises(CorruptTiffError):
            decode_tile(level, 0, data[start : start + cut], "fax.tif")
