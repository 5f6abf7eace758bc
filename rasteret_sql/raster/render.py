"""Draws pixels as PNG pictures: grey, coloured, or red, green and blue, transparent where they are not valid."""

from __future__ import annotations

from collections.abc import Sequence

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.colormaps import apply_colormap
from rasteret_sql.raster.stretch import DEFAULT_STRETCH, Limits, Stretch

Pixels = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]
"""Grey (height, width), grey and alpha (…, 2), RGB (…, 3) or RGBA (…, 4)."""


def render_png(
    data: Pixels,
    mask: Mask | None = None,
    *,
    stretch: Stretch = DEFAULT_STRETCH,
    colormap: str | None = None,
    size: int | None = None,
) -> bytes:
    """Draw pixels as a PNG.

    Args:
        data: one band, shape (1, height, width), or red, green and blue, (3, height, width), any real dtype.
        mask: True is valid, the same shape. A pixel is transparent where a band is not valid, NaN or infinite. None
            where all are valid.
        stretch: which values become black and white.
        colormap: name of a colormap for one band; default grey.
        size: pixels of the longer side of the picture; default that of the data. A larger picture repeats pixels, a
            smaller one averages their colours, or takes one of them if they are levels of classes.

    Returns:
        A PNG of 8 bits a sample.

    Raises:
        InvalidArgumentError: no pixels, or an argument that cannot be used.
    """
    limits = stretch.of_bands(valid_values([(data, mask)]))
    image = picture(data, mask, limits, colormap)
    if size is not None:
        image = resize(image, size / max(image.shape[:2]), averages=not stretch.is_of_levels)
    return encode(image)


def encode(image: Image) -> bytes:
    """The PNG of an image."""
    # A copy: numpy counts arrays with axes of length 1 as contiguous whatever their strides, the encoder does not.
    return bytes(imagecodecs.png_encode(image.copy(order="C")))


def encode_quickly(image: Image, *, by_table: bool) -> bytes:
    """The PNG of an image in a third of the time, and of about the same size.

    Args:
        image: Any image.
        by_table: True where a colormap made it: then neighbours have no differences worth to be stored.
    """
    # RLE over differences to the pixel before, as OpenCV has it.
    how = {"filter": 8} if by_table else {"strategy": 3, "filter": 16}
    return bytes(imagecodecs.png_encode(image.copy(order="C"), level=1, **how))


def valid_values(pictures: Sequence[tuple[Pixels, Mask | None]]) -> list[list[Pixels]]:
    """The valid pixels of each band, of pictures with the same number of bands."""
    shown = [(data, _valid(data, mask)) for data, mask in pictures]
    return [[data[band][valid[band]] for data, valid in shown] for band in range(len(shown[0][0]))]


def _valid(data: Pixels, mask: Mask | None) -> Mask:
    if data.ndim != 3 or len(data) not in (1, 3) or 0 in data.shape or data.dtype.kind not in "uifb":
        raise InvalidArgumentError(
            f"a picture needs pixels (bands, height, width) of one band or three, not {data.shape} of {data.dtype}"
        )
    valid: Mask = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, dtype=np.bool_)
    return valid if mask is None else valid & mask


def picture(data: Pixels, mask: Mask | None, limits: Sequence[Limits], colormap: str | None = None) -> Image:
    """The colours of pixels, with alpha only where some are not valid.

    Args:
        data: as `render_png` takes it.
        mask: True is valid.
        limits: of each band.
        colormap: name of a colormap for one band.
    """
    valid = _valid(data, mask)
    if colormap is not None and len(data) > 1:
        raise InvalidArgumentError(
            f'colormap "{colormap}" colours one band; {len(data)} bands are shown as RGB: say bands := 1, or leave the '
            "colormap out"
        )
    levels = np.empty(data.shape, dtype=np.uint8)
    for band, (low, high) in enumerate(limits):
        levels[band] = _grey(data[band], valid[band], low, high)
    together: Mask = np.logical_and.reduce(valid, axis=0)
    image = np.moveaxis(levels, 0, -1) if len(data) == 3 else levels[0]
    if colormap is not None:
        image = apply_colormap(colormap, image)
    if together.all():
        return image
    alpha = np.where(together, 255, 0).astype(np.uint8)
    layers = image[..., None] if image.ndim == 2 else image
    return np.concatenate((np.where(together[..., None], layers, 0).astype(np.uint8), alpha[..., None]), axis=-1)


def rgba(image: Image) -> Image:
    """The same picture with red, green, blue and alpha, shape (height, width, 4)."""
    layers = image[..., None] if image.ndim == 2 else image
    count = layers.shape[-1]
    colours = np.repeat(layers[..., :1], 3, axis=-1) if count <= 2 else layers[..., :3]
    opacity = layers[..., -1:] if count in (2, 4) else np.full((*layers.shape[:2], 1), 255, np.uint8)
    return np.concatenate([colours, opacity], axis=-1)


def resize(image: Image, factor: float, *, averages: bool = True) -> Image:
    """The picture with so many times as many pixels along both sides, at least one.

    Args:
        image: Any image.
        factor: Above 0.
        averages: True: a smaller picture averages colours of opaque pixels; False: it takes one of them.
    """
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    rows, cols = (
        (np.arange(count) * side) // count for count, side in zip((height, width), image.shape[:2], strict=True)
    )
    if factor >= 1 or not averages:
        if factor < 1:  # those in the middle
            rows, cols = (
                (np.arange(count) * 2 + 1) * side // (2 * count)
                for count, side in zip((height, width), image.shape[:2], strict=True)
            )
        taken: Image = image[rows][:, cols]
        return taken
    return _averaged(image, rows, cols)


def _averaged(image: Image, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]) -> Image:
    """Mean colours of the pixels between some rows and columns; of transparent ones nothing is seen."""
    layers = (image[..., None] if image.ndim == 2 else image).astype(np.float64)
    has_alpha = layers.shape[-1] in (2, 4)
    weight = layers[..., -1:] / 255 if has_alpha else np.ones((*layers.shape[:2], 1))

    def summed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = np.add.reduceat(np.add.reduceat(values, rows, axis=0), cols, axis=1)
        return found

    weights, pixels = summed(weight), summed(np.ones((*layers.shape[:2], 1)))
    colours = layers[..., :-1] if has_alpha else layers
    mean = summed(colours * weight) / np.where(weights > 0, weights, 1)
    parts = [mean, 255 * weights / pixels] if has_alpha else [mean]
    made: Image = np.round(np.concatenate(parts, axis=-1)).astype(np.uint8)
    return made[..., 0] if image.ndim == 2 else made


def _grey(band: Pixels, valid: Mask, low: float, high: float) -> Image:
    """Levels 0..255; where low and high are one value, what is below is black, above white, and equal to it grey."""
    values = np.where(valid, band, 0).astype(np.float64)
    if band.dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return np.where(valid, band, 0).astype(np.uint8)
    if low == high:
        return (128 + np.sign(values - low) * 127.5).astype(np.uint8)
    with np.errstate(all="ignore"):
        # Halved, so that no difference of two finite numbers is infinite.
        shares = np.nan_to_num(np.clip((values / 2 - low / 2) / (high / 2 - low / 2), 0, 1))
    levels: Image = np.round(shares * 255).astype(np.uint8)
    return levels
