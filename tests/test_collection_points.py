"""`sample_points`: the documented table, points in every form, the newest scene, rings, neighbourhoods, failures."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform

import rasteret_sql
from rasteret_sql.errors import ByteLimitError, MemoryLimitError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.raster.nearest import nearest_valid
from rasteret_sql.raster.squares import Squares
from rasteret_sql.session.session import new_session
from tests.collection_world import make_world

SCHEMA = {
    "point_index": pa.int64(), "point_x": pa.float64(), "point_y": pa.float64(), "point_crs": pa.int32(),
    "record_id": pa.string(), "datetime": pa.timestamp("us"), "collection": pa.string(), "band": pa.string(),
    "value": pa.float64(), "raster_crs": pa.int32(),
}  # fmt: skip
SIDE = 12


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("points"))


def write(path, pixels, nodata=None, origin=(600_000, 5_100_000), step=10):
    with rasterio.open(
        path, "w", driver="GTiff", width=pixels.shape[1], height=pixels.shape[0], count=1, dtype=pixels.dtype,
        crs=32632, transform=from_origin(*origin, step, step), nodata=nodata, tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(pixels, 1)


def build(directory, scenes, **more):
    """A collection of scenes: id → day, bands; all say the same box."""
    box = [10.29, 46.03, 10.31, 46.05]
    features = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "stack", "links": [], "bbox": box,
            "geometry": shapely.geometry.mapping(shapely.box(*box)),
            "properties": {"datetime": f"2024-05-{day:02d}T10:00:00Z"},
            "assets": {band: {"href": f"{name}_{band}.tif", "type": "image/tiff"} for band in bands},
        }
        for name, (day, bands) in scenes.items()
    ]  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return rasteret_sql.build_from_stac(
        name="stack", stac_api=directory / "items.json", workspace_dir=directory / "ws", **more
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Three days of one place with holes of 0; the newest lacks the east, and a second band of 20 m."""
    directory = tmp_path_factory.mktemp("stack")
    rng = np.random.default_rng(5)
    pixels = {}
    for name, width in (("old", SIDE), ("mid", SIDE), ("new", SIDE // 2)):
        data = rng.integers(1, 900, (SIDE, width)).astype("uint16")
        data[rng.random(data.shape) < 0.4] = 0
        pixels[name] = data
        write(directory / f"{name}_b.tif", data, nodata=0)
        write(directory / f"{name}_c.tif", np.arange(36, dtype="uint8").reshape(6, 6), step=20)
    collection = build(directory, {"mid": (2, "bc"), "old": (1, "bc"), "new": (3, "bc")})
    return collection, pixels, directory


def at(col, row):
    """A place in a pixel, off its centre."""
    return 600_000 + 10 * col + 3.0, 5_100_000 - 10 * row - 6.0


def test_the_table_has_the_documented_columns_and_gdals_values(world):
    collection, scenes = world
    lon, lat = [], []
    for scene in (scenes[2], scenes[9]):
        left = 600_000 + 2000 if scene.epsg == 32632 else 400_000 + 9000
        xs, ys = transform(scene.epsg, 4326, [left + 35, left + 155], [5_099_995, 5_099_845])
        lon, lat = [*lon, *xs], [*lat, *ys]
    table = collection.sample_points(shapely.points(lon, lat), ["a"])
    assert {field.name: field.type for field in table.schema} == SCHEMA
    assert [table.schema.field(name).nullable for name in ("point_index", "value")] == [False, False]
    assert table["point_index"].to_pylist() == [0, 1, 2, 3]
    assert table["record_id"].to_pylist() == ["s02"] * 2 + ["s09"] * 2
    assert table["raster_crs"].to_pylist() == [32632] * 2 + [32633] * 2
    assert table["point_crs"].to_pylist() == [4326] * 4
    assert table["datetime"].to_pylist() == [scenes[2].at] * 2 + [scenes[9].at] * 2
    assert table["collection"].to_pylist() == ["demo"] * 4
    np.testing.assert_array_equal(table["point_x"], lon)
    values = [scene.pixels[row, col] for scene in (scenes[2], scenes[9]) for col, row in ((3, 0), (15, 15))]
    assert table["value"].to_pylist() == values


def test_order_bands_and_nodata_as_it_is_stored(stack):
    collection, _, directory = stack
    points = [at(col, row) for row in range(SIDE) for col in range(SIDE)]
    table = collection.sample_points(points, ["b", "c"], geometry_crs=32632)
    assert table.num_rows == 5 * SIDE * SIDE + SIDE * SIDE // 2
    order = list(dict.fromkeys(zip(table["record_id"].to_pylist(), table["band"].to_pylist(), strict=True)))
    assert order == [(scene, band) for scene in ("old", "mid", "new") for band in "bc"]
    for scene, band in order:
        part = table.filter((pa.compute.field("record_id") == scene) & (pa.compute.field("band") == band))
        with rasterio.open(directory / f"{scene}_{band}.tif") as file:
            theirs = [value for (value,) in file.sample([points[one] for one in part["point_index"].to_pylist()])]
        assert part["value"].to_pylist() == theirs
    assert 0 in table["value"].to_pylist()
    assert not np.isnan(table["value"]).any()


FORMS = {
    "a point": (shapely.Point(at(3, 4)), {}),
    "wkt": ("POINT (600033 5099954)", {}),
    "wkb": ([shapely.Point(at(3, 4)).wkb], {}),
    "a pair": (at(3, 4), {}),
    "pairs": ([at(3, 4)], {}),
    "an array": (np.array([at(3, 4)]), {}),
    "x and y": (pa.table({"x": [600_033], "y": [5_099_954.0]}), {}),
    "named columns": (pa.table({"e": [600_033], "n": [5_099_954.0]}), {"x_column": "e", "y_column": "n"}),
    "a geometry column": (pa.table({"g": [shapely.Point(at(3, 4)).wkb]}), {"geometry_column": "g"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_points_in_every_form(stack, form):
    collection, pixels, _ = stack
    points, named = FORMS[form]
    table = collection.sample_points(points, "b", geometry_crs=32632, **named)
    assert table["value"].to_pylist() == [pixels[name][4, 3] for name in ("old", "mid", "new")]


def test_columns_of_points_come_along_and_lonlat_needs_no_crs(stack):
    collection, pixels, _ = stack
    geopandas = pytest.importorskip("geopandas", reason="needs the extra geopandas")
    (lon, far), (lat, away) = transform(32632, 4326, *zip(at(3, 4), at(7, 1), strict=True))
    given = pa.table({"station": ["a", None, "b"], "lon": [lon, None, far], "lat": [lat, None, away]})
    table = collection.where("id = 'old'").sample_points(given, ["b"])
    assert table.column_names == [*SCHEMA, "station", "lon", "lat"]
    assert table["station"].to_pylist() == ["a", "b"]
    assert table["point_index"].to_pylist() == [0, 2]
    assert table["value"].to_pylist() == [pixels["old"][4, 3], pixels["old"][1, 7]]
    frame = geopandas.GeoDataFrame({"station": [7, 8]}, geometry=shapely.points([at(3, 4), at(0, 0)]), crs=32632)
    again = collection.where("id = 'old'").sample_points(frame, ["b"])
    assert again["station"].to_pylist() == [7, 8]
    with pytest.raises(ValueError, match='the points have a column "value", and so has the table'):
        collection.sample_points(given.append_column("value", [[1, 2, 3]]), ["b"])


def test_the_newest_scene_is_that_whose_image_has_the_point(stack):
    """Not the one whose box has it: the newest scene ends in the west. `latest_valid` passes over holes."""
    collection, pixels, _ = stack
    cells = [(col, row) for row in range(SIDE) for col in range(SIDE)]
    points = np.array([at(*cell) for cell in cells])
    newest = collection.sample_points(points, ["b"], geometry_crs=32632, match="latest").sort_by("point_index")
    wanted = ["new" if col < SIDE // 2 else "mid" for col, _ in cells]
    assert newest["record_id"].to_pylist() == wanted
    assert newest["value"].to_pylist() == [
        pixels[name][row, col] for name, (col, row) in zip(wanted, cells, strict=True)
    ]
    valid = collection.sample_points(points, ["b"], geometry_crs=32632, match="latest_valid").sort_by("point_index")
    found = []
    for number, (col, row) in enumerate(cells):
        names = [n for n in ("new", "mid", "old") if col < pixels[n].shape[1] and pixels[n][row, col]]
        found += [(number, names[0], float(pixels[names[0]][row, col]))] if names else []
    columns = ("point_index", "record_id", "value")
    assert list(zip(*(valid[name].to_pylist() for name in columns), strict=True)) == found
    assert len({name for _, name, _ in found}) == 3
    by_scene = collection.sample_points(points, ["b"], geometry_crs=32632, match="latest")["record_id"].to_pylist()
    assert list(dict.fromkeys(by_scene)) == ["new", "mid"]


def around(data, col, row, reach):
    """The pixels around one, NaN outside."""
    padded = np.pad(data.astype(float), reach, constant_values=np.nan)
    return padded[row : row + 2 * reach + 1, col : col + 2 * reach + 1]


@pytest.mark.parametrize("how", ["always", "if_center_nodata"])
def test_rings_and_neighbourhoods(stack, how):
    collection, pixels, _ = stack
    cells = [(col, row) for row in range(SIDE) for col in range(SIDE)]
    table = collection.where("id = 'old'").sample_points(
        [at(*cell) for cell in cells], ["b"], geometry_crs=32632, max_distance_pixels=2, return_neighbourhood=how
    )
    data, grid = pixels["old"], Affine(10, 0, 600_000, 0, -10, 5_100_000)
    assert table.column_names == [*SCHEMA, "neighbourhood_values"]
    lost = 0
    for row in table.to_pylist():
        col, line = cells[row["point_index"]]
        found = nearest_valid(data != 0, (line, col), at(col, line), grid, 2)
        lost += found is None
        assert row["value"] == (0 if found is None else data[found])
        if how == "always" or data[line, col] == 0:
            np.testing.assert_array_equal(row["neighbourhood_values"], around(data, col, line, 2).ravel())
        else:
            assert row["neighbourhood_values"] is None
    assert lost < 3


def test_squares_find_what_is_found_point_by_point():
    rng = np.random.default_rng(8)
    grid = Affine(3, 1, 100, 0.5, -2, 900)
    valid = rng.random((9, 11)) < 0.1
    x, y = rng.uniform(0, 11, 200), rng.uniform(0, 9, 200)
    squares = Squares(x, y, 3, 11, 9)
    windows = [valid[one.row_off : one.row_end, one.col_off : one.col_end].ravel() for one in squares.windows()]
    inside = squares.arranged(np.concatenate(windows), False)
    position, found = squares.nearest(inside, grid)
    for number in range(200):
        col, row = int(x[number]), int(y[number])
        theirs = nearest_valid(valid, (row, col), grid.apply(x[number], y[number]), grid, 3)
        assert found[number] == (theirs is not None)
        if theirs is not None:
            assert divmod(int(position[number]), 7) == (theirs[0] - row + 3, theirs[1] - col + 3)


def test_values_that_are_computed_and_masked(stack):
    """NaN where nothing is stored; a mask of another resolution that grows is read around each point."""
    collection, pixels, _ = stack
    points = [at(0, 0), at(5, 5), at(11, 11), at(2, 9)]
    old = collection.where("id = 'old'")
    sums = old.sample_points(points, {"half": "b / 2"}, geometry_crs=32632)
    assert sums["band"].to_pylist() == ["half"] * 4
    wanted = [pixels["old"][row, col] / 2 or np.nan for col, row in ((0, 0), (5, 5), (11, 11), (2, 9))]
    np.testing.assert_array_equal(sums["value"], wanted)
    for rule in ({"mask": "c > 20"}, {"mask": "c > 20", "dilate": 1}):
        masked = old.sample_points(points, ["b"], geometry_crs=32632, **rule)
        named = ", ".join(f"{name} := {value!r}" for name, value in rule.items())
        sql = [
            old.sql(f"SELECT sample_point('old', 'b', 'POINT ({x} {y})', geom_crs := 32632, {named})").fetchall()[0][0]
            for x, y in points
        ]
        np.testing.assert_array_equal(masked["value"], np.array([np.nan if one is None else one for one in sql]))
        assert np.isnan(masked["value"]).any()
    between = old.sample_points(points, ["c"], geometry_crs=32632, resampling="bilinear")
    sql = [
        old.sql(f"SELECT sample_point('old', 'c', 'POINT ({x} {y})', geom_crs := 32632, resampling := 'bilinear')")
        for x, y in points
    ]
    assert between["value"].to_pylist() == [one.fetchall()[0][0] for one in sql]


def test_filters_and_a_coroutine(stack):
    collection, _, _ = stack
    named = {"geometry_crs": 32632, "date_range": ("2024-05-01", "2024-05-02")}
    table = asyncio.run(collection.sample_points_async(at(3, 4), ["b"], **named))
    assert table["record_id"].to_pylist() == ["old", "mid"]
    nowhere = collection.sample_points(at(3, 4), ["b"], geometry_crs=32632, geometries=(0, 0, 1, 1))
    assert nowhere.num_rows == 0


def test_points_outside_of_all_images_have_no_rows(stack):
    collection, _, _ = stack
    empty = collection.sample_points((10.3001, 46.0499), ["b"], return_neighbourhood="always", max_distance_pixels=1)
    assert empty.num_rows == 0
    assert empty.column_names == [*SCHEMA, "neighbourhood_values"]
    assert (
        collection.sample_points(pa.table({"lon": pa.array([None], pa.float64()), "lat": [1.0]}), ["b"]).num_rows == 0
    )
    with pytest.warns(RuntimeWarning, match=r"meets the points .*; with x and y swapped some would"):
        assert collection.sample_points((46.045, 10.295), ["b"]).num_rows == 0
    with pytest.warns(RuntimeWarning, match="give geometry_crs="):
        collection.sample_points(at(3, 4), ["b"])


def test_scenes_that_cannot_be_read(tmp_path):
    for name in ("old", "mid", "new"):
        write(tmp_path / f"{name}_b.tif", np.full((4, 4), 7, "uint8"))
    collection = build(tmp_path, {"old": (1, "b"), "mid": (2, "b"), "new": (3, "b")})
    (tmp_path / "new_b.tif").unlink()
    with pytest.warns(RuntimeWarning, match='1 of 3 scenes could not be read, first "new": .*they are left out'):
        table = collection.sample_points([at(1, 1), at(2, 2)], ["b"], geometry_crs=32632)
    assert table["record_id"].to_pylist() == ["old", "old", "mid", "mid"]
    with pytest.warns(RuntimeWarning, match='first "new"'):
        newest = collection.sample_points(at(1, 1), ["b"], geometry_crs=32632, match="latest")
    assert newest["record_id"].to_pylist() == ["mid"]
    with pytest.raises(ValueError, match='no valid data found: 1 of 1 scenes could not be read, first "new"'):
        collection.where("id = 'new'").sample_points(at(1, 1), ["b"], geometry_crs=32632)
    with pytest.raises(rasteret_sql.RasteretError, match=r"new_b\.tif"):
        collection.sample_points(at(1, 1), ["b"], geometry_crs=32632, on_error="raise")


def test_what_cannot_be_used(stack):
    collection, _, _ = stack
    for points, named, error, says in (
        (at(1, 1), {"match": "first"}, ValueError, "match='first' cannot be used; expected one of all, latest"),
        (at(1, 1), {"max_distance_pixels": -1}, ValueError, "expected 0 to 256 pixels"),
        (at(1, 1), {"return_neighbourhood": "yes"}, ValueError, "expected one of off, always, if_center_nodata"),
        (at(1, 1), {"return_neighbourhood": "always"}, ValueError, "needs max_distance_pixels above 0"),
        (at(1, 1), {"resampling": "mode"}, ValueError, "expected one of nearest, bilinear, cubic"),
        (at(1, 1), {"max_distance": 1}, TypeError, 'no argument \'max_distance\'; did you mean "max_distance_pixels"'),
        (at(1, 1), {"x_column": "x", "y_column": "y"}, TypeError, "name columns of a table of points"),
        ((1, 2, 3), {}, ValueError, r"expected shape \(n, 2\)"),
        (shapely.box(0, 0, 1, 1), {}, ValueError, "points are geometries of type Point, not a Polygon"),
        (pa.table({"a": [1]}), {}, TypeError, "no geometry column"),
        (pa.table({"x": [1.0], "y": [2.0]}), {"geometry_crs": "auto"}, ValueError, "give geometry_crs="),
        (pa.table({"x": [1.0], "y": [2.0]}), {"x_column": "x"}, ValueError, "go together"),
        (pa.table({"x": [1.0], "y": [2.0], "lon": [1.0], "lat": [1.0]}), {}, ValueError, "several pairs of columns"),
        (pa.table({"x": ["a"], "y": [2.0]}), {}, ValueError, "has numbers, not string"),
        (at(1, 1), {"bands": ["zz"]}, ValueError, "zz"),
    ):  # fmt: skip
        with pytest.raises(error, match=says):
            collection.sample_points(points, **{"bands": ["b"], "geometry_crs": 32632, **named})


def test_limits_are_told_before_anything_is_read(stack):
    collection, _, _ = stack
    small = rasteret_sql.Collection(collection._index, new_session(max_call_bytes=1000))
    points = [at(col, 3) for col in range(5)]
    with pytest.raises(MemoryLimitError, match=r"the table of 15 values needs about .* nothing was fetched"):
        small.sample_points(points, ["b"], geometry_crs=32632)
    fresh = rasteret_sql.Collection(collection._index, new_session())
    fresh._session.engine.cache.clear()
    with pytest.raises(ByteLimitError, match="nothing of it was fetched"):
        fresh.sample_points(points, ["b"], geometry_crs=32632, max_bytes=10)
