"""Statistics of zones in the rows of a cross join: together they are those of each row by itself, failures included."""

import json

import duckdb
import numpy as np
import pyproj
import pytest
import rasterio
import shapely

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.functions.calls.pixel_request import parsed_rows
from rasteret_sql.reading.relation_geometries import Shapes
from rasteret_sql.reading.zones_of_rows import ZonesOfRows
from tests.contract.scenes import item, write_items, write_scene
from tests.contract.test_relations import NORTH, PIXEL, WEST, each_by_itself, octagons, others, register
from tests.sampling import some

SCENES = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
    return folder


@pytest.fixture
def con(files, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        build(connection, files)
        yield connection


def build(con, files):
    write_items(files / "items.json", [item(f"s{n}", day=n + 1, one=f"{files}/s{n}.tif") for n in range(SCENES)])
    con.execute(f"FROM rasteret_build_from_stac('w', '{files}/items.json', force := true)").fetchall()


@pytest.fixture
def together(monkeypatch):
    """How many rows' values were found together, a number for each call."""
    counts = []
    measure = ZonesOfRows.measure

    def counted(self, *given):
        found, met = measure(self, *given)
        counts.append(int(found.known.sum()))
        return found, met

    monkeypatch.setattr(ZonesOfRows, "measure", counted)
    return counts


CALLS = [
    "zonal_stat(id, 'one', geom, 'mean', geom_crs := 32632)",
    "zonal_stats(id, 'one', geom, geom_crs := 32632)",
    "zonal_stat(id, 'one', geom, 'median', geom_crs := 32632, all_touched := true)",
    "zonal_stats(id, 'one', geom, geom_crs := 32632, weighted := true)",
    "zonal_stat(id, 'one / 2 + 1', geom, 'max', geom_crs := 32632, mask := 'one > 50000')",
    "zonal_stat(id, 'one', geom, 'sum', geom_crs := 32632, overview := 1)",
    "zonal_stat(id, 'one', geom, 'count', geom_crs := 32632, fill := 7, on_error := 'null')",
]


def numbers_of(text):
    """The numbers of a value as JSON; none where the row has no value."""
    value = None if text is None else json.loads(text)
    values = [*value.values()] if isinstance(value, dict) else [value]
    return [np.nan if one is None else one for one in values]


def assert_same(got, single):
    assert [row[:2] for row in got] == [row[:2] for row in single]
    assert [row[2] is None for row in got] == [row[2] is None for row in single]
    for mine, other in zip(got, single, strict=True):
        np.testing.assert_allclose(numbers_of(mine[2]), numbers_of(other[2]), rtol=1e-12)


@pytest.mark.parametrize("call", some(CALLS, 7))
def test_rows_together_are_those_of_each_row(con, together, call, monkeypatch):
    zones = np.concatenate([octagons(3), others(), shapely.box(0, 0, [10, 20], 30)])
    register(con, "zones", zones)
    scenes = "(FROM rasteret.w WHERE id IN ('s0', 's2'))" if "overview" in call else "rasteret.w"
    query = f"SELECT id, n, to_json({call}) AS got FROM {scenes}, zones ORDER BY ALL"
    got = con.execute(query).fetchall()
    assert sum(together) > 0.6 * len(got)
    each_by_itself(monkeypatch)
    assert len(got) in {SCENES * len(zones), 2 * len(zones)}
    assert 10 < sum(row[2] in {None, "null"} for row in got) < len(got) / 2
    assert_same(got, con.execute(query).fetchall())


@pytest.mark.parametrize("form", ["WKT", "EWKT", "GeoJSON", "hex"])
def test_zones_as_text_are_read_together(con, together, form, monkeypatch):
    zones = np.concatenate([octagons(3, 300), others()])
    write = {"WKT": shapely.to_wkt, "EWKT": shapely.to_wkt, "GeoJSON": shapely.to_geojson}
    texts = [write.get(form, lambda zone: shapely.to_wkb(zone, hex=True))(zone) for zone in zones]
    texts = [f"SRID=32632;{text}" if form == "EWKT" else text for text in texts]
    texts += [None, "null" if form == "GeoJSON" else None]
    con.execute("CREATE TABLE texts AS SELECT unnest($texts) AS geom, generate_subscripts($texts, 1) AS n",
                {"texts": texts})  # fmt: skip
    options = "" if form == "EWKT" else ", geom_crs := 32632"
    query = f"""SELECT id, n, to_json(zonal_stats(id, 'one', geom{options})) AS got
                FROM (FROM rasteret.w ORDER BY id), texts ORDER BY ALL"""
    parsed = []
    parse = "rasteret_sql.functions.calls.meeting_rows.parsed_rows"
    monkeypatch.setattr(parse, lambda *given: parsed.append(given) or parsed_rows(*given))
    got = con.execute(query).fetchall()
    assert sum(together) > 0.6 * len(got)
    assert len(parsed) < len(together) == SCENES  # those of the first call are known in the next
    each_by_itself(monkeypatch)
    assert len(got) == SCENES * len(texts)
    assert 10 < sum(row[2] in {None, "null"} for row in got) < len(got) / 2
    assert_same(got, con.execute(query).fetchall())


def test_zones_are_placed_once_for_all_scenes_on_a_grid(con, together, monkeypatch):
    register(con, "zones", octagons(4, 2000))
    placed = []
    place = Shapes.place

    def counted(self, *given):
        placed.append(len(self))
        return place(self, *given)

    monkeypatch.setattr(Shapes, "place", counted)
    query = "SELECT count(zonal_stat(id, 'one', geom, 'mean', geom_crs := 32632)) FROM rasteret.w, zones"
    (found,) = con.execute(query).fetchone()
    assert sum(together) >= found > SCENES * 1000  # some have no valid pixel
    assert placed == [2000]


@pytest.mark.parametrize("call", some(CALLS, 3))
def test_rows_without_a_scene_or_a_zone_leave_the_others_together(con, together, call, monkeypatch):
    zones = octagons(9, 300)
    zones[[0, 7, 299]] = None
    register(con, "zones", zones)
    scenes = "(SELECT id FROM rasteret.w WHERE id IN ('s0', 's2') UNION ALL SELECT NULL)"
    query = f"SELECT id, n, to_json({call}) AS got FROM {scenes}, zones ORDER BY ALL"
    got = con.execute(query).fetchall()
    assert sum(together) > 400
    assert all(row[2] in {None, "null"} for row in got if row[0] is None or zones[row[1]] is None)
    each_by_itself(monkeypatch)
    assert len(got) == 3 * len(zones)
    assert_same(got, con.execute(query).fetchall())


def test_the_same_bytes_in_another_crs_are_other_zones(con, together):
    zones = shapely.buffer(shapely.centroid(octagons(9, 300)), 3 * PIXEL)
    zones[4] = None
    register(con, "zones", zones)
    found = []
    for crs in (32632, 32633):
        kind = pyproj.CRS.from_epsg(crs).to_json().replace("'", "''")
        geom = f"CAST(ST_GeomFromWKB(geom) AS GEOMETRY('{kind}'))"
        found += con.execute(f"SELECT count(zonal_stat('s0', 'one', {geom}, 'count')) FROM zones").fetchone()
    assert sum(together) >= found[0] > 200
    assert found[1] == 0


def test_zones_that_are_known_take_bounded_memory(con, together, monkeypatch):
    monkeypatch.setattr("rasteret_sql.session.recent_zones._MOST_BYTES", 8 << 20)
    register(con, "zones", shapely.buffer(shapely.centroid(octagons(5, 12_000)), 15 * PIXEL))
    query = "SELECT count(zonal_stat('s0', 'one', geom, 'mean', geom_crs := 32632, weighted := true)) FROM zones"
    assert con.execute(query).fetchone()[0] > 9_000
    assert len(together) == 6
    kept = [zones for zones, _ in session_for(con).recent_zones._known.values()]
    weights = [runs.weights for zones in kept for _, _, parts in zones._reader._cut.values() for _, runs in parts]
    assert 1 <= len(kept) < 4
    assert all(zones.nbytes > one.nbytes for zones, one in zip(kept, weights, strict=True))
    assert sum(one.nbytes for one in weights[:-1]) < 8 << 20 < 6 * weights[-1].nbytes


@pytest.mark.parametrize("on_error", ["raise", "null"])
def test_a_tile_that_cannot_be_read_fails_the_rows_that_need_it(tmp_path, together, on_error, monkeypatch):
    for n in range(SCENES):
        write_scene(tmp_path / f"s{n}.tif", n)
    path = tmp_path / "s2.tif"
    with rasterio.open(path) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[at : at + 100] = bytes(100)
    path.write_bytes(content)
    con = rasteret_sql.connect(workspace_dir=tmp_path / "ws")
    build(con, tmp_path)
    register(con, "zones", octagons(5))
    call = f"zonal_stat(id, 'one', geom, 'mean', geom_crs := 32632, on_error := '{on_error}')"
    query = f"SELECT id, n, to_json({call}) AS got FROM rasteret.w, zones ORDER BY ALL"
    if on_error == "raise":
        with pytest.raises(duckdb.Error, match=r'scene "s2", band one: .*tile'):
            con.execute(query).fetchall()
        return
    got = con.execute(query).fetchall()
    (told,) = con.execute("SELECT count(*) FROM rasteret_failures() WHERE scene_id = 's2'").fetchone()
    assert sum(together) > 0
    assert told
    lost = {row[1] for row in got if row[0] == "s2" and row[2] is None}
    assert len(lost - {row[1] for row in got if row[0] == "s0" and row[2] is None}) > 5
    each_by_itself(monkeypatch)
    assert_same(got, con.execute(query).fetchall())


def test_a_file_that_was_changed_between_statements(tmp_path, together):
    for n in range(SCENES):
        write_scene(tmp_path / f"s{n}.tif", n)
    con = rasteret_sql.connect(workspace_dir=tmp_path / "ws")
    build(con, tmp_path)
    register(con, "zones", octagons(6))
    call = "zonal_stat(id, 'one', geom, 'sum', geom_crs := 32632, on_change := 'refresh')"
    query = f"SELECT sum({call}) FROM rasteret.w, zones WHERE id = 's0'"
    first = con.execute(query).fetchone()
    write_scene(tmp_path / "s0.tif", 40)
    session_for(con).engine.cache.clear()  # what is kept of it is not asked for again
    second = con.execute(query).fetchone()
    build(con, tmp_path)
    assert con.execute(query).fetchone() == second != first
    assert len(together) >= 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("zonal_stat(id, 'one', geom, 'meen', geom_crs := 32632)", 'did you mean "mean"'),
        ("zonal_stat(id, 'two', geom, 'mean', geom_crs := 32632)", 'unknown band "two"'),
        ("zonal_stats(id, 'one', 'LINESTRING (10.3 45.9, 10.31 46)')", "polygon"),
        ("zonal_stat('s9', 'one', geom, 'mean', geom_crs := 32632)", "s9"),
        ("zonal_stat(id, 'one', geom, 'mean', geom_crs := 'EPSG:1')", "EPSG:1"),
    ],
)
def test_what_is_wrong_is_said_as_of_one_row(con, call, said):
    register(con, "zones", octagons(7))
    with pytest.raises(duckdb.Error, match=said):
        con.execute(f"SELECT {call} FROM rasteret.w, zones").fetchall()


