"""Collections in Python: built, loaded, asked, and their pixels against rasterio."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.mask
import shapely
from rasterio.warp import transform_geom

import rasteret_sql
from rasteret_sql.errors import (
    IndexFormatError,
    InvalidArgumentError,
    InvalidCrsError,
    InvalidGeometryError,
    MissingObjectError,
    StacError,
    UnknownBandError,
    UnknownDatasetError,
)
from tests.hosts.hosting import CATALOG, DATA, SAHARA

BOX = (-11.5, 24.8, -11.4, 24.9)
FIELD = shapely.Polygon([(465400, 5079400), (465900, 5079450), (465700, 5079900)])
"""A triangle in the Slovenian series, in EPSG:32633."""
NAIP = "m_3008501_ne_16_1_20110815"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("python")


@pytest.fixture(scope="module")
def sahara(workspace):
    return rasteret_sql.build_from_stac(
        name="sahara",
        stac_api=str(CATALOG),
        collection="sentinel-s2-l2a-cogs",
        bbox=(-12, 24, -10, 26),
        date_range=("2020-01-01", "2020-12-31"),
        workspace_dir=workspace,
    )


def from_stac(workspace, collection, **arguments):
    return rasteret_sql.build_from_stac(
        name=collection, stac_api=str(CATALOG), collection=collection, workspace_dir=workspace, **arguments
    )


@pytest.fixture(scope="module")
def slovenia(workspace):
    return from_stac(workspace, "sentinel2-eopatch-slovenia")


@pytest.fixture(scope="module")
def naip(workspace):
    return from_stac(workspace, "naip")


def by_rasterio(path: Path, area: dict, crs: str, bands: list[int] | None = None, *, all_touched: bool = False):
    with rasterio.open(path) as source:
        native = transform_geom(crs, source.crs, area)
        return rasterio.mask.mask(source, [native], crop=True, indexes=bands, all_touched=all_touched)[0]


# What a collection says of itself


def test_a_collection_says_what_it_is(sahara):
    assert sahara.name == "sahara"
    assert len(sahara) == 1
    assert sahara.bands == ["B04", "B11", "SCL"]
    assert repr(sahara) == "Collection('sahara', source='sentinel-s2-l2a-cogs', bands=3, records=1, crs=32629)"
    assert sahara.path.is_dir()


def test_a_registered_dataset_from_another_address(tmp_path):
    fields = rasteret_sql.build(
        "earthsearch/naip",
        name="fields",
        stac_api=str(CATALOG),
        bbox=(-88, 42.9, -87.8, 43),
        date_range=("2020-01-01", "2020-12-31"),
        workspace_dir=tmp_path,
    )
    assert fields.sql("SELECT id FROM scenes").fetchall() == [("m_4208701_ne_16_060_20200902",)]


def test_building_again_gives_the_same(workspace, slovenia):
    again = from_stac(workspace, "sentinel2-eopatch-slovenia")
    assert again.path == slovenia.path
    assert (len(again), again.bands) == (68, ["ndvi", "clm"])


def test_progress_is_told(tmp_path):
    told = []
    from_stac(tmp_path, "naip", progress=lambda *step: told.append(step))
    assert told[-1][:2] == (6, 6)


def test_load_and_export(slovenia, tmp_path):
    loaded = rasteret_sql.load(slovenia.path)
    assert (loaded.name, loaded.bands, len(loaded)) == (slovenia.name, slovenia.bands, 68)
    assert rasteret_sql.load(str(slovenia.path), "renamed").name == "renamed"
    loaded.export(tmp_path / "exported")
    moved = rasteret_sql.load((tmp_path / "exported").rename(tmp_path / "moved"))
    np.testing.assert_array_equal(
        moved.get_numpy(FIELD, ["ndvi"], geometry_crs=32633), slovenia.get_numpy(FIELD, ["ndvi"], geometry_crs=32633)
    )


# SQL


def test_sql_over_the_scenes(slovenia):
    assert slovenia.sql("SELECT count(*) FROM scenes").fetchall() == [(68,)]
    clear = slovenia.sql(
        "SELECT id FROM scenes WHERE zonal_stats(id, 'clm', $1, geom_crs := $2).mean = 0 ORDER BY id",
        [FIELD.wkt, "EPSG:32633"],
    )
    table = clear.to_arrow_table()
    assert table.column_names == ["id"]
    assert 0 < table.num_rows < 68
    assert (
        slovenia.sql('FROM rasteret."sentinel2-eopatch-slovenia"').fetchall() == slovenia.sql("FROM scenes").fetchall()
    )


def test_sql_reads_the_pixels_that_get_numpy_reads(sahara):
    row = sahara.sql("SELECT read_chip(id, 'B04', geom := $1) FROM scenes", [shapely.box(*BOX).wkt]).fetchall()[0][0]
    pixels = np.frombuffer(row["data"], row["dtype"]).reshape(row["height"], row["width"])
    np.testing.assert_array_equal(pixels[None], sahara.get_numpy(BOX, ["B04"]))


def test_relations_of_one_collection_live_side_by_side(slovenia):
    one = slovenia.sql("SELECT id FROM scenes ORDER BY id LIMIT 1")
    two = slovenia.sql("SELECT max(id) FROM scenes")
    assert len(two.fetchall()) == len(one.fetchall()) == 1


def test_a_collection_that_is_dropped_leaves_its_relation(slovenia):
    assert rasteret_sql.load(slovenia.path).sql(
        "SELECT count(zonal_stats(id, 'clm', geometry)) FROM scenes"
    ).fetchall() == [(68,)]


# Pixels


@pytest.mark.parametrize("all_touched", [False, True])
def test_a_series_is_equal_to_rasterio(slovenia, all_touched):
    pixels = slovenia.get_numpy(FIELD, ["ndvi"], geometry_crs="EPSG:32633", all_touched=all_touched)
    ids = [row[0] for row in slovenia.sql("SELECT id FROM scenes").fetchall()]
    files = [DATA / "sentinel2-eopatch-slovenia" / scene / "ndvi.tif" for scene in ids]
    area = shapely.geometry.mapping(FIELD)
    expected = [by_rasterio(file, area, "EPSG:32633", [1], all_touched=all_touched)[0] for file in files]
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, np.stack(expected))


@pytest.mark.parametrize("all_touched", [False, True])
def test_bands_of_one_file_are_equal_to_rasterio(naip, all_touched):
    path = DATA / "naip" / NAIP / "image.tif"
    with rasterio.open(path) as source:
        left, bottom, right, top = source.bounds
        crs = source.crs.to_string()
    width, height = right - left, top - bottom
    area = shapely.Polygon(
        [(left + x * width, bottom + y * height) for x, y in ((0.1, 0.15), (0.83, 0.3), (0.52, 0.91), (0.2, 0.6))]
    )
    bands = naip.bands
    pixels = naip.get_numpy(area, bands, geometry_crs=crs, all_touched=all_touched)
    expected = by_rasterio(path, shapely.geometry.mapping(area), crs, all_touched=all_touched)
    assert pixels.shape == (1, 4, *expected.shape[1:])
    np.testing.assert_array_equal(pixels[0], expected)
    reversed_bands = naip.get_numpy(area, bands[::-1], geometry_crs=crs, all_touched=all_touched)
    np.testing.assert_array_equal(reversed_bands, pixels[:, ::-1])


@pytest.mark.parametrize("band", ["B04", "B11", "SCL"])
def test_lon_lat_areas_are_equal_to_rasterio(sahara, band):
    expected = by_rasterio(
        DATA / "sentinel-s2-l2a-cogs" / SAHARA / f"{band}.tif",
        # rasterio moves vertices alone; the edges are straight in longitude and latitude.
        shapely.geometry.mapping(shapely.segmentize(shapely.box(*BOX), 1e-4)),
        "EPSG:4326",
        [1],
    )
    np.testing.assert_array_equal(sahara.get_numpy(BOX, [band]), expected)
    np.testing.assert_array_equal(sahara.get_numpy(BOX, band), expected)


def test_every_form_of_an_area_gives_the_same(sahara):
    box = shapely.box(*BOX)
    expected = sahara.get_numpy(BOX, ["B04"])
    for area in (
        box,
        shapely.MultiPolygon([box]),
        box.wkt,
        box.wkb,
        shapely.geometry.mapping(box),
        json.dumps(shapely.geometry.mapping(box)),
        [box],
        np.array([box], dtype=object),
        pa.array([box.wkb]),
        pa.chunked_array([[box.wkt]]),
    ):
        np.testing.assert_array_equal(sahara.get_numpy(area, ["B04"]), expected)


def test_several_areas_come_scene_by_scene(sahara):
    whole = shapely.box(*BOX)
    half = shapely.Polygon(
        [(-11.5, 24.8), (-11.4, 24.8), (-11.4, 24.81), (-11.45, 24.81), (-11.4, 24.9), (-11.5, 24.9)]
    )
    pixels = sahara.get_numpy([whole, half, whole], ["SCL"])
    np.testing.assert_array_equal(pixels[0], pixels[2])
    np.testing.assert_array_equal(pixels[:1], sahara.get_numpy(whole, ["SCL"]))
    np.testing.assert_array_equal(pixels[1:2], sahara.get_numpy(half, ["SCL"]))


# What bad input gets


@pytest.mark.parametrize(
    ("area", "bands", "options", "refusal"),
    [
        (BOX, ["B99"], {}, (UnknownBandError, 'has no band "B99"; Known: B04, B11, SCL')),
        (BOX, [], {}, (InvalidArgumentError, "bands is empty; expected names out of")),
        (BOX, ["B04"], {"geometry_crs": "EPSG:99999"}, (InvalidCrsError, "EPSG:99999")),
        ((1, 2, 3), ["B04"], {}, (InvalidArgumentError, "not four finite numbers")),
        ((-11.4, 24.8, -11.5, 24.9), ["B04"], {}, (InvalidArgumentError, "minx < maxx")),
        ([], ["B04"], {}, (InvalidGeometryError, "the list is empty")),
        ([1, 2, 3, 4], ["B04"], {}, (InvalidGeometryError, "a bbox is a tuple")),
        (7, ["B04"], {}, (InvalidGeometryError, "cannot be made of")),
        ("POLYGON ((0 0", ["B04"], {}, (InvalidGeometryError, "POLYGON")),
        (shapely.Point(0, 0), ["B04"], {}, (InvalidGeometryError, "polygons and multipolygons, not a Point")),
        ((100, 0, 101, 1), ["B04"], {}, (InvalidArgumentError, 'no scene of "sahara" meets the areas')),
    ],
)
def test_bad_areas_and_bands(sahara, area, bands, options, refusal):
    error, says = refusal
    with pytest.raises(error, match=says) as raised:
        sahara.get_numpy(area, bands, **options)
    assert isinstance(raised.value, ValueError)


def test_samples_of_different_sizes_are_no_one_array(sahara):
    areas = [shapely.box(-11.5, 24.8, -11.4, 24.9), shapely.box(-11.5, 24.8, -11.45, 24.85)]
    with pytest.raises(InvalidArgumentError, match="ragged shapes"):
        sahara.get_numpy(areas, ["B04"])


def test_bad_builds(tmp_path):
    with pytest.raises(UnknownDatasetError, match="did you mean") as raised:
        rasteret_sql.build("earthsearch/sentinel-2-l2", name="x", workspace_dir=tmp_path)
    assert isinstance(raised.value, KeyError)
    with pytest.raises(InvalidArgumentError, match="needs bbox and date_range"):
        rasteret_sql.build("earthsearch/sentinel-2-l2a", name="x", workspace_dir=tmp_path)
    with pytest.raises(ValueError, match="nothing-like-it"):
        rasteret_sql.build_from_stac(
            name="x", stac_api=str(CATALOG), collection="nothing-like-it", workspace_dir=tmp_path
        )
    with pytest.raises((StacError, MissingObjectError), match=r"missing\.json"):
        rasteret_sql.build_from_stac(name="x", stac_api=str(tmp_path / "missing.json"), workspace_dir=tmp_path)
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == []


def test_bad_loads(tmp_path):
    with pytest.raises(MissingObjectError, match="nowhere") as raised:
        rasteret_sql.load(tmp_path / "nowhere")
    assert isinstance(raised.value, FileNotFoundError)
    (tmp_path / "some.parquet").write_bytes(b"not parquet")
    with pytest.raises(IndexFormatError, match=r"some\.parquet"):
        rasteret_sql.load(tmp_path / "some.parquet")
