"""Append and refresh: what is read, what is kept, what is said."""

import json
import os
from pathlib import Path

import duckdb
import numpy as np
import pytest
import rasterio
from index_catalog import CountingBackend, item, request, write_catalog

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, StacError
from rasteret_sql.index.change.append import append
from rasteret_sql.index.change.build import build, is_cached
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.change.refresh import refresh
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.scene_lookup import SceneLookup
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.library.remembered_search import changed_source, sources_of

FILES = {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "catalog")


@pytest.fixture
def index(catalog, tmp_path):
    return open_collection(build(request(catalog, tmp_path / "ws")))


def items_of(catalog):
    return json.loads(catalog.read_text())["features"]


def write_items(catalog, items):
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def add(catalog, name, when="2025-01-01T00:00:00Z", files=None, **properties):
    write_items(catalog, [*items_of(catalog), item(name, when, files or FILES, **properties)])


def now(index):
    return open_collection(index.path)


def scenes(index, columns="id"):
    return duckdb.sql(f"SELECT {columns} FROM ({scan_sql(now(index))}) ORDER BY id").fetchall()


def again(index, **values):
    return append(index, changed_source(now(index), {}), **values)


def test_an_append_reads_only_files_of_new_scenes(index, catalog):
    files = {"red": "./s1_B04.tif", "nir": "./s1_B08.tif"}
    add(catalog, "new", files=files)
    backend = CountingBackend()
    done = again(index, backend=backend)
    assert (done.found, done.added, done.scenes) == (4, 1, 4)
    assert sorted(Path(url).name for url in backend.requests) == ["s1_B04.tif", "s1_B08.tif"]
    assert [row[0] for row in scenes(index)] == ["new", "s0", "s1", "s2"]
    backend.requests.clear()
    done = again(index, backend=backend)
    assert (done.found, done.added, done.scenes, backend.requests) == (4, 0, 4, [])


def test_what_was_there_is_not_written_again(index, catalog):
    before = {path: path.stat().st_ino for path in index.path.rglob("*") if path.is_file()}
    add(catalog, "new", "2024-01-20T00:00:00Z")
    again(index)
    after = {path: path.stat().st_ino for path in index.path.rglob("*") if path.is_file()}
    old = {path: number for path, number in before.items() if path.name != "_manifest.json"}
    assert old.items() <= after.items()
    assert len(after) == len(before) + 3


@pytest.mark.exhaustive
def test_thirty_small_appends_stay_right(index, catalog, tmp_path):
    for number in range(30):
        add(catalog, f"n{number:02d}", f"2024-0{number % 3 + 1}-15T00:00:00Z", gsd=number)
        again(index)
    grown = now(index)
    ids = [row[0] for row in scenes(index)]
    assert ids == sorted([f"n{number:02d}" for number in range(30)] + ["s0", "s1", "s2"])
    with duckdb.connect() as connection:
        lookup = SceneLookup(connection)
        found = lookup.bands(grown, ids, ["B04", "B08"])
        assert len(found) == 2 * len(ids)
    exported = open_collection(export_collection(grown, tmp_path / "export"))
    assert exported.count_rows() == 33
    assert scenes(index, "id, datetime, gsd") == scenes(exported, "id, datetime, gsd")


def test_properties_of_other_types_and_new_ones(index, catalog, tmp_path):
    add(catalog, "whole", rank=10)
    again(index)
    add(catalog, "half", rank=10.5)
    again(index)
    add(catalog, "word", rank="ten", colour="red")
    again(index)
    found = dict(scenes(index, "id, rank::VARCHAR"))
    assert (found["word"], found["half"][:4], found["whole"][:2], found["s0"]) == ("ten", "10.5", "10", None)
    assert dict(scenes(index, "id, colour"))["word"] == "red"
    exported = open_collection(export_collection(now(index), tmp_path / "export"))
    assert dict(scenes(exported, "id, rank::VARCHAR"))["word"] == "ten"


