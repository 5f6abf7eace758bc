"""Builds: what is read, what is written, what is cached under which key."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from index_catalog import BAND_MAP, CountingBackend, item, request, write_catalog

from rasteret_sql.errors import (
    CorruptTiffError,
    IndexFormatError,
    InterruptedQueryError,
    InvalidArgumentError,
    StacError,
    StorageError,
)
from rasteret_sql.index.change.build import build
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.directory_names import directory_name, slug
from rasteret_sql.index.read.scene_lookup import BandSource, SceneLookup, UnreadableBand
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.scenes.dates import parse_date_range
from rasteret_sql.stac.bands import BandNaming


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "catalog")


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "workspace"


def test_a_build_reads_each_file_with_one_request(catalog, workspace):
    backend = CountingBackend()
    index = open_collection(build(request(catalog, workspace, backend=backend)))
    assert len(backend.requests) == len(set(backend.requests)) == 6
    assert (index.name, index.bands, index.count_rows()) == ("bay", ("B04", "B08"), 3)
    rows = duckdb.sql(f'SELECT id, datetime, gsd, "proj:epsg", crs, status, month FROM ({scan_sql(index)})').fetchall()
    assert rows[0] == ("s0", datetime(2024, 1, 10, 10, 30), 10.0, 32632, "EPSG:32632", "ok", 1)
    assert len(rows) == 3


def test_an_identical_build_makes_no_request_at_all(catalog, workspace):
    first = build(request(catalog, workspace))
    shutil.rmtree(catalog.parent)
    backend = CountingBackend()
    assert build(request(catalog, workspace, backend=backend)) == first
    assert backend.requests == []


def test_force_builds_again(catalog, workspace):
    build(request(catalog, workspace))
    write_catalog(catalog.parent, [item("new", "2023-05-01T00:00:00Z", {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"})])
    path = build(request(catalog, workspace, force=True))
    assert duckdb.sql(f"SELECT id FROM ({scan_sql(open_collection(path))})").fetchall() == [("new",)]
    assert sorted(entry.name for entry in path.iterdir()) == ["_headers", "_ids", "_manifest.json", "year=2023"]
    assert [entry.name for entry in workspace.iterdir()] == [path.name]


def test_max_concurrent_limits_the_requests_in_flight(catalog, workspace):
    backend = CountingBackend()
    build(request(catalog, workspace, backend=backend, max_concurrent=2))
    assert backend.most_in_flight <= 2


def test_bands_of_one_file_share_its_request(tmp_path, workspace):
    items = [item("m", "2024-01-01T00:00:00Z", {"image": "./multi_chunky.tif"})]
    naming = BandNaming({"R": "image", "G": "image", "B": "image"}, {"R": 0, "G": 1, "B": 2})
    backend = CountingBackend()
    path = build(request(write_catalog(tmp_path / "c", items), workspace, naming=naming, backend=backend))
    assert len(backend.requests) == 1
    index = open_collection(path)
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(index, ["m"], index.bands)
    assert [found["m", band].header.sample for band in "RGB"] == [0, 1, 2]


def test_a_sample_that_the_file_lacks_is_a_problem_of_that_band(tmp_path, workspace):
    items = [item("m", "2024-01-01T00:00:00Z", {"image": "./multi_chunky.tif"})]
    naming = BandNaming({"R": "image", "X": "image"}, {"R": 0, "X": 7})
    with pytest.warns(RuntimeWarning, match=r"has 3 bands, so no band_index 7"):
        build(request(write_catalog(tmp_path / "c", items), workspace, naming=naming))


def test_one_unreadable_file_does_not_spoil_a_build(catalog, workspace):
    (catalog.parent / "s1_B08.tif").write_text("<html>not a TIFF</html>")
    (catalog.parent / "s2_B04.tif").unlink()
    with pytest.warns(RuntimeWarning) as caught:
        path = build(request(catalog, workspace))
    (text,) = [str(warning.message) for warning in caught]
    assert 'collection "bay": 2 bands could not be read' in text
    assert 'scene "s1", band B08' in text
    assert 'scene "s2", band B04' in text
    index = open_collection(path)
    statuses = dict(duckdb.sql(f"SELECT id, status FROM ({scan_sql(index)})").fetchall())
    assert statuses["s0"] == "ok"
    assert statuses["s1"].startswith("B08: ")
    assert "s1_B08.tif" in statuses["s1"]
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(index, ["s0", "s1", "s2"], ["B04", "B08"])
    kinds = {key: type(value) for key, value in found.items()}
    assert [key for key, kind in kinds.items() if kind is UnreadableBand] in (
        [("s1", "B08"), ("s2", "B04")],
        [("s2", "B04"), ("s1", "B08")],
    )
    assert sum(kind is BandSource for kind in kinds.values()) == 4


def test_no_readable_file_at_all_is_the_error_of_the_first(catalog, workspace):
    for file in catalog.parent.glob("*.tif"):
        file.write_bytes(b"no")
    with pytest.raises(CorruptTiffError, match=r"none of the 6 files.*s0_B04.tif"):
        build(request(catalog, workspace))
    for file in catalog.parent.glob("*.tif"):
        file.unlink()
    with pytest.raises(StorageError, match=r"none of the 6 files"):
        build(request(catalog, workspace))
    assert not workspace.exists()


def test_a_search_without_items_says_what_was_asked(catalog, workspace):
    search = {"collection": "s2", "bbox": (0, 0, 1, 1), "date_range": ("2024-01-01", "2024-01-31")}
    with pytest.raises(
        StacError, match=r"for collection s2, bbox \[0.0, 0.0, 1.0, 1.0\], dates 2024-01-01.* found no items"
    ):
        build(request(catalog, workspace, search=search))


def test_a_cancelled_build_leaves_nothing(catalog, workspace):
    with pytest.raises(InterruptedQueryError):
        build(request(catalog, workspace), cancelled=lambda: True)
    assert not workspace.exists()


def test_progress_tells_every_stage_from_the_building_thread(catalog, workspace):
    told = []
    build(request(catalog, workspace), progress=lambda done, total, what: told.append((what, done, total)))
    assert ("items", 3, 3) in told
    assert ("headers", 6, 6) in told
    assert told[-1] == ("scenes", 3, 3)


CHANGES = {
    "name": {"name": "other"},
    "name of the same slug": {"name": "Bay"},
    "bbox": {"search": {"bbox": (8, 47, 11, 50)}},
    "dates": {"search": {"date_range": ("2024-01-01", "2024-12-31")}},
    "day within a month": {"search": {"date_range": ("2024-01-01", "2024-12-30")}},
    "query": {"search": {"query": {"gsd": {"lt": 20}}}},
    "collection": {"search": {"collection": "s2"}},
    "item limit": {"search": {"max_items": 2}},
    "bands": {"naming": BandNaming({"B04": "red"})},
    "band names": {"naming": BandNaming({"R": "red", "B08": "nir"})},
    "band order": {"naming": BandNaming(dict(reversed(BAND_MAP.items())))},
    "band index": {"naming": BandNaming(BAND_MAP, {"B04": 0, "B08": 0})},
    "dataset": {"data_source": "earthsearch/s2"},
    "URL patterns": {"url_patterns": {"https://x/": "s3://x/"}},
}


def test_everything_that_changes_the_result_is_part_of_the_key(catalog, workspace):
    elsewhere = write_catalog(catalog.parent.parent / "elsewhere")
    requests = [request(catalog, workspace), request(elsewhere, workspace)]
    requests += [request(catalog, workspace, **changes) for changes in CHANGES.values()]
    assert len({one.directory() for one in requests}) == len(requests)
    assert len({str(one.identity()) for one in requests}) == len(requests)


def test_what_does_not_change_the_result_is_not_part_of_the_key(catalog, workspace):
    plain = request(catalog, workspace)
    for changes in ({"force": True}, {"max_concurrent": 3}, {"backend": CountingBackend()}, {"description": "d"}):
        assert request(catalog, workspace, **changes).directory() == plain.directory()
    secret = request(catalog, workspace, search={"headers": {"Authorization": "Bearer sesame"}})
    assert secret.directory() == plain.directory()
    assert "sesame" not in str(secret.identity()) + repr(secret)


def test_no_secret_of_the_address_is_stored(workspace):
    one = request("https://user:sesame@example.com/stac?token=sesame", workspace)
    assert "sesame" not in str(one.identity())


def test_a_directory_of_another_request_is_no_cache(catalog, workspace):
    path = build(request(catalog, workspace))
    other = request(catalog, workspace, name="other")
    path.rename(other.directory())
    build(other)
    assert open_collection(other.directory()).name == "other"


@pytest.mark.parametrize(
    "name", ['bay"; DROP TABLE x', "my-site 2024", "Größe 日本", "日本", "a/../../b", "x" * 300, "a_b"]
)
def test_any_text_is_a_name(catalog, workspace, name):
    path = build(request(catalog, workspace, name=name))
    assert path.parent == workspace
    assert open_collection(path).name == name
    assert build(request(catalog, workspace, name=name)) == path
    assert path.name.count("_") == 2  # custom_source-digest_stac


@pytest.mark.parametrize(
    ("dates", "middle"),
    [
        (("2024-06-01", "2024-07-31"), "_202406-07_"),
        (("2023-11-01", "2024-02-01"), "_202311-202402_"),
        (("2024-06-01", None), "_"),
        (None, "_"),
    ],
)
def test_directory_names_are_rasterets(dates, middle):
    name = directory_name("Bay Area_2024", parse_date_range(dates), "earthsearch/sentinel-2-l2a", "1a2b3c4d")
    assert name == f"bay-area-2024{middle}earthsearch-sentinel-2-l2a-1a2b3c4d_stac"


def test_a_slug_is_never_empty():
    assert slug("日本", "collection") == "collection"


@pytest.mark.parametrize("changes", [{"name": ""}, {"max_concurrent": 0}, {"max_concurrent": True}])
def test_arguments_that_cannot_be_used(catalog, workspace, changes):
    values = {"name": "bay", "workspace_dir": workspace} | changes
    one = request(catalog, workspace)
    with pytest.raises(InvalidArgumentError, match=next(iter(changes))):
        type(one)(source=one.source, **values)


def test_a_damaged_cache_is_built_anew(catalog, workspace):
    path = build(request(catalog, workspace))
    for file in path.rglob("*.parquet"):
        Path(file).write_bytes(b"PAR1")
    with pytest.raises(IndexFormatError):
        open_collection(path)
    assert open_collection(build(request(catalog, workspace))).count_rows() == 3


@pytest.mark.parametrize("name", ["", "  ", "nul\0x", None])
def test_a_name_that_no_view_can_have_is_refused(tmp_path, name):
    with pytest.raises(InvalidArgumentError, match="name is what to call the collection"):
        request(write_catalog(tmp_path / "catalog"), tmp_path / "ws", name)


def test_a_workspace_that_is_a_file_is_refused(tmp_path):
    catalog = write_catalog(tmp_path / "catalog")
    with pytest.raises(InvalidArgumentError, match="is a file; give a directory"):
        request(catalog, catalog)
