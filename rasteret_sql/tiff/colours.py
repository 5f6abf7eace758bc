"""Converts samples of CMYK, YCbCr and CIELab to the red, green, blue (and alpha) that GDAL gives for them.

GDAL lets libtiff convert these, where they are of 8 bit and not planar (TIFF 6.0, sections 16, 20, 21 and 23). Rounding
is libtiff's: its tables of YCbCr count in 1/65536, its table of CIELab has 1500 steps.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.header import Level

Samples = npt.NDArray[np.uint8]

SUBSAMPLINGS = frozenset({(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)})
"""What libtiff converts, as (across, down)."""
YCBCR_DEFAULT = (0.299, 0.587, 0.114, 0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
"""YCbCrCoefficients, then ReferenceBlackWhite, of files that do not say."""
D50 = (96.4250 / (96.4250 + 100.0 + 82.4680), 100.0 / (96.4250 + 100.0 + 82.4680))
"""WhitePoint of files that do not say."""

_STEPS = 1500
_GAMMA = 2.4
_XYZ_TO_RGB = np.array([[3.2410, -1.5374, -0.4986], [-0.9692, 1.8760, 0.0416], [0.0556, -0.2040, 1.0570]], np.float32)


def displayed(level: Level, pixels: Samples) -> Samples:
    """Convert decoded samples, shape (rows, cols, stored samples), to the level's; see `Level.stored_samples`."""
    if level.photometric == tags.PHOTOMETRIC_CMYK:
        return _of_cmyk(pixels)
    if level.photometric == tags.PHOTOMETRIC_YCBCR:
        return _of_ycbcr(pixels, level.colours)
    return _of_cielab(pixels, level.colours)


def _of_cmyk(pixels: Samples) -> Samples:
    ink = 255 - pixels[..., :4].astype(np.uint16)
    out = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    out[..., :3] = ink[..., :3] * ink[..., 3:] // 255
    return out


def _of_ycbcr(pixels: Samples, colours: tuple[float, ...]) -> Samples:
    light, red, blue, green_red, green_blue = _ycbcr_tables(colours)
    y, cb, cr = light[pixels[..., 0]], pixels[..., 1], pixels[..., 2]
    bands = (y + red[cr], y + ((green_blue[cb] + green_red[cr]) >> 16), y + blue[cb])
    return np.stack([band.clip(0, 255).astype(np.uint8) for band in bands], axis=-1)


@lru_cache(maxsize=16)
def _ycbcr_tables(colours: tuple[float, ...]) -> tuple[npt.NDArray[np.int64], ...]:
    """The values that a sample of 0 to 255 adds: Y to all; Cr to red; Cb to blue; Cr and Cb to green, in 1/65536."""
    luma_red, luma_green, luma_blue, *reference = map(float, np.array(colours, np.float32))
    of_red, of_blue = 2 - 2 * luma_red, 2 - 2 * luma_blue
    factors = [of_red, luma_red * of_red / luma_green, of_blue, luma_blue * of_blue / luma_green]
    red, green_red, blue, green_blue = (int(min(max(float(np.float32(f)), 0.0), 2.0) * 65536 + 0.5) for f in factors)
    code = np.arange(256)
    y = _ranged(code, reference[0], reference[1], 255)
    cb = _ranged(code - 128, reference[2] - 128, reference[3] - 128, 127)
    cr = _ranged(code - 128, reference[4] - 128, reference[5] - 128, 127)
    half = 1 << 15
    return y, (red * cr + half) >> 16, (blue * cb + half) >> 16, -green_red * cr, -green_blue * cb + half


def _ranged(code: npt.NDArray[np.int64], black: float, white: float, full: int) -> npt.NDArray[np.int64]:
    """Codes between a black and a white as values up to `full`, cut to whole numbers."""
    scaled = (code - int(black)).astype(np.float32) * np.float32(full) / np.float32((white - black) or 1)
    return scaled.clip(-4096, 4096).astype(np.int64)


def _of_cielab(pixels: Samples, white: tuple[float, ...]) -> Samples:
    one = np.float32
    y0 = one(100)
    x0, z0 = one(white[0] / white[1] * 100), one((1 - white[0] - white[1]) / white[1] * 100)
    lightness = pixels[..., 0].astype(np.float32) * one(100) / one(255)
    a, b = (pixels[..., at].view(np.int8).astype(np.float32) for at in (1, 2))
    dark = lightness < one(8.856)
    low = lightness * y0 / one(903.292)
    root = np.where(dark, one(7.787) * (low / y0) + one(16) / one(116), (lightness + one(16)) / one(116))
    y = np.where(dark, low, y0 * root * root * root)
    x, z = _cube(a / one(500) + root, x0), _cube(root - b / one(200), z0)
    table = np.rint(255.0 * (np.arange(_STEPS + 1) / _STEPS) ** (1 / _GAMMA)).astype(np.uint8)
    out = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    for band, (of_x, of_y, of_z) in enumerate(_XYZ_TO_RGB):
        light = (of_x * x + of_y * y + of_z * z).clip(one(1), one(100))
        step = (light - one(1)) / one(99.0 / _STEPS)
        out[..., band] = table[step.astype(np.int64).clip(0, _STEPS)]
    return out


def _cube(root: npt.NDArray[np.float32], white: np.float32) -> npt.NDArray[np.float32]:
    one = np.float32
    small = white * (root - one(0.13793)) / one(7.787)
    return np.where(root < one(0.2069), small, white * root * root * root)
