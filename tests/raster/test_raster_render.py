"""Pictures, looked at pixel by pixel."""

from __future__ import annotations

import hypothesis.extra.numpy as st_np
import hypothesis.strategies as st
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.colormaps import apply_colormap, colormap, colormap_names
from rasteret_sql.raster.contact_sheet import contact_sheet
from rasteret_sql.raster.render import render_png, resize
from rasteret_sql.raster.stretch import Stretch
from tests.sampling import examples


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return imagecodecs.png_decode(png)


def test_uint8_is_shown_as_it_is() -> None:
    data = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    np.testing.assert_array_equal(pixels(render_png(data)).squeeze(), data[0])
    rgb = np.arange(36, dtype=np.uint8).reshape(3, 3, 4)
    np.testing.assert_array_equal(pixels(render_png(rgb)), np.moveaxis(rgb, 0, -1))


def test_limits_become_black_and_white() -> None:
    data = np.array([[[-5, 0, 50, 100, 900]]], dtype=np.int16)
    assert pixels(render_png(data, stretch=Stretch.of([0, 100]))).ravel().tolist() == [0, 0, 128, 255, 255]
    assert pixels(render_png(-data, stretch=Stretch.of(None, 0, -100))).ravel().tolist() == [0, 0, 128, 255, 255]


def test_percentiles_leave_out_what_is_not_valid() -> None:
    data = np.append(np.arange(100.0), 1e9).reshape(1, 1, 101)
    mask = data < 1e9
    shown = pixels(render_png(data, mask, stretch=Stretch.of("p0-p100")))
    assert shown.shape[-1] == 2
    assert shown[0, [0, 99, 100], :].tolist() == [[0, 255], [255, 255], [0, 0]]


def test_masks_and_nan_are_transparent() -> None:
    rgb = np.ones((3, 2, 2), dtype=np.float32)
    rgb[1, 0, 0] = np.nan
    mask = np.ones((3, 2, 2), dtype=bool)
    mask[2, 1, 1] = False
    assert pixels(render_png(rgb, mask))[..., 3].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_constant_and_all_masked_images(dtype: str) -> None:
    data = np.full((1, 3, 3), 7, dtype=dtype)
    assert len(np.unique(pixels(render_png(data)))) == 1
    assert not pixels(render_png(data, np.zeros((1, 3, 3), dtype=bool))).any()


def test_the_ends_of_a_colormap() -> None:
    data = np.array([[[0, 1]]], dtype=np.float32)
    shown = pixels(render_png(data, stretch=Stretch.of([0, 1]), colormap="viridis"))
    assert shown[0].tolist() == [[68, 1, 84], [253, 231, 36]]
    turned = pixels(render_png(data, stretch=Stretch.of([0, 1]), colormap="VIRIDIS_R"))
    assert turned[0].tolist() == [[253, 231, 36], [68, 1, 84]]


def test_every_colormap_has_256_colours() -> None:
    names = colormap_names()
    assert {"viridis", "RdYlGn", "Spectral", "tab20", "gray", "ndvi"} <= set(names)
    assert {colormap(name).shape for name in names} == {(256, 3)}


def test_colormaps_are_those_of_matplotlib() -> None:
    known = pytest.importorskip("matplotlib").colormaps
    names = [name for name in colormap_names() if name in known]
    assert len(names) > 160
    for name in names:
        expected = known[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
        np.testing.assert_array_equal(colormap(name), expected, err_msg=name)


@pytest.mark.parametrize("name", ["grey", "viridis"])
def test_lightness_rises(name: str) -> None:
    red, green, blue = apply_colormap(name, np.arange(256, dtype=np.uint8)).T.astype(float)
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > -0.5).all()


def test_a_stretch_for_each_band() -> None:
    data = np.array([[[0, 10]], [[0, 10]], [[0, 10]]], dtype=np.int16)
    shown = pixels(render_png(data, stretch=Stretch.of([[0, 10], [0, 20], [10, 0]])))
    assert shown[0].tolist() == [[0, 0, 255], [255, 128, 0]]


def test_levels_are_shown_as_they_are() -> None:
    data = np.array([[[-3, 0, 7, 255, 300]]], dtype=np.int16)
    assert pixels(render_png(data, stretch=Stretch.of("none"))).ravel().tolist() == [0, 0, 7, 255, 255]


