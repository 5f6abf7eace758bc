"""Exports keep everything, and never replace what is no collection; a workspace finds collections by name."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest
from index_catalog import request, write_catalog
from index_samples import assert_same, header, level, mask_of, scene, write_collection

from rasteret_sql.errors import InvalidArgumentError, UnknownCollectionError
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import collection_names, find_collection, list_collections
from rasteret_sql.index.read.scene_lookup import SceneLookup, UnreadableBand
from rasteret_sql.index.read.scene_scan import scan_sql

OUT = Path(__file__).parent / "rasteret_index" / "out"


def rows(index):
    return duckdb.sql(f"SELECT * FROM ({scan_sql(index)}) ORDER BY id").fetchall()


@pytest.fixture
def index(tmp_path):
    masked = header(level(), level(50, 40), validity=mask_of(level(bits=1, dtype=np.dtype("uint8")), None))
    scenes = [scene("a", bands={"B04": masked}, problems={"B08": "gone"}), scene("b", None)]
    metadata = CollectionMetadata("bay", ("B04", "B08"), "x/y", "text", ("2024-01-01", "2024-02-01"), {"name": "bay"})
    write_collection(scenes, metadata, tmp_path / "ws" / "bay_x_stac")
    return open_collection(tmp_path / "ws" / "bay_x_stac")


def test_an_export_holds_everything(index, tmp_path):
    other = open_collection(export_collection(index, tmp_path / "deep" / "export"))
    assert rows(other) == rows(index)
    for field in ("name", "bands", "scene_columns", "hive", "data_source", "description", "date_range", "request"):
        assert getattr(other, field) == getattr(index, field), field
    assert other.created > index.created
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(other, ["a"], ["B04", "B08"])
    masked = header(level(), level(50, 40), validity=mask_of(level(bits=1, dtype=np.dtype("uint8")), None))
    assert_same(found["a", "B04"].header, masked)
    assert isinstance(found["a", "B08"], UnreadableBand)


def test_an_export_of_an_export_replaces_it(index, tmp_path):
    first = open_collection(export_collection(index, tmp_path / "export"))
    export_collection(first, tmp_path / "again")
    export_collection(open_collection(OUT / "export"), tmp_path / "again")
    assert rows(open_collection(tmp_path / "again")) == rows(open_collection(OUT / "export"))


@pytest.mark.parametrize("path", sorted((OUT / "ws").iterdir()), ids=lambda path: path.name)
def test_collections_of_rasteret_are_exported_as_they_are(path, tmp_path):
    index = open_collection(path)
    assert rows(open_collection(export_collection(index, tmp_path / "export"))) == rows(index)


def test_one_file_is_exported_to_a_directory(index, tmp_path):
    single = open_collection(index.files[0])
    assert rows(open_collection(export_collection(single, tmp_path / "export"))) == rows(single)


def test_what_is_no_collection_is_not_replaced(index, tmp_path):
    home = tmp_path / "home"
    export_collection(index, home / "inner")
    (home / "thesis.txt").write_text("years of work")
    for target in (home, home / "thesis.txt", index.path, index.path / "below", index.path.parent):
        with pytest.raises(InvalidArgumentError, match=r"not replaced|over itself"):
            export_collection(index, target)
    with pytest.raises(InvalidArgumentError, match=r"no store is known for .ftp://host/x") as caught:
        export_collection(index, "ftp://host/x?secret=1")
    assert "secret" not in str(caught.value)
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{tmp_path / 'table.parquet'}'")
    (tmp_path / "tables").mkdir()
    (tmp_path / "table.parquet").rename(tmp_path / "tables" / "table.parquet")
    with pytest.raises(InvalidArgumentError, match=r"not replaced"):
        export_collection(index, tmp_path / "tables")
    assert (home / "thesis.txt").read_text() == "years of work"


def test_an_export_needs_the_index_no_more(index, tmp_path):
    moved = export_collection(index, tmp_path / "export").rename(tmp_path / "moved")
    before = rows(index)
    for file in index.files:
        Path(file).unlink()
    assert rows(open_collection(moved)) == before


def test_a_workspace_lists_and_finds_by_name_and_directory(tmp_path):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "ws"
    names = ['bay"; DROP', "my-site 2024", "Größe"]
    paths = {name: build(request(catalog, workspace, name=name)) for name in names}
    (workspace / "broken_stac").mkdir()
    (workspace / "notes.txt").write_text("x")
    assert [entry["name"] for entry in list_collections(workspace)] == sorted(names)
    entry = list_collections(workspace)[0]
    assert (entry["size"], entry["kind"], entry["date_range"]) == (3, "stac", ("2024-01-10", "2024-03-10"))
    assert collection_names(workspace) == paths
    for name, path in paths.items():
        assert find_collection(name, workspace).path == path
        assert find_collection(path.name, workspace).path == path
    assert find_collection("GRÖSSE".replace("SS", "ß"), workspace).name == "Größe"
    with pytest.raises(UnknownCollectionError, match=r'no collection "my-site" .* did you mean "my-site 2024"'):
        find_collection("my-site", workspace)


def test_of_several_with_one_name_the_newest_is_found(tmp_path):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "ws"
    build(request(catalog, workspace))
    newest = build(request(catalog, workspace, search={"max_items": 1}))
    assert find_collection("bay", workspace).path == newest


def test_a_workspace_that_does_not_exist_is_empty(tmp_path):
    assert list_collections(tmp_path / "none") == []
    with pytest.raises(UnknownCollectionError, match=r"There are none"):
        find_collection("x", str(tmp_path / "none"))


def test_an_address_that_is_no_path_is_refused_without_its_secrets():
    with pytest.raises(InvalidArgumentError, match=r"https://host/bay is no directory of an object store") as caught:
        open_collection("https://user:PASSWORD@host/bay?token=SECRET")
    assert "PASSWORD" not in str(caught.value)
