"""One file of each kind that is refused: {kind: (make, rasterio reads it, part of the message)}."""

import imagecodecs
import numpy as np
from craft import DOUBLE, LONG, SHORT, grey, image_tags, tiff
from rasterio.io import MemoryFile

RNG = np.random.default_rng(2)
GREY = RNG.integers(0, 256, (8, 8), np.uint8)
BITS = RNG.integers(0, 2, (1, 32, 32), np.uint8)


def _gdal(array, **options):
    with MemoryFile() as file:
        profile = {"driver": "GTiff", "count": array.shape[0], "height": array.shape[1], "width": array.shape[2]}
        with file.open(**profile, dtype=array.dtype, **options) as target:
            target.write(array)
        return file.read()


def _plain(**tags):
    return tiff((image_tags(8, 8, **tags), [GREY.tobytes()]))


def _colours(photometric, samples=3):
    tags = image_tags(4, 4, photometric=photometric, samples=samples, bits=(SHORT, [8] * samples))
    if photometric == 6:
        tags[530] = (SHORT, [1, 1])
    return tiff((tags, [bytes(16 * samples)]))


def _looped():
    data = bytearray(tiff(grey(GREY)))
    data[-4:] = data[4:8]
    return bytes(data)


KINDS = {
    "ground control points alone": (
        lambda: tiff(({**image_tags(8, 8), 33922: (DOUBLE, [0, 0, 0, 1, 2, 0, 8, 0, 0, 3, 2, 0])}, [GREY.tobytes()])),
        True,
        "2 ground control points",
    ),
    "complex floating point": (lambda: _gdal(BITS.astype("c8")), True, "complex samples"),
    "complex integers": (lambda: tiff((image_tags(4, 4, bits=32, format=5), [bytes(64)])), True, "complex samples"),
    "CCITT modified Huffman RLE": (lambda: _gdal(BITS, compress="CCITTRLE", nbits=1), True, "CCITT modified Huffman"),
    "CCITT Group 3": (lambda: _gdal(BITS, compress="CCITTFAX3", nbits=1), True, "CCITT Group 3"),
    "CCITT Group 4": (lambda: _gdal(BITS, compress="CCITTFAX4", nbits=1), True, "CCITT Group 4"),
    "CMYK": (lambda: _colours(5, 4), True, "CMYK"),
    "YCbCr without JPEG": (lambda: _colours(6), True, "YCbCr"),
    "CIELab": (lambda: _colours(8), True, "CIELab"),
    "ICCLab": (lambda: _colours(9), True, "ICCLab"),
    "ITULab": (lambda: _colours(10), True, "ITULab"),
    "LogL": (lambda: _colours(32844), True, "LogL"),
    "LogLuv": (lambda: _colours(32845), True, "LogLuv"),
    "signed samples of odd bit depth": (
        lambda: tiff((image_tags(8, 8, bits=12, format=2), [bytes(96)])),
        True,
        "signed samples of 12 bit",
    ),
    "more than 256 images": (lambda: tiff(*[grey(GREY)] * 257), True, "more than 256 images"),
    "mask of several samples": (
        lambda: tiff(grey(GREY), (image_tags(8, 8, subfile=4, samples=3, bits=(SHORT, [8] * 3)), [bytes(192)])),
        True,
        "a mask of 3 samples",
    ),
    "mask of another size than the image": (
        lambda: tiff(grey(GREY), (image_tags(4, 4, subfile=4), [bytes(16)])),
        True,
        "none of the image's 8 × 8",
    ),
    "fewer tiles than the image needs": (lambda: _plain(rows=4), True, "1 values for 2 tiles"),
    "chain of directories that loops": (_looped, True, "returns to byte"),
    "old-style JPEG": (lambda: _plain(compression=6), False, "old-style JPEG"),
    "NeXT RLE": (lambda: _plain(compression=32766), False, "NeXT RLE"),
    "ThunderScan": (lambda: _plain(compression=32809), False, "ThunderScan"),
    "PixarLog": (lambda: _plain(compression=32909), False, "PixarLog"),
    "JBIG": (lambda: _plain(compression=34661), False, "JBIG"),
    "Aperio JPEG 2000 YCbCr": (lambda: _plain(compression=33003), False, "Aperio"),
    "PNG": (lambda: _plain(compression=34933), False, "PNG"),
    "JPEG XR": (lambda: _plain(compression=34934), False, "JPEG XR"),
    "samples of different types": (
        lambda: tiff((image_tags(4, 4, bits=(SHORT, [8, 16]), samples=2), [bytes(64)])),
        False,
        "samples of different types",
    ),
    "floating point of 8 or 128 bit": (
        lambda: tiff((image_tags(8, 8, bits=128, format=3), [bytes(1024)])),
        False,
        "floating-point samples of 128 bit",
    ),
    "integers of 33 to 63 bit": (lambda: tiff((image_tags(8, 8, bits=40), [bytes(320)])), False, "samples of 40 bit"),
    "predictor 2 of odd bit depth": (
        lambda: tiff((image_tags(8, 8, bits=12, predictor=2, compression=8), [imagecodecs.zlib_encode(bytes(96))])),
        False,
        "predictor 2 of 12 bit",
    ),
    "predictors of DNG": (lambda: _plain(predictor=34892, compression=8), False, "predictor 34892"),
    "tile table beyond the file": (
        lambda: tiff(({**image_tags(8, 8, rows=4), 273: (LONG, [8, 10**5]), 279: (LONG, [32, 32])}, [])),
        False,
        "it is truncated",
    ),
}  # fmt: skip
