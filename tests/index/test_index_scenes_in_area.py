"""rasteret_scenes: exactly the footprints that meet an area, in lon/lat, also where a turn ends."""

import time
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.read.scenes_in_area import Areas, lonlat_area, meets
from tests.sampling import examples, some

NO = float("nan")


def write(path, footprints, boxes=None):
    """An index as others write it: scene columns alone."""
    if boxes is None:
        boxes = [None if shape is None else shapely.bounds(shape).tolist() for shape in footprints]
    count = len(footprints)
    table = pa.table(
        {
            "id": [f"s{n}" for n in range(count)],
            "datetime": pa.array([datetime(2024, 1, 1 + n % 28, 12) for n in range(count)], pa.timestamp("us")),
            "geometry": pa.array([None if s is None else shapely.to_wkb(s) for s in footprints], pa.binary()),
            "assets": pa.array([{"B": {"href": "b.tif"}}] * count),
            "bbox": pa.array(
                [box and dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in boxes],
                pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")]),
            ),
            "proj:epsg": pa.array([32632] * count, pa.int32()),
        }
    )
    pq.write_table(table, path)
    return str(path)


def ids(con, name, geom, **named):
    given_ = "".join(f", {key} := ${key}" for key in named)
    query = f"SELECT id FROM rasteret_scenes($name, $geom{given_})"
    return {int(one[1:]) for (one,) in con.execute(query, {"name": name, "geom": geom, **named}).fetchall()}


@pytest.fixture(scope="module", params=some([2000, 100_000], 2))
def many(request, tmp_path_factory):
    """So many random quadrangles, a hundredth of them missing."""
    folder = tmp_path_factory.mktemp("footprints")
    random = np.random.default_rng(7)
    centre = random.uniform((-170, -80), (170, 80), (request.param, 2))
    angle = random.uniform(0, 2 * np.pi, (request.param, 1)) + np.arange(4) * np.pi / 2
    ring = centre[:, None] + np.stack((np.cos(angle), np.sin(angle)), -1) * random.uniform(
        0.1, 2, (request.param, 1, 1)
    )
    footprints = shapely.polygons(ring)
    footprints[::100] = None
    path = write(folder / "many.parquet", footprints)
    with rasteret_sql.connect(workspace_dir=folder / "workspace") as con:
        con.execute("SELECT count(*) FROM rasteret_load($1, name := 'many')", [path]).fetchall()
        yield con, footprints


@settings(max_examples=examples(12))
@given(st.lists(st.tuples(st.floats(-150, 150), st.floats(-80, 80)), min_size=1, max_size=6))
def test_the_scenes_are_those_that_shapely_finds(many, corners):
    con, footprints = many
    area = shapely.convex_hull(shapely.multipoints(corners))
    assert ids(con, "many", area.wkt) == set(np.flatnonzero(shapely.intersects(footprints, shapely.from_wkt(area.wkt))))


@pytest.mark.exhaustive
@pytest.mark.parametrize("many", [100_000], indirect=True)
def test_a_hundred_thousand_scenes_take_well_under_a_second_of_the_processor(many):
    con, _ = many
    took = []
    for _ in range(3):
        began = time.process_time()
        ids(con, "many", "POLYGON ((0 0, 20 3, 12 25, 0 0))")
        took.append(time.process_time() - began)
    assert min(took) < 1


def test_touching_counts_and_a_missing_footprint_meets_nothing(tmp_path):
    path = write(
        tmp_path / "x.parquet", [shapely.box(0, 0, 1, 1), None, shapely.box(2, 0, 3, 1)], [(0, 0, 1, 1)] * 2 + [None]
    )
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        con.execute("SELECT count(*) FROM rasteret_load($1, name := 'x')", [path]).fetchall()
        assert ids(con, "x", "POINT (1 1)") == {0}
        assert ids(con, "x", "POLYGON ((1 0, 2 0, 2 1, 1 1, 1 0))") == {0, 2}
        assert ids(con, "x", "POINT (0.5 0.5)", date_range=["2024-01-01", "2024-01-01"]) == {0}
        assert ids(con, "x", "POINT (0.5 0.5)", date_range=["2024-01-02", "2024-01-09"]) == set()
        # UTM zone 31: 3 degrees east on the equator is 500 km
        assert ids(con, "x", "POINT (500000 10)", geom_crs=32631) == {2}


ACROSS = [
    shapely.box(178, 0, 184, 2),
    shapely.multipolygons([shapely.box(178, 0, 180, 2), shapely.box(-180, 0, -176, 2)]),
    shapely.polygons([(178, 0), (-176, 0), (-176, 2), (178, 2)]),
    shapely.polygons([(178, 0), (-176, 0), (-176, 2), (178, 2)]),
    shapely.box(-184, 0, -178, 2),
    shapely.box(-180, -90, 180, 90),
]
BOXES = [
    (178, 0, 184, 2),
    (178, 0, -176, 2),
    (178, 0, -176, 2),
    (-180, 0, 180, 2),
    (-184, 0, -178, 2),
    (-180, -90, 180, 90),
]


