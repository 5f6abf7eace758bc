"""`get_gdf`: a row for each scene, area and band, each on its own grid, with the columns of the areas."""

from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.mask
import shapely

import rasteret_sql
from rasteret_sql.errors import MemoryLimitError
from rasteret_sql.session.session import new_session
from tests.collection_world import make_world
from tests.fine_and_coarse import build_fine_and_coarse, write_fine_and_coarse

geopandas = pytest.importorskip("geopandas", reason="needs the extra geopandas")
COLUMNS = ["record_id", "datetime", "cloud_cover", "collection", "geometry_id", "geometry", "band", "data", "transform"]
AREAS = [
    shapely.Polygon([(600_010, 5_099_850), (600_150, 5_099_860), (600_100, 5_099_990)]),
    shapely.box(600_035, 5_099_905, 600_075, 5_099_985),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Scenes with a band of 10 m and one of 20 m; one lost its second file, another one says no clouds."""
    directory = tmp_path_factory.mktemp("mixed")
    write_fine_and_coarse(
        directory, "mixed", apart=1000, properties=lambda number: {"eo:cloud_cover": 5} if number else {}
    )
    built = build_fine_and_coarse(directory, "mixed", "acme/mixed")
    (directory / "three_coarse.tif").unlink()
    return built, directory


def test_rows_and_pixels_are_those_of_rasterio(mixed):
    """Each band on its own grid, in the order of scenes, areas and bands."""
    collection, directory = mixed
    some = collection.where("id IN ('one', 'two')")
    frame = some.get_gdf(AREAS, ["fine", "coarse"], geometry_crs=32632)
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.columns.tolist() == [*COLUMNS, "data_crs"]
    assert frame.crs.to_epsg() == 32632
    rows = [(scene, area, band) for scene in ("one", "two") for area in (1, 2) for band in ("fine", "coarse")]
    assert list(frame[["record_id", "geometry_id", "band"]].itertuples(index=False, name=None)) == rows
    assert np.isnan(frame.cloud_cover[0])
    assert frame.cloud_cover[4] == 5
    assert frame.collection.unique().tolist() == ["mixed"]
    assert frame.datetime[4].isoformat() == "2024-05-02T10:00:00"
    assert frame.data_crs.unique().tolist() == ["EPSG:32632"]
    for row in frame.itertuples():
        with rasterio.open(directory / f"{row.record_id}_{row.band}.tif") as file:
            (theirs,), transform = rasterio.mask.mask(file, [AREAS[row.geometry_id - 1]], crop=True)
        np.testing.assert_array_equal(row.data, theirs)
        assert row.data.dtype == "uint16"
        assert row.transform == transform
        assert row.geometry.equals(AREAS[row.geometry_id - 1])


def test_a_band_that_cannot_be_read_leaves_the_others(mixed):
    collection, _ = mixed
    with pytest.warns(
        RuntimeWarning, match='1 of 6 bands of scenes could not be read, first "three coarse": .*left out'
    ):
        frame = collection.get_gdf(AREAS[0], ["fine", "coarse"], geometry_crs=32632)
    assert frame.band.tolist() == ["fine", "coarse", "fine", "coarse", "fine"]
    with pytest.raises(ValueError, match='no valid data found: 1 of 1 scenes could not be read, first "three"'):
        collection.where("id = 'three'").get_gdf(AREAS[0], ["coarse"], geometry_crs=32632)
    with pytest.raises(rasteret_sql.RasteretError, match=r"three_coarse\.tif"):
        collection.get_gdf(AREAS[0], ["fine", "coarse"], geometry_crs=32632, on_error="raise")


def test_columns_of_areas_come_along(mixed):
    collection, _ = mixed
    one = collection.where("id = 'one'")
    given = geopandas.GeoDataFrame({"field": ["b", "a"], "share": [0.5, None]}, geometry=AREAS, crs=32632)
    frame = one.get_gdf(given, ["fine", "coarse"])
    assert frame.columns.tolist() == [*COLUMNS, "data_crs", "field", "share"]
    assert frame.field.tolist() == ["b", "b", "a", "a"]
    assert frame.share.isna().tolist() == [False, False, True, True]
    table = pa.table({"field": ["b", "a"], "shape": [area.wkb for area in AREAS]})
    again = one.get_gdf(table, ["fine"], geometry_column="shape", geometry_crs=32632)
    assert again.field.tolist() == ["b", "a"]
    streamed = one.get_gdf(given.to_arrow(), {"f": "fine", "half": "fine / 2"})
    assert streamed.band.tolist() == ["f", "half"] * 2
    with pytest.raises(ValueError, match='the areas have a column "band", and so has the frame'):
        one.get_gdf(given.assign(band=1), ["fine"])


def test_geometries_in_the_crs_of_the_target(world):
    collection, scenes = world
    frame = collection.get_gdf(scenes[0].bounds, ["a"], target_crs=32633)
    assert frame.crs.to_epsg() == 32633
    assert frame.data_crs.tolist() == ["EPSG:32633"]
    wanted = geopandas.GeoSeries([shapely.box(*scenes[0].bounds)], crs=4326).to_crs(32633)[0]
    assert frame.geometry[0].equals_exact(wanted, 1e-6)
    pixels, info = collection.get_numpy(scenes[0].bounds, ["a"], target_crs=32633, return_info=True)
    np.testing.assert_array_equal(frame.data[0], pixels[0])
    assert list(frame["transform"][0])[:6] == info["transform"][0].as_py()


def test_scenes_of_several_crs_and_a_coroutine(world):
    collection, scenes = world
    area = shapely.box(9, 45, 16, 47)
    frame = asyncio.run(collection.get_gdf_async(area, "a", cloud_cover_lt=80))
    assert frame.data_crs.tolist() == ["EPSG:32632"] * 7 + ["EPSG:32633"] * 2
    assert frame.crs.to_epsg() == 4326
    for data, scene in zip(
        frame.data, [one for one in scenes if one.cloud is not None and one.cloud < 80], strict=True
    ):
        np.testing.assert_array_equal(data, scene.pixels)


def test_what_cannot_be(world, monkeypatch):
    collection, _ = world
    small = rasteret_sql.Collection(collection._index, new_session(max_call_bytes=600))
    with pytest.raises(
        MemoryLimitError, match=r"the 12 samples need 6,144 bytes .* nothing was fetched. Give a coarser"
    ):
        small.get_gdf(shapely.box(9, 45, 16, 47), "a")
    with pytest.raises(TypeError, match="get_gdf has no argument 'reslution'"):
        collection.get_gdf(AREAS[0], "a", reslution=5)
    monkeypatch.setattr("rasteret_sql.hosts.extras.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"get_gdf needs geopandas: pip install 'rasteret-sql\[geopandas\]'"):
        collection.get_gdf(AREAS[0], "a")
