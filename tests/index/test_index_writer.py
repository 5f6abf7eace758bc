"""Parts, header files and ids of a collection agree, however many files there are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_samples import assert_same, header, level, scene, write_collection

from rasteret_sql import schema
from rasteret_sql.errors import InterruptedQueryError
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.change.transaction import change
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.id_hashes import IdFile, find_places, split_place
from rasteret_sql.index.format.scene_rows import SceneRow
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.index.read.scene_lookup import SceneLookup
from rasteret_sql.index.read.scene_scan import scan_sql
from tests.sampling import examples, some

METADATA = CollectionMetadata("bay", ("B04", "B08"), "x/y", "text", ("2024-01-01", "2024-02-01"), {"name": "bay"})


@pytest.fixture
def small(monkeypatch):
    """Files of at most 7 rows, in row groups of 3 and 2."""
    monkeypatch.setattr("rasteret_sql.index.change.collection_files.PART_ROWS", 7)
    monkeypatch.setattr("rasteret_sql.index.change.collection_files.SCENE_GROUP_ROWS", 3)
    monkeypatch.setattr("rasteret_sql.index.change.collection_files.HEADER_GROUP_ROWS", 2)
    monkeypatch.setattr("rasteret_sql.index.change.transaction.HEADER_GROUP_ROWS", 4)


def row(number: int, month: int | None, *, tag: str = "s") -> SceneRow:
    """A scene whose header tells which it is."""
    when = None if month is None else datetime(2024 + month // 12, month % 12 + 1, number % 28 + 1)
    bands = {"B04": header(level(seed=number), nodata=number)} if number % 3 else {}
    problems = {} if number % 5 else {"B08": f"not there {number}"}
    return scene(f"{tag}{number}", when, bands=bands, problems=problems, properties={"n": number})


def text_of(one: SceneRow) -> str:
    return "; ".join(f"{band}: {why}" for band, why in one.problems.items()) or "ok"


def add(index: CollectionIndex, rows: Sequence[SceneRow]) -> CollectionIndex:
    with change(index, "the append of a test") as tx:
        tx.add(rows)
    return open_collection(index.path)


def check(index: CollectionIndex, rows: Sequence[SceneRow], most: int) -> None:
    """All that the manifest says is so, and each scene is where it says."""
    manifest = index.manifest
    by_number = {file.number: file for file in manifest.headers}
    assert len(by_number) == len(manifest.headers)
    seen = []
    for part in manifest.parts:
        file, stored = index.path / part.path, index.path / by_number[part.headers].path
        scenes = pq.read_table(file, partitioning=None)
        headers = pq.read_table(stored, partitioning=None).slice(part.start, part.rows)
        assert scenes.num_rows == part.rows == headers.num_rows <= most
        for name in ("id", "crs", "assets"):
            assert scenes[name].to_pylist() == headers[name].to_pylist()
        assert scenes["status"].to_pylist() == [
            "; ".join(f"{one['of']}: {one['reason']}" for one in row) or "ok" for row in headers["problems"].to_pylist()
        ]
        assert not any(name.endswith("_header") for name in scenes.column_names)
        seen += scenes["id"].to_pylist()
        months = {(when.year, when.month) if when else None for when in scenes["datetime"].to_pylist()}
        assert len(months) == 1
        times = [when for when in scenes["datetime"].to_pylist() if when]
        assert (part.first, part.last) == ((min(times).isoformat(), max(times).isoformat()) if times else (None, None))
        assert part.bbox == (9.0, 48.0, 10.0, 49.0)
    for file in manifest.headers:
        assert pq.read_metadata(index.path / file.path).num_rows == file.rows <= most
    for name, size in manifest.sizes().items():
        assert (index.path / name).stat().st_size == size
    on_disk = {str(file.relative_to(index.path)) for file in index.path.rglob("*") if file.is_file()}
    assert on_disk == {*manifest.files(), schema.MANIFEST}
    expected = {one.item.id: one for one in rows}
    assert sorted(seen) == sorted(expected)
    assert manifest.rows == len(rows)

    ids = list(expected)
    for scene_id, found in zip(
        ids, find_places([IdFile(index.path / name) for name in manifest.ids], ids), strict=True
    ):
        ((place,),) = found
        number, at = split_place(place)
        table = pq.read_table(index.path / by_number[number].path, partitioning=None)
        assert table["id"][at].as_py() == scene_id

    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(index, ids, ["B04", "B08"])
        scanned = connection.sql(f"SELECT id, n, status FROM ({scan_sql(index)})").fetchall()
    assert len(found) == 2 * len(ids)
    for scene_id, one in expected.items():
        source = found[scene_id, "B04"]
        if "B04" in one.bands:
            assert_same(source.header, one.bands["B04"].header)
        else:
            assert source is None
        assert (found[scene_id, "B08"] is not None) == ("B08" in one.problems)
    assert sorted(scanned) == sorted((one.item.id, one.item.properties["n"], text_of(one)) for one in rows)


months = st.lists(st.none() | st.integers(0, 14), min_size=1, max_size=40)


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(months, st.lists(months, max_size=2))
def test_any_number_of_scenes_in_any_months(small, tmp_path_factory, first, more):
    path = tmp_path_factory.mktemp("writer") / "c"
    rows = [row(number, month) for number, month in enumerate(first)]
    write_collection(rows, METADATA, path)
    index = open_collection(path)
    check(index, rows, 7)
    for turn, added in enumerate(more):
        new = [row(number, month, tag=f"t{turn}-") for number, month in enumerate(added)]
        rows += new
        index = add(index, new)
        assert index.manifest.generation == turn + 2
        check(index, rows, 7)


@pytest.mark.parametrize("number", some([8, 1, 6, 7, 13, 14, 15, 21, 29], 9))
def test_files_are_full_before_the_next_begins(small, tmp_path, number):
    rows = [row(n, 0) for n in range(number)]
    write_collection(rows, METADATA, tmp_path / "c")
    index = open_collection(tmp_path / "c")
    check(index, rows, 7)
    sizes = [7] * (number // 7) + ([number % 7] if number % 7 else [])
    assert [part.rows for part in index.manifest.parts] == sizes
    assert [file.rows for file in index.manifest.headers] == sizes
    names = [f"year=2024/month=1/part-{n}.parquet" for n in range(len(sizes))]
    assert [part.path for part in index.manifest.parts] == names
    groups = pq.read_metadata(index.files[0])
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == (
        [3, 3, 1] if number >= 7 else ([3] * (number // 3) + ([number % 3] if number % 3 else []))
    )


def test_months_share_a_header_file(small, tmp_path):
    rows = [row(n, n % 5) for n in range(10)]
    write_collection(rows, METADATA, tmp_path / "c")
    index = open_collection(tmp_path / "c")
    check(index, rows, 7)
    # Two scenes each: the fourth month does not fit into the first file.
    assert [(part.headers, part.start, part.rows) for part in index.manifest.parts] == [
        (0, 0, 2), (0, 2, 2), (0, 4, 2), (0, 6, 1), (1, 0, 1), (1, 1, 2)
    ]  # fmt: skip
    assert [file.rows for file in index.manifest.headers] == [7, 3]


def test_a_write_that_is_stopped_leaves_nothing(small, tmp_path):
    calls = []

    def stop():
        calls.append(None)
        return len(calls) == 4

    with pytest.raises(InterruptedQueryError, match="the build of a test was interrupted; nothing was changed"):
        write_collection([row(n, 0) for n in range(30)], METADATA, tmp_path / "c", cancelled=stop)
    assert len(calls) == 4
    assert list(tmp_path.iterdir()) == []


def test_columns_that_later_scenes_bring_are_null_before(small, tmp_path):
    write_collection([scene("a", properties={"n": 1, "t": "x"})], METADATA, tmp_path / "c")
    first = open_collection(tmp_path / "c")
    assert first.uniform
    index = add(first, [scene("b", properties={"n": 2.5, "new": True}), scene("c", properties={"n": "much"})])
    assert not index.uniform
    query = f"SELECT id, n, t, new FROM ({scan_sql(index)}) ORDER BY id"
    assert duckdb.sql(query).fetchall() == [
        ("a", "1", "x", None),
        ("b", "2.5", None, True),
        ("c", "much", None, None),
    ]
    exported = open_collection(export_collection(index, tmp_path / "export"))
    assert duckdb.sql(query.replace(str(index.path), str(exported.path))).fetchall() == [
        ("a", "1", "x", None),
        ("b", "2.5", None, True),
        ("c", "much", None, None),
    ]


@pytest.fixture
def index(small, tmp_path):
    write_collection([row(n, None if n == 11 else n % 4) for n in range(25)], METADATA, tmp_path / "c")
    return add(open_collection(tmp_path / "c"), [row(n, n % 3, tag="t") for n in range(9)])


class TestExport:
    """Exports of the new layout are rasteret's: scenes with `{band}_metadata` and `{band}_header` in each file."""

    def rows(self, index):
        return duckdb.sql(f"SELECT * FROM ({scan_sql(index)}) ORDER BY id").fetchall()

    def test_rows_schema_order_and_headers(self, index, tmp_path):
        other = open_collection(export_collection(index, tmp_path / "export"))
        assert other.manifest is None
        assert self.rows(other) == self.rows(index)
        assert other.scene_columns == index.scene_columns
        assert other.uniform
        for name in ("name", "bands", "hive", "data_source", "description", "date_range", "request"):
            assert getattr(other, name) == getattr(index, name), name
        for file in other.files:
            stored = pq.read_schema(file)
            headers = ["B04_metadata", "B08_metadata", "B04_header", "B08_header"]
            assert stored.names == [*index.schema.names, *headers]
            assert {b"name", b"geo", b"rasteret_collection_version", b"created"} <= stored.metadata.keys()
        # File by file in the order of the parts.
        for part in index.manifest.parts:
            ours = pq.read_table(index.path / part.path, columns=["id"], partitioning=None)["id"]
            assert pq.read_table(other.path / part.path, columns=["id"], partitioning=None)["id"].equals(ours)
        ids = [values[0] for values in self.rows(index)]
        with duckdb.connect() as connection:
            lookup = SceneLookup(connection)
            one, two = (lookup.bands(which, ids, ["B04"]) for which in (index, other))
        assert one.keys() == two.keys()
        for key, source in one.items():
            assert (source is None) == (two[key] is None)
            if source is not None:
                assert_same(source.header, two[key].header)
                assert source.address == two[key].address

    def test_metadata_is_that_of_the_tile_tables(self, index, tmp_path):
        other = open_collection(export_collection(index, tmp_path / "export"))
        rows = [
            values
            for file in other.files
            for values in pq.read_table(file, partitioning=None).select(["id", "B04_metadata"]).to_pylist()
        ]
        assert sorted(values["id"] for values in rows) == [values[0] for values in self.rows(index)]
        for values in rows:
            number = int(values["id"][1:])
            if number % 3:
                tiles = level(seed=number)
                assert values["B04_metadata"]["tile_offsets"] == tiles.offsets.tolist()
                assert values["B04_metadata"]["tile_byte_counts"] == tiles.byte_counts.tolist()
            else:
                assert values["B04_metadata"] is None

    @pytest.mark.exhaustive
    def test_some_ids(self, index, tmp_path):
        wanted = ["s1", "s11", "t4", "not there"]
        other = open_collection(export_collection(index, tmp_path / "export", ids=wanted))
        assert [values[0] for values in self.rows(other)] == ["s1", "s11", "t4"]
        with duckdb.connect() as connection:
            found = SceneLookup(connection).bands(other, ["t4"], ["B04"])
        assert found["t4", "B04"].header.nodata == 4

    @pytest.mark.exhaustive
    def test_other_partitions(self, index, tmp_path):
        other = open_collection(export_collection(index, tmp_path / "export", partition_by=("collection", "year")))
        assert other.hive == ("collection", "year")
        assert sorted(str(Path(file).parent.relative_to(other.path)) for file in other.files) == [
            "collection=sentinel-2-l2a/year=2024",
            "collection=sentinel-2-l2a/year=__HIVE_DEFAULT_PARTITION__",
        ]
        query = "SELECT id, datetime, collection, n, status, year, month FROM ({}) ORDER BY id"
        ours, theirs = (duckdb.sql(query.format(scan_sql(which))).fetchall() for which in (index, other))
        assert theirs == ours
        with duckdb.connect() as connection:
            assert SceneLookup(connection).bands(other, ["t4"], ["B04"])["t4", "B04"].header.nodata == 4


