"""Pictures, looked at pixel by pixel."""

from __future__ import annotations

import hypothesis.extra.numpy as st_np
import hypothesis.strategies as st
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.colormaps import COLORMAPS, apply_colormap
from rasteret_sql.raster.render import render_png
from tests.sampling import examples


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return imagecodecs.png_decode(png)


def test_uint8_is_shown_as_it_is() -> None:
    data = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    np.testing.assert_array_equal(pixels(render_png(data)).squeeze(), data[0])
    rgb = np.arange(48, dtype=np.uint8).reshape(4, 3, 4)
    np.testing.assert_array_equal(pixels(render_png(rgb)), np.moveaxis(rgb[:3], 0, -1))


def test_limits_become_black_and_white() -> None:
    data = np.array([[[-5, 0, 50, 100, 900]]], dtype=np.int16)
    assert pixels(render_png(data, vmin=0, vmax=100)).ravel().tolist() == [0, 0, 128, 255, 255]
    assert pixels(render_png(-data, vmin=0, vmax=-100)).ravel().tolist() == [0, 0, 128, 255, 255]


def test_percentiles_leave_out_what_is_not_valid() -> None:
    data = np.append(np.arange(100.0), 1e9).reshape(1, 1, 101)
    mask = data < 1e9
    shown = pixels(render_png(data, mask, percentiles=(0, 100)))
    assert shown.shape[-1] == 2
    assert shown[0, [0, 99, 100], :].tolist() == [[0, 255], [255, 255], [0, 0]]


def test_masks_and_nan_are_transparent() -> None:
    rgb = np.ones((3, 2, 2), dtype=np.float32)
    rgb[1, 0, 0] = np.nan
    mask = np.ones((2, 2), dtype=bool)
    mask[1, 1] = False
    assert pixels(render_png(rgb, mask))[..., 3].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_constant_and_all_masked_images(dtype: str) -> None:
    data = np.full((1, 3, 3), 7, dtype=dtype)
    assert len(np.unique(pixels(render_png(data)))) == 1
    assert not pixels(render_png(data, np.zeros((1, 3, 3), dtype=bool))).any()


def test_colormap_ends() -> None:
    data = np.array([[[0, 1]]], dtype=np.float32)
    shown = pixels(render_png(data, vmin=0, vmax=1, colormap="viridis"))
    assert shown[0].tolist() == [[0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]]
    for name in COLORMAPS:
        assert apply_colormap(name, np.arange(256, dtype=np.uint8)).shape == (256, 3)


@pytest.mark.parametrize("name", ["grey", "viridis"])
def test_lightness_rises(name: str) -> None:
    red, green, blue = apply_colormap(name, np.arange(256, dtype=np.uint8)).T.astype(float)
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > -0.5).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"colormap": "virdis"}, 'did you mean "viridis"'),
        ({"vmin": [1, 2]}, "vmin is one finite number"),
        ({"vmax": float("nan")}, "vmax is one finite number"),
        ({"percentiles": (98, 2)}, "percentiles have to rise"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        render_png(np.zeros((1, 2, 2), dtype=np.int16), **arguments)


def test_wrong_shapes() -> None:
    with pytest.raises(InvalidArgumentError, match="bands, height, width"):
        render_png(np.zeros((2, 2)))
    with pytest.raises(InvalidArgumentError, match="one band"):
        render_png(np.zeros((3, 2, 2)), colormap="ndvi")


@settings(max_examples=examples(60), deadline=None)
@given(
    st_np.arrays(
        st.sampled_from([np.dtype(d) for d in ("uint8", "int8", "uint16", "int64", "float16", "float32", "float64")]),
        st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    )
)
def test_any_pixels_make_a_picture(data: np.ndarray) -> None:
    assert pixels(render_png(data)).shape[:2] == data.shape[1:]
