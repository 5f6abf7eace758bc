"""A manifest says what it was told, and says so when it cannot be read."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_samples import scene, write_collection

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.manifest import HeaderFile, Manifest, Part, read_manifest
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import list_collections
from rasteret_sql.schema import INDEX_VERSION, MANIFEST
from tests.sampling import examples

COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("datetime", pa.timestamp("us")),
        ("tags", pa.list_(pa.field("item", pa.struct([("a", pa.int64())])))),
        ("price", pa.decimal128(10, 2)),
        ("Größe 日本", pa.dictionary(pa.int8(), pa.string())),
    ]
)

numbers = st.integers(0, 2**40)
texts = st.text(max_size=8)
parts = st.builds(
    Part,
    texts,
    numbers,
    numbers,
    numbers,
    numbers,
    st.none() | texts,
    st.none() | texts,
    st.none() | st.tuples(*[st.floats(-180, 180)] * 4),
)
manifests = st.builds(
    Manifest,
    bands=st.lists(texts, max_size=3).map(tuple),
    parts=st.lists(parts, max_size=3).map(tuple),
    headers=st.lists(st.builds(HeaderFile, texts, numbers, numbers, numbers), max_size=3).map(tuple),
    ids=st.lists(texts, max_size=3).map(tuple),
    uniform=st.booleans(),
    columns=st.sampled_from([COLUMNS, pa.schema([])]),
    keys=st.dictionaries(texts, texts, max_size=3),
    searches=st.lists(st.dictionaries(texts, st.none() | texts | numbers, max_size=2), max_size=2).map(tuple),
    version=st.integers(1, INDEX_VERSION),
    generation=numbers,
)


@settings(max_examples=examples(100))
@given(manifests)
def test_a_manifest_comes_back(manifest):
    again = read_manifest(manifest.text(), "x")
    assert again == manifest
    assert read_manifest(again.text().encode(), "x") == manifest
    assert again.rows == sum(part.rows for part in manifest.parts)


SAMPLE = Manifest(
    bands=("B04",),
    parts=(Part("year=2024/month=1/part-0.parquet", 3, 0, 0, 100, "2024-01-01T00:00:00", None, (1.0, 2.0, 3.0, 4.0)),),
    headers=(HeaderFile("_headers/0.parquet", 0, 3, 50),),
    ids=("_ids/1.ids",),
    uniform=True,
    columns=COLUMNS,
    keys={"name": "bay"},
)


def test_files_and_sizes():
    assert SAMPLE.name == "bay"
    assert SAMPLE.files() == ["year=2024/month=1/part-0.parquet", "_headers/0.parquet", "_ids/1.ids"]
    assert SAMPLE.sizes() == {"year=2024/month=1/part-0.parquet": 100, "_headers/0.parquet": 50}


def test_a_later_version_is_refused_before_anything_else_is_understood():
    text = json.dumps({"version": INDEX_VERSION + 1, "other": "things"})
    with pytest.raises(
        IndexFormatError, match=rf"^/ws/bay was written by a later program: index version {INDEX_VERSION + 1}.*Update"
    ):
        read_manifest(text, "/ws/bay")


@pytest.mark.parametrize("key", json.loads(SAMPLE.text()))
@pytest.mark.parametrize("value", ["missing", 5, "no", None, [[]]])
def test_damage_of_each_part_is_said(key, value):
    said = json.loads(SAMPLE.text())
    if value == "missing":
        del said[key]
    else:
        said[key] = value
    try:
        read_manifest(json.dumps(said), "/ws/bay")
    except IndexFormatError as error:
        assert str(error).startswith("/ws/bay ")
        assert "with force" in str(error) or "Update" in str(error)
    else:
        assert value != "missing"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", b"\xff\xfe", b"\0" * 40, SAMPLE.text()[:-1]])
def test_what_is_no_manifest(text):
    with pytest.raises(IndexFormatError, match=r"^/ws/bay has a damaged manifest .*with force"):
        read_manifest(text, "/ws/bay")


def test_a_collection_of_a_damaged_manifest_is_none_but_the_rest_of_the_workspace_is_listed(tmp_path):
    for name in ("one", "two"):
        write_collection([scene()], CollectionMetadata(name, ("B04",)), tmp_path / f"{name}_stac")
    (tmp_path / "one_stac" / MANIFEST).write_text("{")
    with pytest.raises(IndexFormatError, match="damaged manifest"):
        open_collection(tmp_path / "one_stac")
    assert [entry["name"] for entry in list_collections(tmp_path)] == ["two"]
