"""One file of each kind that is refused: {kind: (make, rasterio reads it, part of the message)}."""

import imagecodecs
import numpy as np
from craft import LONG, SHORT, grey, image_tags, tiff
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


def _planar(photometric, samples, **more):
    tags = image_tags(8, 8, photometric=photometric, samples=samples, bits=(SHORT, [8] * samples), planar=2, **more)
    return tiff((tags, [GREY.tobytes()] * samples))


def _predicted_chroma():
    tags = image_tags(8, 8, photometric=6, samples=3, bits=(SHORT, [8] * 3), predictor=2, compression=8)
    return tiff((tags | {530: (SHORT, [2, 2])}, [imagecodecs.zlib_encode(bytes(96))]))


def _logluv():
    """Four runs a row, one for each byte of the samples, of 128 + 2 or more times the same byte."""
    tags = image_tags(8, 8, photometric=32845, samples=3, bits=(SHORT, [8] * 3), compression=34676)
    return tiff((tags, [bytes([134, 60, 134, 9, 134, 60, 134, 60]) * 8]))


def _old_jpeg():
    stored = imagecodecs.jpeg8_encode(GREY)
    return tiff((image_tags(8, 8, compression=6) | {513: (LONG, [8]), 514: (LONG, [len(stored)])}, [stored]))


def _zstd_without_count():
    return tiff((image_tags(8, 8, compression=50000) | {279: (LONG, [0])}, [imagecodecs.zstd_encode(GREY.tobytes())]))


KINDS = {
    "complex floating point": (lambda: _gdal(BITS.astype("c8")), True, "complex samples"),
    "complex integers": (lambda: tiff((image_tags(4, 4, bits=32, format=5), [bytes(64)])), True, "complex samples"),
    "subsampled YCbCr with a predictor": (_predicted_chroma, True, "a predictor of subsampled YCbCr"),
    "SGI LogLuv of 8 bit": (_logluv, True, "SGI LogLuv"),
    "ZSTD strip without a byte count": (_zstd_without_count, True, "ZSTD"),
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
    "old-style JPEG that is no YCbCr": (_old_jpeg, False, "old-style JPEG of 1 samples"),
    "planar CMYK of more than four samples": (lambda: _planar(5, 5, extra=0), False, "planar CMYK of 5 samples"),
    "planar YCbCr with subsampled chroma": (lambda: _planar(6, 3), False, "planar subsampled YCbCr"),
    "planar CIELab": (lambda: _planar(8, 3), False, "planar CIELab"),
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