@pytest.mark.parametrize(
    ("area", "found"),
    some(
        [
            ("POINT (179 1)", {0, 1, 2, 3, 4, 5}),
            ("POINT (-177 1)", {0, 1, 2, 3, 5}),
            ("POINT (183 1)", {0, 1, 2, 3, 5}),
            ("POINT (-181 1)", {0, 1, 2, 3, 4, 5}),
            ("POINT (180 1)", {0, 1, 2, 3, 4, 5}),
            ("POINT (0 1)", {5}),
            ("POINT (177 1)", {4, 5}),
            ("POLYGON ((170 1, 190 1, 190 5, 170 5, 170 1))", {0, 1, 2, 3, 4, 5}),
            ("MULTIPOINT (0 1, -177 1)", {0, 1, 2, 3, 5}),
        ],
        3,
    ),
)
def test_footprints_and_areas_across_the_antimeridian(tmp_path, area, found):
    path = write(tmp_path / "x.parquet", ACROSS, BOXES)
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        con.execute("SELECT count(*) FROM rasteret_load($1, name := 'x')", [path]).fetchall()
        assert ids(con, "x", area) == found


def test_zones_of_a_relation_across_the_antimeridian(tmp_path):
    """Each meets what it meets alone; those in the west and in the east of the map are asked for together."""
    places = ["POINT (179 1)", "POINT (-177 1)", "POINT (183 1)", None, "POINT (0 1)", "POLYGON EMPTY", "POINT (177 1)"]
    path = write(tmp_path / "x.parquet", ACROSS, BOXES)
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        con.execute("SELECT count(*) FROM rasteret_load($1, name := 'x')", [path]).fetchall()
        con.execute("CREATE TABLE places AS SELECT unnest(range(7)) AS n, unnest($1) AS wkt", [places])
        got = con.execute("SELECT n, id FROM rasteret_scenes('x', places)").fetchall()
        want = {(n, f"s{scene}") for n, place in enumerate(places) if place for scene in ids(con, "x", place)}
        assert len(want) > 15
        assert len(got) == len(want)
        assert set(got) == want


def test_zones_of_a_relation_meet_what_shapely_finds(many):
    con, footprints = many
    rng = np.random.default_rng(3)
    zones = shapely.buffer(
        shapely.points(rng.uniform((-60, -30), (60, 30), (40, 2))), rng.uniform(0.2, 5, 40), quad_segs=2
    )
    con.register("__zones", pa.table({"zone": range(40), "geom": shapely.to_wkb(zones)}))
    con.execute("CREATE OR REPLACE TEMP TABLE zones AS FROM __zones")
    got = con.execute("SELECT zone, id FROM rasteret_scenes('many', zones)").fetchall()
    here, scenes = shapely.STRtree(footprints).query(zones, predicate="intersects")
    assert len(scenes) > len(footprints) / 100
    assert sorted(got) == sorted(
        (zone, f"s{scene}") for zone, scene in zip(here.tolist(), scenes.tolist(), strict=True)
    )


def test_a_projected_area_across_the_antimeridian_is_not_the_whole_globe():
    area = lonlat_area(
        "VARCHAR", None, "POLYGON ((100000 10000, 900000 10000, 900000 90000, 100000 10000))", "EPSG:32660"
    )
    west, _, east, _ = shapely.bounds(area)
    assert 173 < west < 174
    assert 180 < east < 181


def test_a_footprint_that_crosses_itself_or_cannot_be_read():
    bow = shapely.from_wkt("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))")
    areas = Areas()
    area = areas.get(areas.add(shapely.Point(0.25, 1)))
    none = np.full(3, NO)
    assert meets([shapely.to_wkb(bow), b"not wkb", None], none, none, area).tolist() == [True, False, False]


def test_areas_are_kept_by_content_and_few():
    areas = Areas(kept=2)
    first = areas.add(shapely.Point(1, 1))
    assert areas.add(shapely.Point(1, 1)) == first
    areas.add(shapely.Point(2, 2))
    areas.add(shapely.Point(3, 3))
    with pytest.raises(InvalidArgumentError, match="prepare it again"):
        areas.get(first)


def test_prepared_statements_views_and_joins_work(many):
    con, footprints = many
    con.execute("CREATE OR REPLACE VIEW here AS FROM rasteret_scenes('many', 'POINT (3 4)')")
    expected = int(shapely.intersects(footprints, shapely.Point(3, 4)).sum())
    assert con.execute("SELECT count(*) FROM here a JOIN here b USING (id)").fetchall() == [(expected,)]
    cursor = con.cursor()
    query = "SELECT count(*) FROM rasteret.rasteret_scenes('many', 'POINT (3 4)'::GEOMETRY)"
    assert cursor.execute(query).fetchall() == [(expected,)]
    assert isinstance(cursor, duckdb.DuckDBPyConnection)