def test_a_word_for_a_number_leaves_the_column_one_of_numbers(index, catalog):
    add(catalog, "word", gsd="ten")
    with pytest.warns(RuntimeWarning, match="values that could not be read"):
        again(index)
    assert dict(scenes(index, "id, gsd > 9")) == {"s0": True, "s1": True, "s2": True, "word": None}


def test_bands_that_the_collection_lacks_are_left_out_with_a_warning(catalog, tmp_path):
    index = open_collection(build(request(catalog, tmp_path / "ws", naming=rasteret_sql_naming(None))))
    add(catalog, "more", files={**FILES, "blue": "./s1_B04.tif"})
    with pytest.warns(RuntimeWarning, match="bands that the collection lacks, left out: blue"):
        again(index)
    assert now(index).bands == index.bands
    write_items(catalog, [item("other", "2025-02-01T00:00:00Z", {"thermal": "./s1_B04.tif"})])
    with pytest.raises(InvalidArgumentError, match="build a collection of their own"):
        again(index)
    assert len(scenes(index)) == 4


def rasteret_sql_naming(band_map):
    from rasteret_sql.stac.bands import BandNaming

    return BandNaming(band_map)


def test_the_same_build_finds_the_grown_collection_and_force_makes_it_anew(index, catalog, tmp_path):
    add(catalog, "new", "2030-01-01T00:00:00Z")
    again(index)
    asked = request(catalog, tmp_path / "ws")
    assert is_cached(asked, index.path)
    assert open_collection(build(asked)).count_rows() == 4
    write_items(catalog, items_of(catalog)[:2])
    assert open_collection(build(request(catalog, tmp_path / "ws", force=True))).count_rows() == 2


def test_an_export_cannot_be_changed(index, tmp_path):
    export = open_collection(export_collection(index, tmp_path / "export"))
    for change in (lambda: append(export, changed_source(index, {})), lambda: refresh(export, sources_of(index))):
        with pytest.raises(InvalidArgumentError, match="cannot be changed: it is an export"):
            change()


def test_a_refresh_of_nothing_new_asks_once_a_file_and_changes_nothing(index):
    before = {path: path.stat().st_ino for path in index.path.rglob("*") if path.is_file()}
    backend = CountingBackend()
    done = refresh(index, sources_of(index), backend=backend)
    assert (done.checked, done.changed, done.added, done.gone) == (3, 0, 0, 0)
    assert len(backend.requests) == 6
    assert {path: path.stat().st_ino for path in index.path.rglob("*") if path.is_file()} == before


def test_a_replaced_file_is_read_again_and_gives_its_pixels(catalog, tmp_path):
    workspace = tmp_path / "ws"
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        con.execute(f"FROM rasteret_build_from_stac('bay', '{catalog}', band_map := {{'B04': 'red'}})").fetchall()
        mean = "SELECT zonal_stats('s1', 'B04', geometry).max FROM rasteret.bay WHERE id = 's1'"
        before = con.execute(mean).fetchone()[0]
        path = catalog.parent / "s1_B04.tif"
        with rasterio.open(path) as source:
            profile, pixels = source.profile, source.read()
        with rasterio.open(path, "w", **(profile | {"tiled": True})) as target:
            target.write(np.full_like(pixels, before + 7))
        os.utime(path, (1_000_000_000, 1_000_000_000))
        done = con.execute("SELECT checked, changed, added, gone FROM rasteret_refresh('bay')").fetchone()
        assert done == (3, 1, 0, 0)
        assert con.execute(mean).fetchone()[0] == before + 7


def test_items_that_say_so_are_read_again(index, catalog):
    items = items_of(catalog)
    items[0]["properties"]["updated"] = "2024-06-01T00:00:00Z"
    write_items(catalog, items)
    assert refresh(index, sources_of(index)).changed == 0  # nothing to compare it with
    items[1]["assets"]["red"]["href"] = "./s2_B04.tif"
    write_items(catalog, items)
    backend = CountingBackend()
    assert refresh(now(index), sources_of(index), backend=backend).changed == 1
    assert dict(scenes(index, "id, assets.B04.href"))["s1"].endswith("s2_B04.tif")


