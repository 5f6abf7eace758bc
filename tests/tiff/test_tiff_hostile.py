"""Damaged and hostile files end in a TiffError, soon and without much memory."""

import contextlib
import struct
import time
import tracemalloc

import imagecodecs
import numpy as np
import pytest
from craft import ASCII, DOUBLE, LONG, LONG8, SHORT, grey, header_of, image_tags, pixels_of, tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from rasteret_sql.errors import CorruptTiffError, TiffError, UnsupportedTiffError
from rasteret_sql.tiff.decode import decode_tile
from rasteret_sql.tiff.parse import SparseBytes, parse_header
from tests.sampling import examples, some

RNG = np.random.default_rng(3)
IMAGE = np.cumsum(RNG.integers(0, 3, (32, 48)), axis=1).astype("u1")
COLOUR = np.stack([IMAGE, IMAGE[::-1], IMAGE + 7], axis=-1)
FLOATS = RNG.normal(size=(32, 48)).astype("f4")


@pytest.fixture
def little_memory():
    """The test allocates no more than a little."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 << 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II",
        b"II*\0",
        b"<!DOCTYPE html><html>404</html>",
        b'{"error": "no such key"}',
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"MZ" + bytes(100),
        b"II+\0" + bytes(40),
        b"II\x2b\0\x10\0\0\0" + bytes(40),
        b"II*\0\0\0\0\0" + bytes(40),
        b"\xff" * 64,
    ],
)
def test_what_is_no_tiff_says_so(data):
    with pytest.raises(CorruptTiffError, match=r"^crafted\.tif: "):
        header_of(data)


def test_a_web_page_is_quoted():
    with pytest.raises(CorruptTiffError, match=r"starts with '<!DOCTYP', expected II or MM"):
        header_of(b"<!DOCTYPE html><html>404</html>")


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({256: (LONG, [0])}, "0 × 32 pixels"),
        ({256: (LONG, [2**32 - 1])}, "4294967295"),
        ({257: (LONG, [2**31 - 1]), 278: 1}, "2147483647 tiles"),
        ({322: (LONG, [1]), 323: (LONG, [1]), 256: (LONG, [10**6]), 257: (LONG, [10**6])}, "tiles"),
        ({322: (LONG, [0]), 323: (LONG, [16])}, "tiles of 0"),
        ({322: (LONG, [2**31 - 1]), 323: (LONG, [2**31 - 1])}, "bytes decoded"),
        ({277: (SHORT, [0])}, "0 samples"),
        ({277: (SHORT, [65535]), 284: 2, 322: 1, 323: 1}, "tiles"),
        ({284: 7}, "PlanarConfiguration 7"),
        ({258: (SHORT, [0])}, "0 bit"),
        ({258: (ASCII, "text")}, "whole numbers"),
        ({256: (DOUBLE, [48.0])}, "whole numbers"),
        ({339: 9}, "SampleFormat 9"),
        ({266: 3}, "FillOrder 3"),
        ({273: (LONG, [2**32 - 1])}, "truncated"),
        ({279: (LONG, [2**32 - 1]), 259: 8}, "truncated"),
        ({273: (DOUBLE, [8.0])}, "whole numbers"),
        ({33550: (ASCII, "1 1 1")}, "real numbers"),
        ({33550: (DOUBLE, [float("nan")] * 3), 33922: (DOUBLE, [0.0] * 6)}, "not finite"),
    ],
)
def test_lying_tags(change, message):
    tags, tiles = grey(IMAGE)
    with pytest.raises(TiffError, match=message):
        header_of(tiff((tags | change, tiles)))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("tag", [258, 273, 279, 33550, 34735, 42112, 42113, 347, 530])
@pytest.mark.parametrize("count", [2**32 - 1, 2**31, 10**7])
@pytest.mark.parametrize("size", [True, False])
def test_giant_counts_are_never_fetched(tag, count, size):
    tags, tiles = grey(IMAGE, compression=7)
    tags |= {347: (1, bytes(64)), 530: (SHORT, [1, 1]), 34735: (SHORT, [1, 1, 0, 0]), 33550: (DOUBLE, [1, 1, 0])}
    tags |= {42112: (ASCII, "x" * 9), 42113: (ASCII, "y" * 9), 262: 6, 277: 3, 258: (SHORT, [8, 8, 8])}
    data = bytearray(tiff((tags, tiles)))
    at = data.index(struct.pack("<H", tag), struct.unpack("<I", data[4:8])[0])
    while (at - struct.unpack("<I", data[4:8])[0] - 2) % 12:
        at = data.index(struct.pack("<H", tag), at + 1)
    struct.pack_into("<I", data, at + 4, count)
    reads = []
    try:
        header_of(bytes(data), size=size, reads=reads)
    except TiffError:
        pass
    except EOFError:
        assert not size
    assert all(span.length <= 16 << 20 for span in reads)


def test_a_directory_of_too_many_tags():
    data = b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, 2**63)
    with pytest.raises(CorruptTiffError, match="claims 9223372036854775808 tags"):
        header_of(data + bytes(64))


@pytest.mark.usefixtures("little_memory")
def test_a_chain_that_never_ends_costs_no_time():
    pages = [grey(IMAGE[:2, :2])] * 400
    with pytest.raises(UnsupportedTiffError, match="more than 256 images"):
        header_of(tiff(*pages), prefetch=8)


def test_metadata_with_growing_entities_stays_text():
    xml = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><GDALMetadata>'
        '<Item name="DESCRIPTION" sample="0" role="description">&b;</Item></GDALMetadata>'
    )
    tags, tiles = grey(IMAGE)
    assert header_of(tiff((tags | {42112: (ASCII, xml)}, tiles))).descriptions == ("&b;",)


@pytest.mark.parametrize("text", ["<" * 10**5, "<Item " * 10**5, '<Item a="' * 10**5, "<Item a=b>" * 10**5])
def test_metadata_is_read_in_linear_time(text):
    tags, tiles = grey(IMAGE)
    began = time.thread_time()
    header_of(tiff((tags | {42112: (ASCII, text)}, tiles)))
    assert time.thread_time() - began < 5


def encoded(compression, image, predictor=1):
    """(tags, tiles) of an image of 16 × 16 tiles."""
    rows, cols = image.shape[:2]
    samples = 1 if image.ndim == 2 else image.shape[2]
    encode = {
        1: lambda tile: tile.tobytes(),
        5: lambda tile: imagecodecs.lzw_encode(tile.tobytes()),
        7: imagecodecs.jpeg8_encode,
        8: lambda tile: imagecodecs.zlib_encode(tile.tobytes()),
        32773: lambda tile: imagecodecs.packbits_encode(tile.tobytes()),
        34887: imagecodecs.lerc_encode,
        34925: lambda tile: imagecodecs.lzma_encode(tile.tobytes()),
        50000: lambda tile: imagecodecs.zstd_encode(tile.tobytes()),
        50001: lambda tile: imagecodecs.webp_encode(tile, lossless=True),
        50002: lambda tile: imagecodecs.jpegxl_encode(tile, lossless=True),
        34712: lambda tile: imagecodecs.jpeg2k_encode(tile, reversible=True, codecformat="j2k"),
    }[compression]
    tiles = [
        encode(np.ascontiguousarray(image[row : row + 16, col : col + 16]))
        for row in range(0, rows, 16)
        for col in range(0, cols, 16)
    ]
    tags = image_tags(
        cols, rows, bits=(SHORT, [image.dtype.itemsize * 8] * samples), samples=samples, compression=compression,
        predictor=predictor, tile_width=16, tile_height=16, format=3 if image.dtype.kind == "f" else 1,
        photometric=6 if compression == 7 and samples == 3 else 2 if samples == 3 else 1,
    )  # fmt: skip
    return tags, tiles


CODECS = {
    "none": (1, IMAGE, 1), "lzw": (5, IMAGE, 1), "jpeg": (7, COLOUR, 1), "jpeg grey": (7, IMAGE, 1),
    "deflate": (8, IMAGE, 2), "deflate float": (8, FLOATS, 3), "packbits": (32773, IMAGE, 1),
    "lerc": (34887, FLOATS, 1),
    "lzma": (34925, IMAGE, 1), "zstd": (50000, COLOUR, 2), "webp": (50001, COLOUR, 1), "jpeg xl": (50002, COLOUR, 1),
    "jpeg 2000": (34712, COLOUR, 1),
}  # fmt: skip
FILES = {name: tiff(encoded(*case)) for name, case in CODECS.items()}
FILES["big-endian"] = tiff(encoded(8, IMAGE, 2), encoded(8, IMAGE[::2, ::2], 1), order=">", big=True)
FILES["pages"] = tiff(
    (grey(IMAGE)[0] | {42113: (ASCII, "7"), 42112: (ASCII, "<GDALMetadata></GDALMetadata>")}, grey(IMAGE)[1]),
    grey(IMAGE[::2, ::2], subfile=1),
    (image_tags(48, 32, subfile=4), [IMAGE.tobytes()]),
)


def _planar_cmyk():
    planes = [IMAGE, IMAGE[::-1], IMAGE // 2, IMAGE + 9]
    tags = image_tags(48, 32, samples=4, photometric=5, bits=(SHORT, [8] * 4), planar=2, compression=5, predictor=1)
    return tags, [imagecodecs.lzw_encode(np.ascontiguousarray(plane).tobytes()) for plane in planes]


def _old_jpeg():
    stored = imagecodecs.jpeg8_encode(np.ascontiguousarray(COLOUR), subsampling="420")
    tags = image_tags(48, 32, samples=3, photometric=6, bits=(SHORT, [8] * 3), compression=6)
    return tags | {513: (LONG, [8]), 514: (LONG, [len(stored)]), 530: (SHORT, [2, 2])}, [stored]


def _logluv():
    rows = [bytes([48, *row]) for row in np.repeat(IMAGE, 4, axis=0)]
    tags = image_tags(48, 32, samples=3, photometric=32845, bits=(SHORT, [16] * 3), format=2, compression=34676)
    return tags, [b"".join(rows)]


def _fax(compress):
    profile = {"driver": "GTiff", "count": 1, "height": 32, "width": 48, "dtype": "uint8", "nbits": 1}
    with MemoryFile() as file:
        with file.open(**profile, compress=compress, transform=from_origin(0, 32, 1, 1)) as target:
            target.write(IMAGE & 1, 1)
        return file.read()


FILES |= {"planar CMYK": tiff(_planar_cmyk()), "old-style JPEG": tiff(_old_jpeg()), "LogLuv": tiff(_logluv())}
FILES |= {"blocks of chroma": tiff((
    image_tags(48, 32, samples=3, photometric=6, bits=(SHORT, [8] * 3), compression=5) | {530: (SHORT, [2, 2])},
    [imagecodecs.lzw_encode(IMAGE.tobytes() + IMAGE.tobytes()[:768])],
))}  # fmt: skip
FILES |= {compress: _fax(compress) for compress in ("CCITTRLE", "CCITTFAX3", "CCITTFAX4")}


@pytest.mark.parametrize("name", some(CODECS, 3))
@pytest.mark.parametrize("wrong", ["other image", "empty", "zeros", "half", "longer", "header"])
def test_wrong_tile_bytes_are_an_error(name, wrong):
    compression, image, predictor = CODECS[name]
    header = header_of(FILES[name])
    level = header.levels[0]
    _, tiles = encoded(compression, image, predictor)
    bigger = np.repeat(np.repeat(image[:16, :16], 2, axis=0), 2, axis=1)
    stored = {
        "other image": lambda: _one_tile(compression, bigger),
        "empty": lambda: b"",
        "zeros": lambda: bytes(50),
        "half": lambda: tiles[0][: len(tiles[0]) // 2],
        "longer": lambda: _one_tile(compression, bigger[:, :17]),
        "header": lambda: tiles[0][:12],
    }[wrong]()
    if name == "jpeg 2000" and wrong == "half":
        pytest.skip("a codestream cut short still decodes, to less detail")
    try:
        got = decode_tile(level, 0, stored, "s.tif")
    except CorruptTiffError as error:
        assert str(error).startswith("s.tif: tile 0 of 48 × 32 pixels")
    else:
        # libjpeg fills what a cut stream lacks; everything else must be noticed.
        assert name.startswith("jpeg")
        assert wrong == "half"
        assert got.shape == (16, 16, level.samples)


def _one_tile(compression, image):
    """The stored bytes of a single tile as large as the image."""
    if compression in (7, 34887, 50001, 50002, 34712):
        return {
            7: imagecodecs.jpeg8_encode, 34887: imagecodecs.lerc_encode, 50001: imagecodecs.webp_encode,
            50002: imagecodecs.jpegxl_encode, 34712: imagecodecs.jpeg2k_encode,
        }[compression](np.ascontiguousarray(image))  # fmt: skip
    name = {1: None, 5: "lzw", 8: "zlib", 32773: "packbits", 34925: "lzma", 50000: "zstd"}[compression]
    return getattr(imagecodecs, f"{name}_encode")(image.tobytes()) if name else image.tobytes()


@pytest.mark.usefixtures("little_memory")
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", some(["jpeg", "jpeg grey", "webp", "jpeg xl", "lerc", "jpeg 2000"], 9))
def test_an_image_that_claims_giant_size_is_not_allocated(name):
    compression, image, _ = CODECS[name]
    level = header_of(FILES[name]).levels[0]
    stored = bytearray(_one_tile(compression, image[:16, :16]))
    if compression == 7:
        at = stored.index(b"\xff\xc0")
        stored[at + 5 : at + 9] = b"\xff\xdc\xff\xdc"
    elif compression == 34887:
        stored[14:22] = struct.pack("<ii", 2**20, 2**20)
    elif compression == 34712:
        at = bytes(stored).index(b"\xff\x4f\xff\x51")
        stored[at + 8 : at + 16] = struct.pack(">II", 2**30, 2**30)
    else:
        stored = bytearray(_one_tile(compression, np.zeros((2048, 1024, 3), "u1")))
    with pytest.raises(CorruptTiffError):
        decode_tile(level, 0, bytes(stored), "giant.tif")


def test_a_bomb_inside_lerc_is_not_unpacked():
    level = header_of(FILES["lerc"]).levels[0]
    for bomb in (imagecodecs.zstd_encode(bytes(40 << 20)), imagecodecs.zlib_encode(bytes(40 << 20))):
        with pytest.raises(CorruptTiffError):
            decode_tile(level, 0, bomb, "bomb.tif")


def test_files_are_read_before_they_are_damaged():
    for name, data in FILES.items():
        assert len(np.unique(pixels_of(data))) > 1, name


@settings(max_examples=examples(600), derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_files_give_errors_or_pixels(data):
    """Bit flips, truncations and overwritten parts: only TiffError comes out, of header and tiles."""
    file = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    directory = int.from_bytes(file[4:8], "little") if file[:2] == b"II" else len(file) - 400
    for _ in range(data.draw(st.integers(0, 6))):
        near = data.draw(st.booleans())
        low = max(0, min(directory, len(file) - 1)) if near else 0
        at = data.draw(st.integers(low, len(file) - 1))
        file[at] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del file[data.draw(st.integers(0, len(file))) :]
    began = time.thread_time()
    try:
        header = header_of(bytes(file), prefetch=data.draw(st.sampled_from([0, 64, 32768])))
        for level in (*header.levels, *filter(None, header.masks)):
            if level.width * level.height * level.samples < 1 << 20 and len(level.offsets) < 4096:
                pixels_of(bytes(file), level)
    except TiffError as error:
        assert str(error).startswith("crafted.tif: ")
    assert time.thread_time() - began < 5


@settings(max_examples=examples(300), derandomize=True)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"]),
)
def test_random_bytes_behind_a_tiff_magic(body, magic):
    data = magic + body
    with contextlib.suppress(TiffError):
        parse_header(SparseBytes(data, size=len(data)), "crafted.tif")


def test_a_tile_longer_than_the_file_is_an_error():
    tags, _ = grey(IMAGE)
    tags |= {259: 8, 273: (LONG8, [8]), 279: (LONG8, [2**64 - 1])}
    for size in (True, False):
        with pytest.raises(TiffError, match="truncated"):
            header_of(tiff((tags, []), big=True), size=size)