@pytest.fixture(params=some(["built", "exported"], 2))
def either(request, index, tmp_path):
    """The same collection in both layouts."""
    return index if request.param == "built" else open_collection(export_collection(index, tmp_path / "export"))


class TestLookup:
    def test_threads_find_what_is_there(self, either):
        wrong = []

        def work(start: int) -> None:
            for n in range(start, start + 30):
                one = f"s{n % 25}"
                source = lookup.bands(either, [one, "nowhere"], ["B04"]).get((one, "B04"))
                if (source.header.nodata if source else None) != (n % 25 if n % 25 % 3 else None):
                    wrong.append((one, source))

        with duckdb.connect(config={"threads": 2}) as connection:
            lookup = SceneLookup(connection, cache_bytes=30_000)  # so that most are read anew
            threads = [threading.Thread(target=work, args=(7 * k,)) for k in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert wrong == []

    def test_a_small_collection_is_loaded_whole(self, either):
        with duckdb.connect() as connection:
            lookup = SceneLookup(connection)
            lookup.preload(either)
            found = lookup.bands(either, ["s1", "t8", "x"], ["B04", "B08"])
        assert {key for key, one in found.items() if one is not None} == {("s1", "B04"), ("t8", "B04")}
        assert found["t8", "B04"].header.nodata == 8

    def test_scenes_and_some_ids(self, either):
        with duckdb.connect() as connection:
            lookup = SceneLookup(connection)
            assert len(lookup.some_ids(either, 5)) == 5
            assert lookup.scenes(either, ["s0", "t8", "t9"]) == {"s0", "t8"}

    def test_the_order_of_what_is_asked_for_does_not_matter(self, either):
        ids = [f"s{n}" for n in range(25)]
        with duckdb.connect() as connection:
            one = SceneLookup(connection).bands(either, ids, ["B04"])
        with duckdb.connect() as connection:
            two = SceneLookup(connection).bands(either, [*ids[::-1], *ids], ["B04"])
        assert one.keys() == two.keys()


def test_files_of_headers_that_are_read_are_few_at_a_time(small, tmp_path, monkeypatch):
    monkeypatch.setattr("rasteret_sql.index.read.headers_by_id._OPEN_FILES", 2)
    rows = [row(n, 0) for n in range(40)]
    write_collection(rows, METADATA, tmp_path / "c")
    stored = StoredHeaders(open_collection(tmp_path / "c"))
    assert sorted(stored.rows([f"s{n}" for n in range(40)], ["B04"]).ids) == sorted(one.item.id for one in rows)
    assert len(stored._files) == 2
    assert (
        stored.all(["B04"]).ids
        == pa.concat_tables(
            [pq.read_table(file, columns=["id"], partitioning=None) for file in open_collection(tmp_path / "c").files]
        )["id"].to_pylist()
    )
