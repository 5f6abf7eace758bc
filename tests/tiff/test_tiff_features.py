"""Features that GDAL does not write: crafted files against rasterio where it reads them, else against the encoder."""

import imagecodecs
import numpy as np
import pytest
from craft import ASCII, DOUBLE, SHORT, grey, header_of, image_tags, pixels_of, tiff
from rasterio.io import MemoryFile

from rasteret_sql.errors import CorruptTiffError
from rasteret_sql.tiff.decode import decode_tile

RNG = np.random.default_rng(1)
IMAGE = RNG.integers(0, 256, (20, 24), np.uint8)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def rasterio_pixels(data):
    with MemoryFile(data) as file, file.open() as source:
        return source.read()


def assert_as_rasterio(data):
    np.testing.assert_array_equal(pixels_of(data), rasterio_pixels(data))


@pytest.mark.parametrize("compression", [1, 5, 8, 32946, 32773, 50000, 34925])
def test_fill_order_two_reverses_the_bits_of_every_stored_byte(compression):
    raw = IMAGE.tobytes()
    stored = {
        1: lambda: raw,
        5: lambda: imagecodecs.lzw_encode(raw),
        8: lambda: imagecodecs.zlib_encode(raw),
        32946: lambda: imagecodecs.zlib_encode(raw),
        32773: lambda: imagecodecs.packbits_encode(raw),
        50000: lambda: imagecodecs.zstd_encode(raw),
        34925: lambda: imagecodecs.lzma_encode(raw),
    }[compression]()
    data = tiff((image_tags(24, 20, compression=compression, fill_order=2), [imagecodecs.bitorder_encode(stored)]))
    np.testing.assert_array_equal(pixels_of(data)[0], IMAGE)
    assert_as_rasterio(data)


