"""Datasets keep the other bands of a scene whose file of one band cannot be read; one warning names what is lost."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import shapely

import rasteret_sql
from tests.fine_and_coarse import BANDS, NAMES, build_fine_and_coarse, write_fine_and_coarse

xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
AREA = shapely.box(600_020, 5_099_900, 600_240, 5_099_980)
CHUNKS = (None, 7) if find_spec("dask") else (None,)


@pytest.fixture
def scenes(tmp_path):
    """A collection, its folder, and the dataset of it while all files are there."""
    for folder in ("whole", "lost"):
        (tmp_path / folder).mkdir()
        write_fine_and_coarse(tmp_path / folder, "lost", apart=3000)
    # Tiles that were read are kept: those of the others are still to be read.
    whole = build_fine_and_coarse(tmp_path / "whole", "lost", "acme/lost").get_xarray(AREA, BANDS, geometry_crs=32632)
    return build_fine_and_coarse(tmp_path / "lost", "lost", "acme/lost"), tmp_path / "lost", whole


def without(whole, day, *bands):
    """A dataset with the fill value in some bands of a day."""
    found = whole.copy(deep=True)
    for band in bands:
        found[band][day] = 7
    return found


def told(read):
    """What a read gives, and its warnings as texts."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return read(), [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)]


def test_the_other_bands_of_a_scene_stay(scenes):
    collection, folder, whole = scenes
    (folder / "two_coarse.tif").unlink()
    found, says = told(lambda: collection.get_xarray(AREA, BANDS, geometry_crs=32632))
    xarray.testing.assert_identical(found, without(whole, 1, "coarse"))
    assert found.fine[1].any()
    assert len(says) == 1
    assert says[0].startswith('1 of 6 bands of scenes could not be read, first "two coarse": ')
    with pytest.raises(rasteret_sql.RasteretError, match=r"two_coarse\.tif"):
        collection.get_xarray(AREA, BANDS, geometry_crs=32632, on_error="raise")


def test_a_scene_without_all_its_bands_is_left_out_and_called_a_scene(scenes):
    collection, folder, whole = scenes
    (folder / "one_fine.tif").unlink()
    (folder / "one_coarse.tif").unlink()
    found, says = told(lambda: collection.get_xarray(AREA, BANDS, geometry_crs=32632))
    xarray.testing.assert_identical(found, whole.isel(time=[1, 2]))
    assert len(says) == 1
    assert says[0].startswith('1 of 3 scenes could not be read, first "one": ')


def test_a_band_that_no_scene_has_any_more_is_filled(scenes):
    collection, folder, whole = scenes
    for name in NAMES:
        (folder / f"{name}_coarse.tif").unlink()
    found, says = told(lambda: collection.get_xarray(AREA, BANDS, geometry_crs=32632))
    xarray.testing.assert_identical(found, without(whole, [0, 1, 2], "coarse"))
    assert len(says) == 1
    assert "3 of 6 bands of scenes" in says[0]
    assert says[0].endswith("they are left out: one coarse, two coarse, three coarse")


def test_nothing_left_is_an_error(scenes):
    collection, folder, _ = scenes
    for name in NAMES:
        for band in BANDS:
            (folder / f"{name}_{band}.tif").unlink()
    with pytest.raises(ValueError, match='no valid data found: 3 of 3 scenes could not be read, first "one": '):
        collection.get_xarray(AREA, BANDS, geometry_crs=32632)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_a_band_without_a_header_leaves_the_others(scenes, chunks):
    """It is known to fail before anything is fetched."""
    _, folder, whole = scenes
    (folder / "three_coarse.tif").write_bytes(b"no TIFF")
    with pytest.warns(RuntimeWarning, match="1 bands could not be read"):
        again = build_fine_and_coarse(folder, "again", "acme/lost")
    found, says = told(lambda: again.get_xarray(AREA, BANDS, geometry_crs=32632, chunks=chunks).compute())
    xarray.testing.assert_identical(found, without(whole, 2, "coarse"))
    assert len(says) == 1
    assert says[0].startswith('1 of 6 bands of scenes could not be read, first "three coarse": ')


def test_one_scene_without_a_header_of_one_band(scenes):
    """No scene has both bands, and the grid is that of the band that is there."""
    _, folder, whole = scenes
    (folder / "three_coarse.tif").write_bytes(b"no TIFF")
    with pytest.warns(RuntimeWarning, match="1 bands could not be read"):
        again = build_fine_and_coarse(folder, "again", "acme/lost").where("id = 'three'")
    with (
        pytest.warns(RuntimeWarning, match='first "three coarse"'),
        pytest.raises(ValueError, match='no scene has a file of band "coarse" that can be read, so nothing says its d'),
    ):
        again.get_xarray(AREA, BANDS, geometry_crs=32632)
    xarray.testing.assert_identical(
        again.get_xarray(AREA, ["fine"], geometry_crs=32632), whole[["fine"]].isel(time=[2])
    )


@pytest.mark.parametrize("grid", [{"resolution": 30}, {"target_crs": 3857, "resolution": 15}])
def test_bands_that_are_read_apart_have_the_pixels_of_a_chip(scenes, grid):
    collection, _, _ = scenes
    found = collection.get_xarray(AREA, BANDS, geometry_crs=32632, **grid)
    options = f"geom_crs := 32632, resolution := {grid['resolution']}" + (", crs := 3857" if len(grid) > 1 else "")
    query = f"SELECT read_chip(id, ['fine', 'coarse'], '{AREA.wkt}', {options}) FROM scenes ORDER BY datetime"
    chips = collection.sql(query).fetchall()
    assert len(chips) == len(NAMES)
    for day, (chip,) in enumerate(chips):
        pixels, valid = rasteret_sql.to_numpy(chip)
        for number, band in enumerate(BANDS):
            np.testing.assert_array_equal(found[band][day, 0], np.where(valid[number], pixels[number], 7))
