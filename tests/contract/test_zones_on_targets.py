"""Statistics of zones that share a grid other than the file's: together they are those of each by itself, exactly."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

import rasteret_sql
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.reading.zones_on_target import ZonesOnTarget
from tests.contract.scenes import item, write_items
from tests.sampling import some

UTM = "EPSG:32632"
SIZE, TILE = 400, 64
WEST, NORTH = 600_000, 5_100_000
SCENES = {
    "plain": {"dtype": "uint16", "nodata": 7},
    "same grid": {"dtype": "uint16", "nodata": 7},
    "floats": {"dtype": "float32", "nodata": float("nan")},
    "masked": {"dtype": "uint8"},
    "coarser": {"dtype": "int16", "nodata": -1, "size": SIZE // 2},
    "other zone": {"dtype": "uint16", "nodata": 7, "crs": "EPSG:32633"},
    "wild": {"dtype": "float32"},
}
"""Scenes: "masked" has no nodata, "wild" numbers that are none, among its valid pixels."""


def write(path, number, *, dtype, nodata=None, size=SIZE, crs=UTM):
    """A COG with overviews; holes in a part of it."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(1, 200, (size, size)).astype(dtype)
    holes = np.zeros(pixels.shape, bool)
    holes[size // 3 : size // 2, size // 4 : size // 2] = (
        rng.random((size // 2 - size // 3, size // 2 - size // 4)) < 0.3
    )
    if nodata is not None:
        pixels[holes] = nodata
    elif dtype == "float32":
        pixels[holes] = rng.choice([np.nan, np.inf, -np.inf], int(holes.sum()))
    side = 10 * SIZE // size
    west, north = (WEST, NORTH) if crs == UTM else (134_500, 5_107_500)
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": dtype,
        "width": size,
        "height": size,
        "nodata": nodata,
        "crs": crs,
    }
    plain = path.with_suffix(".plain")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(plain, "w", **profile, transform=from_origin(west, north, side, side)) as dataset:
            dataset.write(pixels, 1)
            if dtype == "uint8":
                dataset.write_mask(~holes)
        rasterio.shutil.copy(
            plain, path, driver="COG", blocksize=TILE, compress="deflate", overview_resampling="nearest"
        )
    plain.unlink()


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number, (name, how) in enumerate(SCENES.items()):
        write(folder / f"{name}.tif", number, **how)
    items = [item(name, day=day, one=f"{folder}/{name}.tif") for day, name in enumerate(SCENES, 1)]
    write_items(folder / "items.json", items)
    with rasteret_sql.connect(workspace_dir=folder / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('w', '{folder}/items.json')").fetchall()
        yield connection


def zones(count, seed):
    """Polygons of many sizes, some of several parts or with a hole, some over the edge of images or beside them."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        x, y = rng.uniform(-100, 10 * SIZE + 100, 2)
        radius = rng.uniform(5, 160)
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        far = radius * rng.uniform(0.4, 1, len(angle))
        zone = shapely.Polygon(np.column_stack([WEST + x + far * np.cos(angle), NORTH - y + far * np.sin(angle)]))
        if number % 5 == 0:
            zone = shapely.box(*(np.round(each / 15) * 15 for each in shapely.buffer(zone, 20).bounds))
        if number % 7 == 0:
            zone = zone.convex_hull.difference(shapely.Point(zone.representative_point()).buffer(radius / 4))
        if number % 6 == 0:
            zone = shapely.MultiPolygon([*shapely.get_parts(zone), shapely.box(*(np.array(zone.bounds) + 300))])
        found.append(zone)
    return found


def register(con, geometries, crs):
    if crs != UTM:
        geometries = [
            shapely.geometry.shape(transform_geom(UTM, crs, shapely.geometry.mapping(one))) for one in geometries
        ]
    rows = [(number, shapely.to_wkb(one)) for number, one in enumerate(geometries)]
    con.execute("CREATE OR REPLACE TEMP TABLE zones (n INTEGER, geom BLOB)")
    con.executemany("INSERT INTO zones VALUES (?, ?)", rows)


def of_table(con, arguments):
    """Statistics of pairs, by scene and zone."""
    rows = con.execute(f"FROM zonal_stats_table(rasteret.w, zones, 'one', {arguments})")
    names = [one[0] for one in rows.description]
    first = names.index("count")
    at = names.index("scene_id"), names.index("n")
    return {(row[at[0]], row[at[1]]): row[first:] for row in rows.fetchall()}


def by_itself(con, pairs, arguments):
    """The same of one row at a time."""
    found = {}
    for scene, zone in pairs:
        (value,) = con.execute(
            f"SELECT zonal_stats($1, 'one', (SELECT geom FROM zones WHERE n = $2), {arguments})", [scene, zone]
        ).fetchone()
        found[scene, zone] = None if value is None else tuple(value.values())
    return found


def assert_same(together, single):
    assert together.keys() == single.keys()
    for pair, values in together.items():
        other = single[pair]
        if other is None:
            assert values is None or all(one is None for one in values), pair
            continue
        np.testing.assert_array_equal(
            [np.nan if one is None else one for one in values],
            [np.nan if one is None else one for one in other],
            str(pair),
        )
        assert [one is None for one in values] == [one is None for one in other]


@pytest.fixture
def read_together(monkeypatch):
    """How many pairs were read together."""
    counts = [0]
    groups = ZonesOnTarget.groups

    def counted(self, source, positions, names, context):
        counts[0] += len(positions)
        return groups(self, source, positions, names, context)

    monkeypatch.setattr(ZonesOnTarget, "groups", counted)
    return counts


GRIDS = [
    "resolution := 30",
    "crs := 3857, resolution := 23",
    "align := [3, 4]",
    "resolution := 4, resampling := 'cubic'",
    "crs := 32633, resampling := 'lanczos'",
    "crs := 32633",
    "crs := 4326, resampling := 'average'",
    "resolution := 27, resampling := 'average'",
    "resolution := 25, resampling := 'rms'",
    "resolution := 30, align := [15, 5], resampling := 'mode'",
    "resolution := 10, align := [0, 0]",
    "resolution := 60, overview := 0, resampling := 'cubic_spline'",
    "resolution := 45, overview := 1, resampling := 'nearest'",
    "crs := 3035, resolution := [33, 21], resampling := 'med'",
    "resolution := 40, resampling := 'sum'",
    "align := 'coarser'",
    "shape := [7, 9]",
]
WAYS = ["weighted := true", "all_touched := true", "mask := 'one > 150'", "overview := 0"]


@pytest.mark.parametrize("grid", some(GRIDS, 3))
def test_zones_of_a_table_are_those_of_each_row(con, grid, read_together):
    # Of pixels of their own size, zones in lon/lat are placed a little otherwise beside smaller ones.
    crs = UTM if GRIDS.index(grid) % 2 or "shape" in grid else "EPSG:4326"
    register(con, zones(45, len(grid)), crs)
    for way in ["on_error := 'raise'", *(WAYS[:3] if GRIDS.index(grid) < 3 else [WAYS[GRIDS.index(grid) % 3]])]:
        arguments = f"geom_crs := '{crs}', {grid}, {way}"
        before = read_together[0]
        together = of_table(con, arguments)
        assert len(together) > 200
        if "shape" not in grid and "sum" not in grid:
            assert read_together[0] - before > len(together) * 0.6
        else:
            assert read_together[0] == before
        assert_same(together, by_itself(con, together, arguments))


def test_rows_of_a_cross_join_are_those_of_each_row(con, read_together):
    register(con, zones(80, 3), UTM)
    arguments = f"geom_crs := '{UTM}', crs := 3857, resolution := 23"
    rows = con.execute(f"SELECT id, n, zonal_stats(id, 'one', geom, {arguments}) FROM rasteret.w, zones").fetchall()
    assert len(rows) == 80 * len(SCENES)
    assert read_together[0] > 300
    found = {(scene, zone): None if value is None else tuple(value.values()) for scene, zone, value in rows}
    assert sum(one is None for one in found.values()) > 0
    single = by_itself(con, found, arguments)
    assert [pair for pair, one in found.items() if one is None] == [pair for pair, one in single.items() if one is None]
    assert_same(found, single)


@pytest.fixture
def tiles(monkeypatch):
    """The tiles that calls have asked for."""
    keys = set()
    claim = Engine._claim

    def claimed(self, wanted):
        wanted = list(wanted)
        keys.update(one.key for one in wanted)
        return claim(self, wanted)

    monkeypatch.setattr(Engine, "_claim", claimed)
    return keys


@pytest.mark.parametrize(
    "grid", ["resolution := 30", "crs := 32633, resampling := 'cubic'", "resolution := 5, align := [1, 2]"]
)
def test_zones_together_ask_for_the_tiles_that_each_asks_for(con, grid, tiles):
    register(con, zones(12, 4), UTM)
    arguments = f"geom_crs := '{UTM}', {grid}"
    together = of_table(con, arguments)
    asked = tiles.copy()
    tiles.clear()
    by_itself(con, together, arguments)
    assert asked == tiles
    assert len(asked) > 50


def test_a_file_that_is_not_there_fails_the_call_or_its_pairs_alone(con, tmp_path):
    write(tmp_path / "gone.tif", 0, dtype="uint16", nodata=7)
    write(tmp_path / "kept.tif", 1, dtype="uint16", nodata=7)
    items = [item(name, one=f"{tmp_path}/{name}.tif") for name in ("gone", "kept")]
    write_items(tmp_path / "items.json", items)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as own:
        own.execute(f"FROM rasteret_build_from_stac('w', '{tmp_path}/items.json')").fetchall()
        register(own, zones(30, 5), UTM)
        (tmp_path / "gone.tif").unlink()
        arguments = f"geom_crs := '{UTM}', resolution := 30"
        with pytest.raises(duckdb.Error, match=r'scene "gone", band one'):
            of_table(own, arguments)
        found = of_table(own, f"{arguments}, on_error := 'null'")
    assert {values[0] is None for (scene, _), values in found.items() if scene == "gone"} == {True}
    assert {values[0] is None for (scene, _), values in found.items() if scene == "kept"} == {False}
