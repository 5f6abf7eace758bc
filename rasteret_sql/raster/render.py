"""Draws pixels as PNG pictures, and many of them as one contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.colormaps import apply_colormap

Pixels = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]
Limit = float | Sequence[float] | None

_SAMPLE = 1_000_000
"""Pixels from which percentiles are taken, at most: evenly spaced ones of a larger image."""
"""Pixels around each picture of a contact sheet."""


@dataclass(frozen=True, slots=True)
class _Style:
    """Rules by which values become colours; fields as `render_png` takes them."""

    vmin: Limit
    vmax: Limit
    percentiles: tuple[float, float]
    colormap: str | None


def render_png(
    data: Pixels,
    mask: Mask | None = None,
    *,
    vmin: Limit = None,
    vmax: Limit = None,
    percentiles: tuple[float, float] = (2.0, 98.0),
    colormap: str | None = None,
) -> bytes:
    """Draw pixels as a PNG: one or two bands as grey (the first), three or more as red, green and blue.

    Args:
        data: shape (bands, height, width), any real dtype.
        mask: True is valid; same shape, or (height, width) for all bands. A pixel is transparent where a band shown is
            not valid, NaN or infinite. None where all are valid.
        vmin: value that becomes black, one for all bands or one for each shown. Default: `percentiles` of the valid
            pixels; 0 for uint8, which is shown as it is.
        vmax: value that becomes white; default as for `vmin`, 255 for uint8.
        percentiles: percentiles between which other dtypes are stretched, 0..100.
        colormap: name of a colormap for one band; default grey.

    Returns:
        A PNG of 8 bits a sample.

    Raises:
        InvalidArgumentError: no pixels, or limits or a colormap that cannot be used.
    """
    return _encode(_colours(data, mask, _Style(vmin, vmax, percentiles, colormap)))


def _encode(image: npt.NDArray[np.uint8]) -> bytes:
    # A copy: numpy counts arrays with axes of length 1 as contiguous whatever their strides, the encoder does not.
    return bytes(imagecodecs.png_encode(image.copy(order="C")))


def _colours(data: Pixels, mask: Mask | None, style: _Style) -> npt.NDArray[np.uint8]:
    """Grey (height, width), grey and alpha (…, 2), RGB (…, 3) or RGBA (…, 4): alpha only where pixels are not valid."""
    if data.ndim != 3 or 0 in data.shape or data.dtype.kind not in "uifb":
        raise InvalidArgumentError(f"a picture needs pixels (bands, height, width), not {data.shape} of {data.dtype}")
    shown = data[: 3 if len(data) >= 3 else 1]
    if style.colormap is not None and len(shown) > 1:
        raise InvalidArgumentError(f'colormap "{style.colormap}" colours one band; {len(data)} bands are shown as RGB')
    valid: Mask = np.isfinite(shown) if shown.dtype.kind == "f" else np.ones(shown.shape, dtype=np.bool_)
    if mask is not None:
        valid &= mask if mask.ndim == 2 else mask[: len(shown)]
    lows, highs = _limits("vmin", style.vmin, len(shown)), _limits("vmax", style.vmax, len(shown))
    levels = np.empty(shown.shape, dtype=np.uint8)
    for i, band in enumerate(shown):
        low, high = lows[i], highs[i]
        if low is None or high is None:
            found = _stretch(band, valid[i], style.percentiles)
            low, high = found[0] if low is None else low, found[1] if high is None else high
        levels[i] = _grey(band, valid[i], low, high)
    together: Mask = np.logical_and.reduce(valid, axis=0)
    image = np.moveaxis(levels, 0, -1) if len(shown) == 3 else levels[0]
    if style.colormap is not None:
        image = apply_colormap(style.colormap, image)
    if together.all():
        return image
    alpha = np.where(together, 255, 0).astype(np.uint8)
    layers = image[..., None] if image.ndim == 2 else image
    return np.concatenate((np.where(together[..., None], layers, 0).astype(np.uint8), alpha[..., None]), axis=-1)


def _limits(name: str, given: Limit, bands: int) -> list[float | None]:
    if given is None:
        return [None] * bands
    values = [float(v) for v in given] if isinstance(given, Sequence | np.ndarray) else [float(given)] * bands
    if len(values) != bands or not all(math.isfinite(v) for v in values):
        raise InvalidArgumentError(f"{name} is one finite number, or one for each of {bands} bands, not {given}")
    return list(values)


def _stretch(band: Pixels, valid: Mask, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Values that become black and white by default."""
    if band.dtype == np.uint8:
        return 0.0, 255.0
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise InvalidArgumentError(f"percentiles have to rise within 0..100, not {percentiles}")
    step = max(1, math.isqrt(band.size // _SAMPLE))
    seen = band[::step, ::step][valid[::step, ::step]]
    if not seen.size:
        return 0.0, 1.0
    with np.errstate(all="ignore"):
        found = np.nan_to_num(np.percentile(seen.astype(np.float64), (low, high)))
    return float(found[0]), float(found[1])


def _grey(band: Pixels, valid: Mask, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Levels 0..255; where low and high are one value, what is below is black, above white, and equal to it grey."""
    values = np.where(valid, band, 0).astype(np.float64)
    if band.dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return np.where(valid, band, 0).astype(np.uint8)
    if low == high:
        return (128 + np.sign(values - low) * 127.5).astype(np.uint8)
    with np.errstate(all="ignore"):
        # Halved, so that no difference of two finite numbers is infinite.
        shares = np.nan_to_num(np.clip((values / 2 - low / 2) / (high / 2 - low / 2), 0, 1))
    levels: npt.NDArray[np.uint8] = np.round(shares * 255).astype(np.uint8)
    return levels