@pytest.mark.parametrize("photometric", [0, 1, 3, 4, 32803, 34892])
def test_samples_of_other_colour_models_are_given_as_stored(photometric):
    image = RNG.integers(0, 256, (20, 24, 1), np.uint8)
    tags = image_tags(24, 20, photometric=photometric)
    if photometric == 3:
        tags[320] = (SHORT, list(range(768)))
    data = tiff((tags, [image.tobytes()]))
    np.testing.assert_array_equal(pixels_of(data), image.transpose(2, 0, 1))
    assert_as_rasterio(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_last_strip_may_hold_the_rows_of_a_full_one(order, big):
    rows = np.concatenate([IMAGE, IMAGE[:4]])
    for compression, encode in ((8, imagecodecs.zlib_encode), (5, imagecodecs.lzw_encode), (1, bytes)):
        strips = [encode(rows[at : at + 8].tobytes()) for at in range(0, 24, 8)]
        data = tiff((image_tags(24, 20, compression=compression, rows=8), strips), order=order, big=big)
        np.testing.assert_array_equal(pixels_of(data)[0], IMAGE)
        if compression != 8:  # GDAL 3.10 with libdeflate gives zeros for these rows
            assert_as_rasterio(data)


def lzw_with_narrow_end(raw, last):
    """LZW of single bytes, `last` of them since the table was cleared, whose end code does not grow with the others."""
    head = raw[: len(raw) - last]
    bits = ""
    for chunk in [*(head[at : at + 200] for at in range(0, len(head), 200)), raw[len(raw) - last :]]:
        bits += f"{256:09b}"  # clears the table; chunks of 200 leave codes at 9 bits
        # The decoder adds an entry from the second code on; at 511, 1023 and 2047 of them the next code is wider.
        widths = [max(9, (258 + at).bit_length()) for at in range(len(chunk))]
        bits += "".join(f"{byte:0{width}b}" for byte, width in zip(chunk, widths, strict=True))
    bits += f"{257:0{widths[-1]}b}"
    return np.packbits(np.array(list(bits), np.uint8)).tobytes()


@pytest.mark.parametrize("last", [254, 766, 1790])
@pytest.mark.parametrize("layout", [{"tile_width": 64, "tile_height": 32}, {"rows": 32}])
def test_an_lzw_end_code_may_be_too_narrow(last, layout):
    image = RNG.integers(0, 256, (32, 64), np.uint8)
    stored = lzw_with_narrow_end(image.tobytes(), last)
    data = tiff((image_tags(64, 32, compression=5, **layout), [stored]))
    np.testing.assert_array_equal(pixels_of(data)[0], image)
    assert_as_rasterio(data)
    level = header_of(data).levels[0]
    for damaged in (stored[:-6], stored[:-6] + b"\xff" * 6):
        with pytest.raises(CorruptTiffError):
            decode_tile(level, 0, damaged, "lzw.tif")


def test_byte_counts_may_be_absent_without_compression():
    tags, tiles = grey(IMAGE)
    data = tiff((tags, tiles))
    # Renaming the tag to one that nobody knows takes the counts away.
    data = data.replace(b"\x17\x01\x04\x00", b"\xf0\xff\x04\x00")
    np.testing.assert_array_equal(pixels_of(data)[0], IMAGE)
    assert_as_rasterio(data)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_jpeg_2000_and_jpeg_xl_tiles(dtype, samples):
    high = np.iinfo(dtype).max
    image = RNG.integers(0, high, (32, 32, samples), dtype, endpoint=True)
    shaped = image if samples > 1 else image[..., 0]
    for code, stored in (
        (34712, imagecodecs.jpeg2k_encode(shaped, level=0, reversible=True, codecformat="j2k", mct=False)),
        (50002, imagecodecs.jpegxl_encode(shaped, lossless=True)),
        (52546, imagecodecs.jpegxl_encode(shaped, lossless=True)),
    ):
        tags = image_tags(
            32, 32, compression=code, samples=samples, bits=(SHORT, [image.dtype.itemsize * 8] * samples),
            photometric=1 if samples == 1 else 2, tile_width=32, tile_height=32,
        )  # fmt: skip
        np.testing.assert_array_equal(pixels_of(tiff((tags, [stored]))), image.transpose(2, 0, 1))


def test_jpeg_of_twelve_bit():
    image = np.cumsum(RNG.integers(0, 20, (32, 32)), axis=1).astype("u2")
    stored = imagecodecs.jpeg8_encode(image, level=90, bitspersample=12)
    tags = image_tags(32, 32, compression=7, bits=12, tile_width=32, tile_height=32)
    got = pixels_of(tiff((tags, [stored])))
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got[0], imagecodecs.jpeg8_decode(stored))
    assert np.abs(got[0].astype(int) - image).max() < 30


