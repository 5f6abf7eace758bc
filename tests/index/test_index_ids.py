"""One id among millions: found by its hash, and told by its row where hashes agree."""

from __future__ import annotations

import struct

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_samples import header, scene, write_collection

from rasteret_sql.errors import AmbiguousSceneError, IndexFormatError
from rasteret_sql.index.change.transaction import change
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.id_hashes import IdFile, find_places, hash_ids, places, split_place, write_ids
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.index.read.scene_lookup import SceneLookup
from tests.sampling import examples

texts = st.lists(st.text(max_size=12), max_size=40)


def written(path, ids, file=0, start=0) -> IdFile:
    write_ids(path, hash_ids(ids), places(file, start, len(ids)))
    return IdFile(path)


@settings(max_examples=examples(60))
@given(texts, texts)
def test_each_id_is_found_where_it_is_and_no_other(tmp_path_factory, ids, others):
    file = written(tmp_path_factory.mktemp("ids") / "1.ids", ids, 3, 100)
    assert len(file) == len(ids)
    asked = [*ids, *others]
    for text, found in zip(asked, find_places([file], asked), strict=True):
        where = [100 + row for row, one in enumerate(ids) if one == text]
        assert sorted(split_place(place) for one in found for place in one) == [(3, row) for row in where]


def test_the_newest_file_comes_first(tmp_path):
    files = [written(tmp_path / f"{n}.ids", ids, n, 10 * n) for n, ids in enumerate([["a", "b"], ["b", "c"], ["b"]])]
    found = find_places(files, ["a", "b", "c", "d"])
    assert [[[split_place(place) for place in one] for one in where] for where in found] == [
        [[(0, 0)]],
        [[(2, 20)], [(1, 10)], [(0, 1)]],
        [[(1, 11)]],
        [],
    ]


def test_places_hold_large_numbers():
    where = places(2**31, 2**32 - 2, 2)
    assert [split_place(place) for place in where.tolist()] == [(2**31, 2**32 - 2), (2**31, 2**32 - 1)]


def test_any_text_has_a_hash_of_its_own():
    ids = ["", "a", "A", "é", "e\u0301", "日本", "\0", "\ud800", "a\0", "x" * 10_000]
    assert len(set(hash_ids(ids).tolist())) == len(ids)
    assert hash_ids([]).tolist() == []
    # As `b2sum -l 64` has it: other programs may read these files.
    assert hash_ids(["S2A_T32"]).tolist() == [2146904082777805594]


@pytest.mark.parametrize("size", [0, 5, 16, 17, 63, 65])
def test_a_file_that_is_cut_or_longer_is_an_error(tmp_path, size):
    path = tmp_path / "1.ids"
    written(path, ["a", "b", "c"])
    data = path.read_bytes() + b"x"
    path.write_bytes(data[:size])
    with pytest.raises(IndexFormatError, match=r"1\.ids is damaged; build the collection again with force"):
        IdFile(path)


def test_other_files_and_none_are_an_error(tmp_path):
    path = tmp_path / "1.ids"
    with pytest.raises(IndexFormatError, match=r"1\.ids is missing"):
        IdFile(path)
    path.write_bytes(struct.pack("<8sQ", b"RSQLIDS9", 0))
    with pytest.raises(IndexFormatError, match="is damaged"):
        IdFile(path)


def test_a_file_without_entries(tmp_path):
    assert find_places([written(tmp_path / "1.ids", [])], ["a"]) == [[]]


def collide(monkeypatch, buckets: int) -> None:
    def few(ids):
        return np.array([len(text) % buckets for text in ids], np.uint64)

    monkeypatch.setattr("rasteret_sql.index.format.id_hashes.hash_ids", few)
    monkeypatch.setattr("rasteret_sql.index.change.collection_files.hash_ids", few)


@pytest.mark.parametrize("buckets", [1, 2, 3])
def test_ids_that_share_a_hash_are_told_apart(tmp_path, monkeypatch, buckets):
    collide(monkeypatch, buckets)
    rows = [scene("x" * n, bands={"B04": header(nodata=n)}) for n in range(1, 30)]
    write_collection(rows, CollectionMetadata("bay", ("B04",)), tmp_path / "c")
    index = open_collection(tmp_path / "c")
    with duckdb.connect() as connection:
        lookup = SceneLookup(connection)
        for n in (1, 7, 29):
            assert lookup.bands(index, ["x" * n], ["B04"])["x" * n, "B04"].header.nodata == n
        ids = ["x" * n for n in range(40)]
        assert lookup.scenes(index, ids) == set(ids[1:30])
        assert {key[0] for key in lookup.bands(index, ids, ["B04"])} == set(ids[1:30])


@pytest.mark.parametrize("buckets", [1, 2**60])
def test_of_an_id_that_was_read_again_the_newest_header_counts(tmp_path, monkeypatch, buckets):
    if buckets == 1:
        collide(monkeypatch, 1)
    path = tmp_path / "c"
    write_collection(
        [scene(one, bands={"B04": header(nodata=1)}) for one in ("a", "b")], CollectionMetadata("x", ("B04",)), path
    )
    for nodata in (2, 3):
        with change(open_collection(path), "the refresh of a test") as tx:
            if nodata == 3:
                tx.rewrite(len(tx.manifest.parts) - 1, pa.table({}), pa.table({}))
            tx.add([scene("b", bands={"B04": header(nodata=nodata)}), scene(f"new{nodata}")])
    index = open_collection(path)
    assert [file.number for file in index.manifest.headers] == [0, 2]
    assert index.manifest.ids == ("_ids/1.ids", "_ids/2.ids", "_ids/3.ids")
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(index, ["a", "b", "new2", "new3"], ["B04"])
    assert {scene: one.header.nodata for (scene, _), one in found.items()} == {"a": 1, "b": 3, "new3": 0}


def test_an_id_that_stands_twice_in_one_file_is_ambiguous_and_found_twice(tmp_path):
    rows = [scene(), scene(files={"B04": "https://example.com/other.tif"})]
    write_collection(rows, CollectionMetadata("bay", ("B04",)), tmp_path / "c")
    index = open_collection(tmp_path / "c")
    assert StoredHeaders(index).rows(["a"], ["B04"]).ids == ["a", "a"]
    with duckdb.connect() as connection, pytest.raises(AmbiguousSceneError, match="twice"):
        SceneLookup(connection).bands(index, ["a"], ["B04"])
