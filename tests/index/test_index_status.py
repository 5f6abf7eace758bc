"""What could not be read of a scene: pairs in header files, the same as text for users."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow.parquet as pq
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from index_samples import header, scene, write_collection
from rasterio.transform import from_origin

from rasteret_sql.index.change.replace_headers import replace_headers
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.scene_status import read_status, status_text
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.file_headers import read_headers
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend

REASON = "no answer; B04: it said; a: b"
"""With what looks like the beginning of another band's."""


def test_a_reason_that_looks_like_two_is_kept_whole(tmp_path):
    path = tmp_path / "a.tif"
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_400_000, 10, 10)}
    with rasterio.open(path, "w", driver="GTiff", width=16, height=16, count=1, dtype="uint8", **place) as file:
        file.write(np.zeros((1, 16, 16), "uint8"))
    rows = [scene("a", bands={"B04": header()}, problems={"B08": REASON}, files={"B04": str(path)})]
    write_collection(rows, CollectionMetadata("bay", ("B04", "B08")), tmp_path / "bay_stac")
    index = open_collection(tmp_path / "bay_stac")
    fresh = run(read_headers([str(path)], default_backend(), 1))
    assert replace_headers(index, {"a"}, fresh) == 1
    now = open_collection(index.path)
    assert duckdb.sql(f"SELECT status FROM ({scan_sql(now)})").fetchall() == [(f"B08: {REASON}",)]
    (file,) = now.manifest.headers
    stored = pq.read_table(now.path / file.path, partitioning=None)
    assert stored["problems"].to_pylist() == [[{"of": "B08", "reason": REASON}]]
    assert "status" not in stored.column_names


words = st.text(st.characters(exclude_characters=";:\ud800", exclude_categories=["Cs"]), min_size=1, max_size=9)


@given(st.lists(st.tuples(st.sampled_from(["B04", "B08", "x y"]), words), max_size=4))
def test_the_text_of_version_2_says_the_same(problems):
    assert read_status(status_text(problems), {"B04", "B08", "x y"}) == problems


def test_semicolons_of_a_reason_stay_with_it():
    assert read_status("B04: a; b: c; B08: d", {"B04", "B08"}) == [("B04", "a; b: c"), ("B08", "d")]
    assert read_status("expires: 'x' is no time", {"B04"}) == [("expires", "'x' is no time")]
    assert (read_status("ok", {"B04"}), read_status(None, {"B04"})) == ([], [])
