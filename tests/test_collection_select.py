"""Which scenes a collection is made of: subset, where and what they give, lazily and without changing anything."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rasteret_sql
from rasteret_sql.index.read import scene_scan as scan
from rasteret_sql.selection.private_reader import Reader
from tests.collection_world import make_world
from tests.sampling import examples

OPEN_BOX = (-180, -90, 180, 90)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world):
    return world[0]


@pytest.fixture(scope="module")
def scenes(world):
    return world[1]


def ids(collection):
    return collection.to_table(["id"])["id"].to_pylist()


def overlaps(a, b):
    return a[0] <= b[2] and a[2] >= b[0] and a[1] <= b[3] and a[3] >= b[1]


def test_nothing_is_read_until_rows_are_asked_for(whole, monkeypatch):
    read = []
    monkeypatch.setattr(Reader, "rows", lambda _self, sql: read.append(sql))
    monkeypatch.setattr(Reader, "batches", lambda _self, sql: read.append(sql))
    part = whole.subset(date_range=("2024-01-01", "2024-02-01"), bbox=OPEN_BOX, cloud_cover_lt=50, split="train")
    part = part.where('"eo:cloud_cover" < 20').where(pads.field("month") == 1)
    part = part.subset(geometries=shapely.box(10, 45, 11, 47)).select_split(["train", "val"])
    assert read == []
    assert part.name == whole.name


def test_a_subset_leaves_its_collection_as_it_was(whole):
    part = whole.subset(split="val")
    assert (len(part), len(whole)) == (4, 12)
    assert part is not whole
    assert type(part) is rasteret_sql.Collection
    assert (part.bands, part.path) == (whole.bands, whole.path)
    assert len(part.subset(cloud_cover_lt=20)) == 1
    assert len(part) == 4


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"cloud_cover_lt": 17}, [0, 1]),
        ({"cloud_cover_lt": 100}, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]),
        ({"cloud_cover_lt": 0}, []),
        ({"date_range": ("2024-01-10", "2024-01-12")}, [0, 1, 2]),
        ({"date_range": ("2024-01-10T10:30:00Z", "2024-01-12T10:29:59Z")}, [0, 1]),
        ({"date_range": ["2024-01-20", None]}, [10, 11]),
        ({"date_range": (date(2024, 1, 20), datetime(2024, 1, 21, 10, 30))}, [10, 11]),
        ({"date_range": "2024-01-15"}, [5]),
        ({"split": "test"}, [2, 5, 8, 11]),
        ({"split": ["test", "val"], "cloud_cover_lt": 20}, [1, 2]),
        ({"split": "train", "split_column": "split", "bbox": OPEN_BOX}, [0, 3, 6, 9]),
        ({"split": "nobody"}, []),
    ],
)
def test_subset(whole, filters, expected):
    """The bare end date of a range includes that whole day (F5): the scenes are of 10:30."""
    assert ids(whole.subset(**filters)) == [f"s{n:02d}" for n in expected]


def test_bbox_touches_count(whole, scenes):
    west, south, east, north = scenes[3].bounds
    assert "s03" in ids(whole.subset(bbox=(east, north, east + 1e-4, north + 1e-4)))
    assert "s03" not in ids(whole.subset(bbox=(east + 1e-9, south, east + 1e-8, north)))
    point = (west, south, west, south)
    assert ids(whole.subset(bbox=point)) == [scene.id for scene in scenes if overlaps(scene.bounds, point)]


def test_bbox_across_the_antimeridian(tmp_path):
    rows = [("west", (178.0, 0.0, 179.0, 1.0)), ("east", (-179.5, 0.0, -179.0, 1.0)), ("far", (10.0, 0.0, 11.0, 1.0))]
    rows.append(("turned", (179.5, 0.0, -179.8, 1.0)))
    collection = foreign(tmp_path, rows)
    assert ids(collection.subset(bbox=(170, -1, -170, 2))) == ["west", "east", "turned"]
    assert ids(collection.subset(bbox=(170, -1, 190, 2))) == ["west", "east", "turned"]
    assert ids(collection.subset(bbox=(-180, -1, -179.9, 2))) == ["turned"]
    assert ids(collection.subset(bbox=(0, -1, 20, 2))) == ["far"]
    assert collection.bounds == (-180, 0, 180, 1)


def foreign(directory, rows, **columns):
    """An index as other programs write it: times with a zone, no headers of ours."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    boxes = [shapely.box(*box) for _, box in rows]
    table = pa.table(
        {
            "id": [name for name, _ in rows],
            "datetime": pa.array([datetime(2024, 1, 10, 23, 30)] * len(rows), pa.timestamp("us", "UTC")),
            "geometry": [box.wkb for box in boxes],
            "bbox": [dict(zip(sides, box, strict=True)) for _, box in rows],
            "assets": [{"a": {"href": "a.tif", "band_index": 0}}] * len(rows),
            "collection": ["from-elsewhere"] * len(rows),
            "crs": ["EPSG:32633", "EPSG:4326", *["EPSG:32633"] * (len(rows) - 2)],
            **columns,
        }
    )
    pq.write_table(table, directory / "foreign.parquet")
    return rasteret_sql.Collection.from_parquet(directory / "foreign.parquet")