@pytest.mark.parametrize("file_tells", [True, False])
def test_an_item_that_says_another_scale_or_nodata_of_the_same_file(catalog, tmp_path, file_tells):
    if not file_tells:
        with rasterio.open(catalog.parent / "s1_B04.tif", "r+") as file:
            file.nodata = None
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('bay', '{catalog}', band_map := {{'B04': 'red'}})").fetchall()
        asked = "SELECT zonal_stat('s1', 'B04', geometry, 'max', scaled := true) FROM rasteret.bay WHERE id = 's1'"
        stored = con.execute(asked).fetchone()[0]

        def refreshed(**said):
            items = items_of(catalog)
            items[1]["assets"]["red"] |= said
            write_items(catalog, items)
            done, again = (con.execute("SELECT changed FROM rasteret_refresh('bay')").fetchone()[0] for _ in range(2))
            assert again == 0
            return done, con.execute(asked).fetchone()[0]

        assert refreshed(title="Red") == (0, stored)
        assert refreshed(**{"raster:bands": [{"scale": 0.5, "offset": 3}]}) == (1, stored * 0.5 + 3)
        assert refreshed(**{"raster:bands": [{"scale": 0.25, "offset": 3}]}) == (1, stored * 0.25 + 3)
        # A nodata counts only where the file tells none.
        largest = {"raster:bands": [{"scale": 0.25, "offset": 3, "nodata": int(stored)}]}
        changed, found = refreshed(**largest)
        assert (changed, found < stored * 0.25 + 3) == ((0, False) if file_tells else (1, True))
        assert refreshed(**{"raster:bands": []}) == (1, stored)


def test_gone_and_back_and_new(index, catalog):
    items = items_of(catalog)
    write_items(catalog, items[1:])
    assert refresh(index, sources_of(index)).gone == 1
    assert dict(scenes(index, "id, status"))["s0"].startswith("gone: ")
    assert refresh(now(index), sources_of(index)).gone == 0
    write_items(catalog, [*items, item("new", "2025-01-01T00:00:00Z", FILES)])
    done = refresh(now(index), sources_of(index))
    assert (done.added, done.gone) == (1, 0)
    assert dict(scenes(index, "id, status")) == dict.fromkeys(["new", "s0", "s1", "s2"], "ok")


def test_an_unreadable_file_that_became_readable(catalog, tmp_path):
    path = catalog.parent / "s1_B04.tif"
    content = path.read_bytes()
    path.write_bytes(b"no")
    with pytest.warns(RuntimeWarning, match="1 bands could not be read"):
        index = open_collection(build(request(catalog, tmp_path / "ws")))
    path.write_bytes(content)
    assert refresh(index, sources_of(index)).changed == 1
    assert dict(scenes(index, "id, status"))["s1"] == "ok"


def test_a_store_that_cannot_be_asked_loses_nothing(index):
    class Down(CountingBackend):
        async def get_part(self, url, start, length):
            raise PermissionError("no")

        async def get_range(self, url, start, length):
            raise PermissionError("no")

    before = scenes(index, "*")
    with pytest.warns(RuntimeWarning, match='3 scenes were left as they were, .*"s0"'):
        done = refresh(index, sources_of(index), backend=Down())
    assert (done.changed, done.gone) == (0, 0)
    assert scenes(index, "*") == before


def test_an_empty_source_changes_nothing(index, catalog):
    write_items(catalog, [])
    with pytest.raises(StacError, match="list no scene any more, so nothing was changed"):
        refresh(index, sources_of(index))
    assert len(scenes(index)) == 3


def test_every_search_is_asked_again(index, catalog, tmp_path):
    other = write_catalog(tmp_path / "other", [item("o", "2025-01-01T00:00:00Z", FILES)])
    append(index, changed_source(index, {"address": other}))
    assert len(sources_of(now(index))) == 2
    assert refresh(now(index), sources_of(now(index))).gone == 0
    assert len(scenes(index)) == 4
