"""A collection that the version before built and appended opens, is read, appended, refreshed and dropped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from version_before import COLLECTION, HOST, TIFFS, FilesOfHost, write_items

import rasteret_sql
from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.schema import INDEX_VERSION, KEY_INDEX_VERSION


@pytest.fixture
def workspace(tmp_path):
    return Path(shutil.copytree(COLLECTION, tmp_path / "workspace"))


@pytest.fixture
def bay(workspace):
    return rasteret_sql.load("bay", workspace_dir=workspace, backend=FilesOfHost())


def statuses(bay):
    return dict(bay.sql("SELECT id, status FROM scenes").fetchall())


def test_it_opens_and_its_pixels_are_those_of_rasterio(bay):
    assert (bay.bands, len(bay)) == (["B04", "B08"], 4)
    found = statuses(bay)
    assert [found[scene] for scene in ("s0", "s2", "s3")] == ["ok"] * 3
    assert found["s1"].startswith("B08: ")
    assert f"{HOST}/not_there.tif" in found["s1"]
    for scene, file in (("s0", "s0_B04.tif"), ("s2", "s2_B04.tif"), ("s3", "s0_B04.tif")):
        with rasterio.open(TIFFS / file) as dataset:
            expected = dataset.read(1)
        [(data, dtype, height, width)] = bay.sql(
            f"SELECT c.data, c.dtype, c.height, c.width FROM (SELECT read_chip('{scene}', 'B04') AS c)"
        ).fetchall()
        np.testing.assert_array_equal(np.frombuffer(data, dtype).reshape(height, width), expected)


@pytest.mark.exhaustive
def test_an_append_adds_what_is_new(bay, tmp_path):
    catalog = write_items(tmp_path, 0, 1, 2, 3, 4)
    more = bay.append(stac_api=catalog, date_range=("2024-05-01", "2024-05-31"), backend=(backend := FilesOfHost()))
    assert len(more) == 5
    assert statuses(more)["s4"] == "ok"
    assert statuses(more)["s1"].startswith("B08: ")
    (directory,) = (tmp_path / "workspace").glob("bay_*")
    assert open_collection(directory).manifest.version == INDEX_VERSION
    assert {url.rpartition("/")[2] for url in backend.requests} == {"s1_B04.tif", "s1_B08.tif"}


@pytest.mark.exhaustive
def test_a_refresh_marks_what_is_gone_and_reads_again_what_changed(bay, tmp_path):
    catalog = write_items(tmp_path, 0, 1, 3, s0="2024-09-01T00:00:00Z")
    with pytest.warns(RuntimeWarning, match="1 bands could not be read"):  # which is tried again each time
        fresh = bay.refresh(stac_api=catalog, backend=FilesOfHost())
    found = statuses(fresh)
    assert found["s2"].startswith("gone: ")
    assert (found["s0"], found["s3"], len(fresh)) == ("ok", "ok", 4)
    assert found["s1"].startswith("B08: ")
    write_items(tmp_path, 0, 1, 2, 3, s0="2024-09-01T00:00:00Z")
    with pytest.warns(RuntimeWarning, match="1 bands could not be read"):
        again = bay.refresh(stac_api=catalog, backend=FilesOfHost())
    assert statuses(again)["s2"] == "ok"


def test_an_export_of_it_has_all(bay, tmp_path):
    bay.export(tmp_path / "export")
    exported = open_collection(tmp_path / "export")
    assert (exported.count_rows(), exported.bands) == (4, ("B04", "B08"))


def test_it_is_dropped(workspace):
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        assert con.execute("SELECT name, scenes FROM rasteret_drop('bay')").fetchall() == [("bay", 4)]
    assert list(workspace.iterdir()) == []


def test_the_first_version_is_refused_with_a_word(bay, tmp_path):
    """Its headers were packed otherwise; no release had it."""
    bay.export(tmp_path / "export")
    for file in (tmp_path / "export").rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.replace_schema_metadata(table.schema.metadata | {KEY_INDEX_VERSION: b"1"}), file)
    with pytest.raises(IndexFormatError, match="earlier program, in index version 1; build it again"):
        open_collection(tmp_path / "export")


def test_its_manifest_names_no_file_that_is_not_there():
    (directory,) = COLLECTION.iterdir()
    said = json.loads((directory / "_manifest.json").read_text())
    there = {str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()}
    assert there - {"_manifest.json"} == {
        *(part["path"] for part in said["parts"]),
        *(file["path"] for file in said["headers"]),
        *said["ids"],
    }