def test_percentiles_of_bytes_are_asked_for() -> None:
    data = np.arange(100, 201, dtype=np.uint8).reshape(1, 1, 101)
    shown = pixels(render_png(data, stretch=Stretch.of("p10-p90"))).ravel()
    assert [shown[0], shown[10], shown[50], shown[90], shown[100]] == [0, 0, 128, 255, 255]


def test_larger_pictures_repeat_pixels_and_smaller_ones_average_them() -> None:
    data = np.array([[[0, 100, 200, 100], [100, 200, 100, 0]]], dtype=np.uint8)
    larger = pixels(render_png(data, size=8)).squeeze()
    np.testing.assert_array_equal(larger, np.kron(data[0], np.ones((2, 2), np.uint8)))
    assert pixels(render_png(data, size=2)).ravel().tolist() == [100, 100]
    assert pixels(render_png(data, size=2, stretch=Stretch.of("none"))).ravel().tolist() == [200, 0]
    mask = np.array([[[True, True, True, True], [False, False, True, False]]])
    assert pixels(render_png(data, mask, size=2)).reshape(2, 2).tolist() == [[50, 128], [133, 191]]


def test_resizing_keeps_at_least_one_pixel() -> None:
    assert resize(np.zeros((1, 100), np.uint8), 0.1).shape == (1, 10)


def test_a_sheet_has_cells_labels_and_gaps() -> None:
    pytest.importorskip("PIL")
    dark, light = np.zeros((20, 60), np.uint8), np.full((10, 60, 4), 200, np.uint8)
    sheet = contact_sheet([dark, None, light], 2, gap=4, labels=["2024-01-01", None, "a name that is too long for it"])
    assert sheet.shape == (2 * (20 + 16 + 4) + 4, 2 * 64 + 4, 4)
    assert sheet[4, 4].tolist() == [0, 0, 0, 255]
    assert sheet[44, 4].tolist() == [200, 200, 200, 200]
    empty = sheet[4:40, 68:128]
    assert (empty == 255).all()
    assert (sheet[24:40, 4:64, :3] < 128).any()
    assert (sheet[64:80, 4:64, :3] < 128).any()


@pytest.mark.parametrize(
    ("stretch", "message"),
    [
        (([1, 2, 3],), "expected 'p2-p98', \\[min, max\\]"),
        (("p98-p2",), "stretch := 'p98-p2' cannot be used"),
        (("p2",), "stretch := 'p2' cannot be used"),
        ((["a", "b"],), "cannot be used"),
        (([0, float("nan")],), "cannot be used"),
        ((True,), "cannot be used"),
        ((None, float("inf")), "vmin := inf cannot be used; expected a finite number"),
    ],
)
def test_stretches_that_are_none(stretch: tuple, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Stretch.of(*stretch)


def test_wrong_arguments() -> None:
    data = np.zeros((1, 2, 2), dtype=np.int16)
    with pytest.raises(InvalidArgumentError, match='did you mean "viridis"'):
        render_png(data, colormap="virdis")
    with pytest.raises(InvalidArgumentError, match="limits for 3 bands, and the picture shows 1"):
        render_png(data, stretch=Stretch.of([[0, 1], [0, 1], [0, 1]]))
    with pytest.raises(InvalidArgumentError, match="bands, height, width"):
        render_png(np.zeros((2, 2)))
    with pytest.raises(InvalidArgumentError, match="one band or three"):
        render_png(np.zeros((2, 2, 2)))
    with pytest.raises(InvalidArgumentError, match="colours one band"):
        render_png(np.zeros((3, 2, 2)), colormap="ndvi")
    with pytest.raises(InvalidArgumentError, match="at least one picture"):
        contact_sheet([None], 1)
    with pytest.raises(InvalidArgumentError, match="2 labels for 1 pictures"):
        contact_sheet([data[0].astype(np.uint8)], 1, labels=["a", "b"])


@settings(max_examples=examples(60))
@given(
    st_np.arrays(
        st.sampled_from([np.dtype(d) for d in ("uint8", "int8", "uint16", "int64", "float16", "float32", "float64")]),
        st.tuples(st.sampled_from([1, 3]), st.integers(1, 6), st.integers(1, 6)),
    )
)
def test_any_pixels_make_a_picture(data: np.ndarray) -> None:
    assert pixels(render_png(data)).shape[:2] == data.shape[1:]
    assert max(pixels(render_png(data, size=3)).shape[:2]) == 3