def test_an_index_of_others(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    collection = foreign(tmp_path, [("one", (10.0, 0.0, 11.0, 1.0)), ("two", (12.0, 0.0, 13.0, 1.0))])
    assert collection.data_source == "from-elsewhere"
    assert (collection.epsg, collection.crs) == ([4326, 32633], ["EPSG:4326", "EPSG:32633"])
    assert collection.start_date == collection.end_date == datetime(2024, 1, 10, 23, 30)
    assert len(collection.subset(date_range=("2024-01-10", "2024-01-10"))) == 2
    assert len(collection.subset(date_range=("2024-01-11", "2024-01-11"))) == 0
    assert collection.to_table()["datetime"].to_pylist() == [datetime(2024, 1, 10, 23, 30)] * 2
    assert collection.to_table(["month", "year"]).to_pylist()[0] == {"month": 1, "year": 2024}
    named = rasteret_sql.Collection.from_parquet(tmp_path / "foreign.parquet", "mine", data_source="me")
    assert (named.name, named.data_source) == ("mine", "me")
    with pytest.raises(ValueError, match="needs the column 'eo:cloud_cover'"):
        collection.subset(cloud_cover_lt=10)
    with pytest.raises(ValueError, match="needs the column 'split'"):
        collection.subset(split="train")
    with pytest.raises(ValueError, match="needs the column 'fold'"):
        collection.select_split("train", split_column="fold")


def test_geometries_meet_footprints(whole, scenes):
    a, b = scenes[2].bounds, scenes[9].bounds
    areas = [shapely.Point(a[0], a[1]), shapely.box(*b)]
    expected = [s.id for s in scenes if any(shapely.box(*s.bounds).intersects(area) for area in areas)]
    assert {"s02", "s09"} <= set(expected)
    assert ids(whole.subset(geometries=areas)) == expected
    # Its box meets all scenes, itself none.
    union = shapely.total_bounds([shapely.box(*s.bounds) for s in scenes])
    around = shapely.box(*union).buffer(1).difference(shapely.box(*union).buffer(0.5))
    assert ids(whole.subset(geometries=around)) == []
    many = [shapely.box(*scenes[n % 3].bounds) for n in range(40)]
    assert {"s00", "s01", "s02"} <= set(ids(whole.subset(geometries=many)))


def test_where_in_sql(whole):
    assert ids(whole.where('"eo:cloud_cover" BETWEEN 8 AND 18')) == ["s01", "s02"]
    assert ids(whole.where("bbox.xmin > 12 AND month = 1")) == ["s08", "s09", "s10", "s11"]
    assert ids(whole.where("scenes.id LIKE '%1'").where("split = 'val' OR split = 'test'")) == ["s01", "s11"]
    assert ids(whole.where("id IN ('s03', 's04') -- a comment\n")) == ["s03", "s04"]
    assert ids(whole.where("datetime >= '2024-01-21'").subset(split="test")) == ["s11"]


def test_where_in_arrow(whole):
    assert ids(whole.where(pads.field("eo:cloud_cover") < 10)) == ["s00", "s01"]
    assert ids(whole.where((pads.field("year") == 2024) & pads.field("split").isin(["test"]))) == [
        f"s{n:02d}" for n in (2, 5, 8, 11)
    ]
    part = whole.subset(split="test").where(pads.field("proj:epsg") == 32633).where("id > 's09'")
    assert ids(part) == ["s11"]
    assert part.epsg == [32633]
    assert ids(whole.where(pads.field("bbox", "xmin") > 12)) == ["s08", "s09", "s10", "s11"]
    nobody = whole.where(pads.field("id") == "nobody")
    assert (len(nobody), nobody.bounds, nobody.crs, ids(nobody)) == (0, None, [], [])


def test_an_arrow_filter_is_carried_out_once(whole, monkeypatch):
    part = whole.where(pads.field("eo:cloud_cover") < 30)
    scans = []
    original = Reader.batches
    monkeypatch.setattr(Reader, "batches", lambda self, sql: scans.append(sql) or original(self, sql))
    assert len(part) == 4
    assert len(part.subset(split="train")) == 2
    assert part.bounds is not None
    assert len(scans) == 1


@pytest.mark.parametrize(
    ("filters", "error", "says"),
    [
        ({}, ValueError, "No filters provided"),
        ({"split_column": "split"}, ValueError, "No filters provided"),
        ({"cloud_cover_lt": 101}, ValueError, "from 0 to 100, not 101"),
        ({"cloud_cover_lt": -1}, ValueError, "from 0 to 100"),
        ({"cloud_cover_lt": float("nan")}, ValueError, "from 0 to 100"),
        ({"cloud_cover_lt": True}, ValueError, "from 0 to 100"),
        ({"cloud_cover_lt": "20"}, ValueError, "from 0 to 100"),
        ({"date_range": ("2024-02-01", "2024-01-01")}, ValueError, "starts after it ends"),
        ({"date_range": ()}, ValueError, "pair of ISO dates"),
        ({"date_range": ("", "")}, ValueError, "neither a start nor an end"),
        ({"date_range": ("yesterday", "today")}, ValueError, "not an ISO date"),
        ({"bbox": (1, 2, 3)}, ValueError, "west, south, east, north"),
        ({"bbox": "1,2,3,4"}, ValueError, "west, south, east, north"),
        ({"bbox": 7}, ValueError, "west, south, east, north"),
        ({"bbox": (1, 2, 3, float("nan"))}, ValueError, "west, south, east, north"),
        ({"bbox": (3, 2, 1, 4)}, ValueError, "minimum above its maximum"),
        ({"bbox": (1, 4, 3, 2)}, ValueError, "minimum above its maximum"),
        ({"split": "train", "split_column": "fold"}, ValueError, "'fold'.*Known: "),
        ({"split": []}, ValueError, "name of a split"),
        ({"split": 7}, ValueError, "name of a split"),
        ({"split": [1, 2]}, ValueError, "name of a split"),
        ({"geometries": []}, ValueError, "no area is given"),
        ({"geometries": 7}, ValueError, "areas cannot be made of int"),
        ({"cloudy": 7}, TypeError, "cloudy"),
    ],
)
def test_subset_refuses(whole, filters, error, says):
    with pytest.raises(error, match=says):
        whole.subset(**filters)


@pytest.mark.parametrize(
    ("condition", "error", "says"),
    [
        ("nothing = 7", ValueError, "nothing"),
        ("", ValueError, "no condition"),
        ("id = 'a'; DROP TABLE scenes", ValueError, "no condition"),
        ("SELECT 1", ValueError, "no condition"),
        ("eo:cloud_cover < 20", ValueError, 'double quotes: "eo:'),
        ("month & 0x04", ValueError, "0x04 is written 4"),
        ("id = ", ValueError, "cannot be read as SQL"),
        ("count(*) > 1", ValueError, "cannot be selected"),
        (7, TypeError, "not int"),
        (None, TypeError, "not NoneType"),
        (pads.field("nothing") == 7, ValueError, "nothing"),
        (pads.field("id") == 7, ValueError, "Columns: id, "),
    ],
)
def test_where_refuses(whole, condition, error, says):
    with pytest.raises(error, match=says):
        whole.where(condition)


def test_head_refuses(whole):
    for n in (-1, 1.5, "3", True, None):
        with pytest.raises(ValueError, match="0 or more"):
            whole.head(n)


DAYS = st.integers(-1, 13).map(lambda n: date(2024, 1, 10) + timedelta(days=n))
CONDITIONS = st.one_of(
    st.tuples(st.just("cloud_cover_lt"), st.floats(0, 100)),
    st.tuples(DAYS, DAYS).map(lambda ends: ("date_range", tuple(sorted(ends)))),
    st.tuples(st.floats(9, 15), st.floats(45.9, 46.1), st.floats(0, 5), st.floats(0, 0.2)).map(
        lambda b: ("bbox", (b[0], b[1], b[0] + b[2], b[1] + b[3]))
    ),
    st.lists(st.sampled_from(["train", "val", "test", "none"]), min_size=1).map(lambda names: ("split", names)),
    st.integers(0, 14).map(lambda n: ("sql", n)),
    st.integers(0, 14).map(lambda n: ("arrow", n)),
    st.integers(0, 11).map(lambda n: ("footprint", n)),
)


def meets_one(scene, name, value, scenes):
    match name:
        case "cloud_cover_lt":
            return scene.cloud is not None and scene.cloud < value
        case "date_range":
            return value[0] <= scene.at.date() <= value[1]
        case "bbox":
            return overlaps(scene.bounds, value)
        case "split":
            return scene.split in value
        case "footprint":
            return shapely.box(*scene.bounds).intersects(shapely.box(*scenes[value].bounds))
    return scene.id < f"s{value:02d}"


def narrowed(collection, name, value, scenes):
    if name == "sql":
        return collection.where(f"id < 's{value:02d}'")
    if name == "arrow":
        return collection.where(pads.field("id") < f"s{value:02d}")
    if name == "footprint":
        return collection.subset(geometries=shapely.box(*scenes[value].bounds))
    return collection.subset(**{name: value})


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(CONDITIONS, min_size=1, max_size=4))
def test_conditions_are_conjoined(whole, scenes, chosen):
    """Whatever conditions come one after the other, in any order: the scenes that a loop in Python keeps."""
    part = whole
    for name, value in chosen:
        part = narrowed(part, name, value, scenes)
    expected = [s.id for s in scenes if all(meets_one(s, name, value, scenes) for name, value in chosen)]
    assert ids(part) == expected
    assert len(part) == len(expected)
    assert part.sql("SELECT id FROM scenes ORDER BY id").fetchall() == [(scene,) for scene in expected]


def test_names_go_through_sqlglot(tmp_path):
    """A column with any name is quoted, not pasted."""
    odd = "sp\"lit'; --"
    rows = [("one", (10.0, 0.0, 11.0, 1.0)), ("two'; --", (12.0, 0.0, 13.0, 1.0))]
    collection = foreign(tmp_path, rows, **{odd: ["a'b", "c"]})
    assert ids(collection.subset(split="a'b", split_column=odd)) == ["one"]
    assert collection.to_table([odd]).column_names == [odd]
    assert scan.column(odd).sql("duckdb") in collection.subset(split="c", split_column=odd)._selection.sql()
