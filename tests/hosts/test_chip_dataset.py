"""`to_xarray`: chips of a statement as a dataset, by time, by a column, row by row, or one alone."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from tests.collection_world import make_world

xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
GRID = "crs := 'EPSG:32632', resolution := 10, align := [0, 0]"
AREA = shapely.box(600_020, 5_099_900, 600_080, 5_099_960)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("chips")
    collection, scenes = make_world(directory)
    with rasteret_sql.connect(workspace_dir=directory / "ws") as con:
        con.execute("CREATE VIEW near AS FROM rasteret.world WHERE id IN ('s00', 's01')")
        more = (600_030, 5_099_950, 600_090, 5_099_960), (601_030, 5_099_950, 601_090, 5_099_990)
        wkt = [AREA.wkt, *(shapely.box(*sides).wkt for sides in more)]
        con.execute("CREATE TABLE zones AS SELECT unnest(['west', 'mid', 'east']) AS zone, unnest(?) AS wkt", [wkt])
        yield collection, scenes, con


def test_scenes_are_times_and_their_columns_coordinates(world):
    collection, scenes, con = world
    relation = con.sql(
        f"SELECT id, datetime, \"eo:cloud_cover\" AS clouds, read_chip(id, 'a', '{AREA.buffer(3000).wkt}', "
        f"geom_crs := 'EPSG:32632', clip := false, {GRID}) AS chip FROM near"
    )
    found = rasteret_sql.to_xarray(relation)
    assert found.a.dims == ("time", "y", "x")
    assert found.a.dtype == "uint16"
    assert found.id.dims == ("time",)
    assert found.id.values.tolist() == ["s00", "s01"]
    assert found.clouds.values.tolist() == [0.0, 8.5]
    assert found.time.values.tolist() == [scene.at for scene in scenes[:2]]
    area = AREA.buffer(3000).envelope
    theirs = collection.where("id < 's02'").get_xarray(area, ["a"], geometry_crs=32632, resolution=10, align=(0, 0))
    both = xarray.align(found.a, theirs.a[:, 0], join="inner")
    np.testing.assert_array_equal(both[0], both[1])
    assert (both[0] > 0).sum() == 512


def test_rioxarray_reads_it(world):
    pytest.importorskip("rioxarray")
    _, _, con = world
    relation = con.sql(f"SELECT read_chip('s00', 'a', '{AREA.wkt}', geom_crs := 32632) AS chip")
    found = rasteret_sql.to_xarray(relation)
    assert found.a.dims == ("row", "y", "x")
    assert found.rio.crs.to_epsg() == 32632
    assert found.a.isel(row=0).rio.transform() == from_origin(600_020, 5_099_960, 10, 10)


def test_a_column_is_a_dimension(world):
    _, scenes, con = world
    relation = con.sql(f"FROM read_chips(near, zones, 'a', geom_crs := 'EPSG:32632', {GRID})")
    found = rasteret_sql.to_xarray(relation, by="zone")
    assert dict(found.sizes) == {"time": 2, "zone": 3, "y": 9, "x": 107}
    assert found.zone.values.tolist() == ["east", "mid", "west"]
    np.testing.assert_array_equal(found.a.sel(zone="west")[0, 3:, :6], scenes[0].pixels[4:10, 2:8])
    np.testing.assert_array_equal(found.a.sel(zone="east")[1, :4, 101:], scenes[1].pixels[1:5, 3:9])
    assert not found.a.sel(zone="east")[0].any()
    assert found.wkt.dims == ("zone",)
    assert found.scene_id.values.tolist() == ["s00", "s01"]
    together = rasteret_sql.to_xarray(relation)
    xarray.testing.assert_equal(together.a, found.a.max("zone"))
    alone = rasteret_sql.to_xarray(relation.project("zone, chip"), by="zone")
    assert alone.a.dims == ("zone", "y", "x")


def test_composites_have_their_periods(world):
    _, _, con = world
    relation = con.sql(f"FROM read_mosaic(near, 'a', '{AREA.wkt}', geom_crs := 'EPSG:32632', every := 'month', {GRID})")
    found = rasteret_sql.to_xarray(relation)
    assert found.time.values.astype("datetime64[D]").tolist() == [np.datetime64("2024-01-01").astype(object)]
    assert found.scenes.dims == ("time",)


def test_several_columns_and_one_chip(world):
    _, scenes, con = world
    read = f"read_chip('s00', %s, '{AREA.wkt}', geom_crs := 32632)"
    plain, more = read % "'a'", read % "{'p': 'a * 2', 'q': 'a / 2'}"
    two = con.sql(f"SELECT {plain} AS plain, {more} AS more")
    found = rasteret_sql.to_xarray(two)
    assert list(found.data_vars) == ["plain", "more_p", "more_q"]
    assert found.plain.dtype == "uint16"
    np.testing.assert_array_equal(found.more_p[0], scenes[0].pixels[4:10, 2:8] * 2.0)
    ((chip,),) = con.execute(f"SELECT {plain}").fetchall()
    one = rasteret_sql.to_xarray(chip)
    assert one.a.dims == ("y", "x")
    np.testing.assert_array_equal(one.a, scenes[0].pixels[4:10, 2:8])


def test_what_cannot_be(world):
    _, _, con = world
    chip = f"read_chip(id, 'a', '{AREA.wkt}', geom_crs := 32632"
    nothing = con.sql(f"SELECT datetime, {chip}) AS chip FROM rasteret.world WHERE id = 's09'")
    mixed = con.sql(
        f"SELECT {chip}, resolution := 10) AS chip FROM near WHERE id = 's00' UNION ALL "
        f"SELECT {chip}, resolution := 7) FROM near WHERE id = 's00'"
    )
    differ = con.sql(
        f"SELECT {chip}) AS chip FROM near WHERE id = 's00' UNION ALL "
        f"SELECT read_chip(id, 'a * 2', '{AREA.wkt}', geom_crs := 32632) FROM near WHERE id = 's00'"
    )
    for what, named, error, says in (
        (con.sql("SELECT 1 AS one"), {}, ValueError, "there is no column of CHIPs, but one"),
        (nothing, {}, ValueError, "there is no chip: the relation has no rows, or all of its chips are NULL"),
        (mixed, {}, ValueError, "the chips lie on different grids: one is 6 × 6 pixels of 10 × 10"),
        (differ, {}, ValueError, 'the chips of "chip" have different bands'),
        (nothing, {"by": "datum"}, ValueError, "by='datum' is no column; did you mean \"datetime\""),
        (mixed, {"time": "chip"}, ValueError, "not times"),
        (mixed, {"combine": "best"}, ValueError, "expected one of combine_first"),
        (7, {}, TypeError, "expected a relation with chips, an Arrow table of them, or a CHIP, not int"),
    ):
        with pytest.raises(error, match=says):
            rasteret_sql.to_xarray(what, **named)