def test_lerc_marks_nan_and_alpha_by_its_mask():
    image = RNG.normal(size=(16, 16)).astype("f4")
    valid = RNG.random((16, 16)) < 0.5
    tags = image_tags(16, 16, bits=32, format=3, compression=34887, tile_width=16, tile_height=16)
    tags[50674] = (4, [4, 0])
    got = pixels_of(tiff((tags, [imagecodecs.lerc_encode(image, masks=valid)])))[0]
    np.testing.assert_array_equal(got, np.where(valid, image, np.nan))
    assert_as_rasterio(tiff((tags, [imagecodecs.lerc_encode(image, masks=valid)])))

    grey_alpha = np.stack([IMAGE[:16, :16], np.where(valid, 255, 0).astype("u1")])
    tags = image_tags(
        16, 16, bits=(SHORT, [8, 8]), samples=2, extra=2, compression=34887, tile_width=16, tile_height=16
    )
    tags[50674] = (4, [4, 0])
    data = tiff((tags, [imagecodecs.lerc_encode(np.where(valid, grey_alpha[0], 0).astype("u1"), masks=valid)]))
    got = pixels_of(data)
    np.testing.assert_array_equal(got[1], grey_alpha[1])
    np.testing.assert_array_equal(got[0][valid], grey_alpha[0][valid])
    assert_as_rasterio(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("predictor", [1, 3])
def test_float24(order, predictor):
    values = np.array([0, 1, -1, 0.5, 3.25, 65280, 1e-5, -2048], "f4")
    row = np.tile(values, 3)[None].repeat(20, 0)
    packed = np.frombuffer(imagecodecs.float24_encode(row, byteorder="<"), "u1").reshape(20, 24, 3)
    if predictor == 3:
        planes = packed[..., ::-1].transpose(0, 2, 1).reshape(20, 72)
        stored = imagecodecs.zlib_encode(np.diff(planes, axis=1, prepend=np.uint8(0)).astype("u1").tobytes())
    else:
        stored = imagecodecs.zlib_encode((packed if order == "<" else packed[..., ::-1]).tobytes())
    tags = image_tags(24, 20, bits=24, format=3, compression=8, predictor=predictor)
    data = tiff((tags, [stored]), order=order)
    assert_as_rasterio(data)


def test_masks_of_one_and_eight_bit_of_image_and_overview():
    mask8 = np.where(RNG.random((20, 24)) < 0.5, 255, 0).astype("u1")
    mask1 = np.packbits(mask8[::2, ::2] > 0, axis=1)
    data = tiff(
        grey(IMAGE),
        (image_tags(24, 20, subfile=4, photometric=4), [mask8.tobytes()]),
        grey(IMAGE[::2, ::2], subfile=1),
        (image_tags(12, 10, subfile=5, photometric=4, bits=1), [mask1.tobytes()]),
    )
    header = header_of(data)
    assert [level.width for level in header.levels] == [24, 12]
    assert all(mask is not None for mask in header.masks)
    np.testing.assert_array_equal(pixels_of(data, header.masks[0])[0], mask8)
    np.testing.assert_array_equal(pixels_of(data, header.masks[1])[0] * 255, mask8[::2, ::2])
    with MemoryFile(data) as file:
        with file.open() as source:
            np.testing.assert_array_equal(source.read_masks(1), mask8)
        with file.open(overview_level=0) as source:
            np.testing.assert_array_equal(source.read_masks(1), mask8[::2, ::2])


def test_other_pages_and_their_features_are_no_concern():
    other = (image_tags(24, 20, compression=4, subfile=2), [b"xx"])
    data = tiff(grey(IMAGE), other, grey(IMAGE[::2, ::2], subfile=1))
    header = header_of(data)
    assert [level.width for level in header.levels] == [24, 12]
    np.testing.assert_array_equal(pixels_of(data)[0], IMAGE)


def test_thumbnails_of_another_kind_are_no_overviews():
    thumbnail = (image_tags(12, 10, samples=3, bits=(SHORT, [8] * 3), photometric=2, subfile=1), [bytes(360)])
    assert len(header_of(tiff(grey(IMAGE), thumbnail)).levels) == 1


@pytest.mark.parametrize("extra", [(0,), (1,), (2,)])
@pytest.mark.parametrize("samples", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_alpha_is_what_gdal_takes_for_alpha(dtype, samples, extra):
    image = (RNG.random((20, 24, samples)) * 200).astype(dtype)
    image[..., -1] *= (RNG.random((20, 24)) < 0.5).astype(dtype)
    tags = image_tags(
        24, 20, samples=samples, bits=(SHORT, [image.dtype.itemsize * 8] * samples), extra=(SHORT, list(extra)),
        format=3 if dtype == "float32" else 1, photometric=2 if samples >= 4 else 1,
    )  # fmt: skip
    data = tiff((tags, [image.tobytes()]))
    header = header_of(data)
    with MemoryFile(data) as file, file.open() as source:
        np.testing.assert_array_equal(pixels_of(data), source.read())
        per_dataset = bool(source.mask_flag_enums[0]) and "alpha" in [f.name for f in source.mask_flag_enums[0]]
        assert header.alpha_counts == per_dataset
        assert header.alpha == (samples - 1 if extra[0] else None)
        expected = image[..., -1] != 0 if per_dataset else np.ones((20, 24), bool)
        np.testing.assert_array_equal(source.read_masks(1) != 0, expected)


def test_scale_offset_names_and_nodata_of_bands():
    xml = (
        "<GDALMetadata>\n"
        '  <Item name="SCALE" sample="0" role="scale">2.75e-05</Item>\n'
        '  <Item name="OFFSET" sample="0" role="offset">-0.2</Item>\n'
        '  <Item name="DESCRIPTION" sample="1" role="description">near &lt;IR&gt; &amp; more</Item>\n'
        '  <Item name="SCALE" sample="7" role="scale">9</Item>\n'
        '  <Item name="SCALE" sample="1" role="scale">no number</Item>\n'
        '  <Item name="free & easy">text</Item>\n'
        "</GDALMetadata>"
    )
    image = RNG.integers(0, 99, (4, 4, 2), np.uint8)
    tags = image_tags(4, 4, samples=2, bits=(SHORT, [8, 8]))
    header = header_of(tiff(({**tags, 42112: (ASCII, xml), 42113: (ASCII, "7")}, [image.tobytes()])))
    assert header.scales == (2.75e-05, 1.0)
    assert header.offsets == (-0.2, 0.0)
    assert header.descriptions == (None, "near <IR> & more")
    assert header.nodata == (7, 7)
    own = xml.replace("</GDALM", '<Item name="NODATA_VALUES">7 9</Item></GDALM')
    header = header_of(tiff(({**tags, 42112: (ASCII, own), 42113: (ASCII, "7")}, [image.tobytes()])))
    assert (header.nodata, header.nodata_values) == ((7, 7), (7, 9))


TRANSFORMS = {
    "scale and tiepoint": ({33550: [10, 10, 0], 33922: [0, 0, 0, 500000, 4600000, 0]}, (10, 0, 5e5, 0, -10, 4.6e6)),
    "tiepoint inside": ({33550: [10, 5, 0], 33922: [2, 4, 0, 500000, 4600000, 0]}, (10, 0, 499980, 0, -5, 4600020)),
    "negative y scale": ({33550: [10, -10, 0], 33922: [0, 0, 0, 500000, 4600000, 0]}, (10, 0, 5e5, 0, -10, 4.6e6)),
    "matrix": (
        {34264: [8, 3, 0, 500000, 2, -9, 0, 4600000, 0, 0, 0, 0, 0, 0, 0, 1]},
        (8, 3, 500000, 2, -9, 4600000),
    ),
    "south-up matrix": (
        {34264: [8, 0, 0, 500000, 0, 9, 0, 4600000, 0, 0, 0, 0, 0, 0, 0, 1]},
        (8, 0, 500000, 0, 9, 4600000),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("point", [False, True])
def test_transforms_are_of_pixel_corners(name, point):
    geo, (a, b, c, d, e, f) = TRANSFORMS[name]
    keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2 if point else 1, 3072, 0, 1, 32633]
    tags, tiles = grey(IMAGE)
    tags |= {tag: (DOUBLE, values) for tag, values in geo.items()} | {34735: (SHORT, keys)}
    data = tiff((tags, tiles))
    header = header_of(data)
    shift = 0.5 if point else 0
    expected = (a, b, c - shift * (a + b), d, e, f - shift * (d + e))
    assert header.transform == expected
    assert header.crs == "EPSG:32633"
    with MemoryFile(data) as file, file.open() as source:
        assert tuple(source.transform)[:6] == expected


def test_tiles_of_the_hot_path_are_decoded_without_a_copy():
    data = tiff(grey(IMAGE))
    level = header_of(data).levels[0]
    stored = memoryview(data)[int(level.offsets[0]) :][: IMAGE.nbytes]
    tile = decode_tile(level, 0, stored, "crafted.tif")
    assert np.shares_memory(tile, np.frombuffer(data, np.uint8))
    assert not tile.flags.writeable
