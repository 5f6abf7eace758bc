"""Scenes written to an index are found again, band by band."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from index_samples import assert_same, header, level, scene, write_collection

from rasteret_sql.errors import (
    AmbiguousSceneError,
    IndexFormatError,
    InvalidArgumentError,
    MissingObjectError,
    UnknownBandError,
)
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.scene_lookup import BandSource, SceneLookup, UnreadableBand
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.schema import INDEX_VERSION


@pytest.fixture
def lookup():
    with duckdb.connect(config={"threads": 2}) as connection:
        yield SceneLookup(connection)


def write(path: Path, rows, bands=("B04", "B08")):
    write_collection(rows, CollectionMetadata('my "site"', tuple(bands), "earthsearch/x"), path)
    return open_collection(path)


def test_each_scene_and_band(tmp_path, lookup):
    odd = header(level(byte_order=">"), level(50, 40, byte_order=">"), transform=Affine(7.0, -7.0, 0.0, 7.0, 7.0, 0.0))
    index = write(
        tmp_path / "c",
        [
            scene("both", bands={"B04": header(), "B08": odd}),
            scene("one", datetime(2023, 2, 1), problems={"B08": "https://example.com/one/B08.tif: not a TIFF"}),
            scene("timeless", None),
        ],
    )
    found = lookup.bands(index, ["timeless", "both", "one", "nowhere"], ["B08", "B04"])
    assert {key for key in found if key[0] == "nowhere"} == set()
    assert_same(found["both", "B08"].header, odd)
    assert_same(found["timeless", "B04"].header, header())
    assert found["both", "B04"].address == "https://example.com/both/B04.tif"
    assert found["timeless", "B08"] is None
    assert isinstance(found["one", "B08"], UnreadableBand)
    assert "not a TIFF" in found["one", "B08"].reason
    assert lookup.scenes(index, ["one", "nowhere"]) == {"one"}


def test_what_was_found_is_kept_until_the_files_change(tmp_path, lookup):
    index = write(tmp_path / "c", [scene()])
    first = lookup.bands(index, ["a"], ["B04"])["a", "B04"]
    assert lookup.bands(index, ["a"], ["B04"])["a", "B04"] is first
    index = write(tmp_path / "c", [scene(bands={"B04": header(nodata=7)})])
    assert lookup.bands(index, ["a"], ["B04"])["a", "B04"].header.nodata == 7


def test_the_cache_is_bounded_in_bytes(tmp_path):
    with duckdb.connect() as connection:
        lookup = SceneLookup(connection, cache_bytes=10_000)
        index = write(tmp_path / "c", [scene(f"s{n}") for n in range(50)])
        for n in range(50):
            assert isinstance(lookup.bands(index, [f"s{n}"], ["B04"])[f"s{n}", "B04"], BandSource)
            assert lookup._bytes <= 10_000


def test_threads_share_a_lookup(tmp_path, lookup):
    index = write(tmp_path / "c", [scene(f"s{n}") for n in range(40)])
    wrong = []

    def work(start):
        for n in range(start, start + 40):
            source = lookup.bands(index, [f"s{n % 40}"], ["B04"])[f"s{n % 40}", "B04"]
            if source.scene_id != f"s{n % 40}":
                wrong.append(source)

    threads = [threading.Thread(target=work, args=(10 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_names_that_are_sql(tmp_path, lookup):
    band, scene_id = "a'\"; DROP TABLE x; --", 'it\'s "1"; --'
    index = write(tmp_path / "we'ird [a]*?", [scene(scene_id, bands={band: header()})], [band])
    assert_same(lookup.bands(index, [scene_id], [band])[scene_id, band].header, header())
    assert duckdb.sql(scan_sql(index)).fetchall()[0][0] == scene_id


def test_a_file_without_crs_has_that_of_its_scene(tmp_path, lookup):
    index = write(tmp_path / "c", [scene(bands={"B04": header(crs=None)}, epsg=32633)])
    assert lookup.bands(index, ["a"], ["B04"])["a", "B04"].header.crs == "EPSG:32633"


def test_an_unknown_band_names_those_that_exist(tmp_path, lookup):
    index = write(tmp_path / "c", [scene()])
    with pytest.raises(UnknownBandError, match=r'my "site"" has no band "b04"; did you mean "B04"'):
        lookup.bands(index, ["a"], ["b04"])


def test_one_id_with_two_files_is_ambiguous(tmp_path, lookup):
    index = write(tmp_path / "c", [scene(), scene(files={"B04": "https://example.com/other.tif"})])
    with pytest.raises(AmbiguousSceneError, match=r"twice"):
        lookup.bands(index, ["a"], ["B04"])


def test_relative_paths_are_relative_to_the_current_directory(tmp_path, lookup, monkeypatch):
    index = write(tmp_path / "c", [scene(files={"B04": "tiffs/x.tif"})])
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        assert lookup.bands(index, ["a"], ["B04"])["a", "B04"].address == str(tmp_path / place / "tiffs" / "x.tif")


def test_bands_that_sql_cannot_tell_apart_are_refused(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r'"red" and "Red"'):
        write(tmp_path / "c", [scene(bands={"red": header(), "Red": header()})], ["red", "Red"])
    assert list(tmp_path.iterdir()) == []


def test_files_are_ordered_and_partitioned_as_rasteret_has_them(tmp_path):
    rows = [
        scene("b"),
        scene("a"),
        scene("c", datetime(2024, 10, 1)),
        scene("d", datetime(2024, 2, 1)),
        scene("e", None),
    ]
    index = write(tmp_path / "c", rows)
    assert [str(Path(file).relative_to(index.path)) for file in index.files] == [
        "year=2024/month=2/part-0.parquet",
        "year=2024/month=6/part-0.parquet",
        "year=2024/month=10/part-0.parquet",
        "year=__HIVE_DEFAULT_PARTITION__/month=__HIVE_DEFAULT_PARTITION__/part-0.parquet",
    ]
    assert pq.read_table(index.files[1], columns=["id"], partitioning=None)["id"].to_pylist() == ["a", "b"]
    got = duckdb.sql(f"SELECT id, year, month FROM ({scan_sql(index)})").fetchall()
    assert got == [("d", 2024, 2), ("a", 2024, 6), ("b", 2024, 6), ("c", 2024, 10), ("e", None, None)]


def test_filters_reach_the_scan_and_geometry_is_a_geometry(tmp_path):
    index = write(tmp_path / "c", [scene(), scene("later", datetime(2025, 1, 1))])
    sql = f"SELECT id FROM ({scan_sql(index)}) WHERE year = 2024 AND id = 'a'"
    plan = duckdb.sql(f"EXPLAIN {sql}").fetchall()[0][1]
    assert "READ_PARQUET" in plan
    assert "FILTER" not in plan.replace("Filters", "")
    assert str(duckdb.sql(scan_sql(index, ["geometry"])).types[0]) == "GEOMETRY('OGC:CRS84')"


class TestOpen:
    def test_missing(self, tmp_path):
        with pytest.raises(MissingObjectError, match=r"no such file"):
            open_collection(tmp_path / "nothing")
        with pytest.raises(FileNotFoundError):
            open_collection(tmp_path / "nothing")

    def test_empty_directory(self, tmp_path):
        with pytest.raises(IndexFormatError, match=r"no Parquet files"):
            open_collection(tmp_path)

    def test_columns_that_are_missing_are_named(self, tmp_path):
        duckdb.sql(f"COPY (SELECT 1 AS id, 2 AS geometry) TO '{tmp_path / 'x.parquet'}'")
        with pytest.raises(IndexFormatError, match=r"lacks the columns datetime, assets, bbox"):
            open_collection(tmp_path / "x.parquet")

    def test_not_parquet(self, tmp_path):
        (tmp_path / "x.parquet").write_text("no")
        with pytest.raises(IndexFormatError, match=r"not a readable Parquet file"):
            open_collection(tmp_path)

    def test_a_later_version(self, tmp_path, monkeypatch):
        index = write(tmp_path / "c", [scene()])
        later = (tmp_path / "c" / "_manifest.json").read_text().replace(f'"version":{INDEX_VERSION}', '"version":99')
        (tmp_path / "c" / "_manifest.json").write_text(later)
        with pytest.raises(IndexFormatError, match=r"index version 99.*Update"):
            open_collection(tmp_path / "c")
        monkeypatch.setattr("rasteret_sql.schema.INDEX_VERSION", 99)
        metadata = CollectionMetadata("x", ("B04",))
        write_collection([scene()], metadata, tmp_path / "d")
        export_collection(open_collection(tmp_path / "d"), tmp_path / "e")
        monkeypatch.undo()
        with pytest.raises(IndexFormatError, match=r"index version 99.*Update"):
            open_collection(tmp_path / "e")
        assert index.count_rows() == 1

    def test_one_file_of_a_collection(self, tmp_path):
        whole = write(tmp_path / "c", [scene()])
        exported = open_collection(export_collection(whole, tmp_path / "export"))
        index = open_collection(exported.files[0], "other")
        assert (index.name, index.bands, index.hive) == ("other", ("B04", "B08"), ())
        assert duckdb.sql(f"SELECT year, month FROM ({scan_sql(index)})").fetchall() == [(2024, 6)]