def test_swapped_axes_are_told_of(con):
    to_lonlat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    lonlat = shapely.transform(octagons(8), lambda xy: np.column_stack(to_lonlat.transform(*xy.T)))
    register(con, "zones", shapely.transform(lonlat, lambda xy: xy[:, ::-1]))
    with pytest.warns(match="swapped"):
        con.execute("SELECT zonal_stat(id, 'one', geom, 'mean') FROM rasteret.w, zones").fetchall()


def test_zones_that_are_too_large_or_miss_are_among_others(con, together, monkeypatch):
    monkeypatch.setattr("rasteret_sql.reading.relation._MOST_OF_ZONE", 400)
    whole = shapely.box(WEST, NORTH - 512 * PIXEL, WEST + 512 * PIXEL, NORTH)
    register(con, "zones", np.concatenate([octagons(9), [whole]]))
    query = "SELECT id, n, to_json(zonal_stats(id, 'one', geom, geom_crs := 32632)) FROM rasteret.w, zones ORDER BY ALL"
    got = con.execute(query).fetchall()
    assert 0 < sum(together) < len(got) - SCENES
    each_by_itself(monkeypatch)
    assert_same(got, con.execute(query).fetchall())


def test_an_overview_that_is_not_there_is_told_of(con):
    register(con, "zones", octagons(10))
    call = "zonal_stats(id, 'one', geom, geom_crs := 32632, overview := 9)"
    with pytest.raises(duckdb.Error, match="overview := 9 does not exist"):
        con.execute(f"SELECT {call} FROM rasteret.w, zones").fetchall()
