"""Headers of changed files put into an index: what is written, what stays, and what a session knows besides."""

import asyncio
import dataclasses
import json
import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pytest
import rasterio
from index_catalog import CountingBackend, item, request, write_catalog
from rasterio.transform import from_origin

from rasteret_sql.errors import CorruptTiffError, FileChangedError, InterruptedQueryError, StorageTimeoutError
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.change.replace_headers import replace_headers
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.band_source import UnreadableBand
from rasteret_sql.index.read.file_headers import read_header, read_headers
from rasteret_sql.index.read.header_overrides import FreshHeaders
from rasteret_sql.index.read.scene_lookup import SceneLookup
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.maintain import bring_up_to_date
from rasteret_sql.stac.bands import BandNaming


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "catalog")


@pytest.fixture
def index(catalog, tmp_path):
    return open_collection(build(request(catalog, tmp_path / "ws")))


def write(path, size=96, epsg=32632, bands=1):
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint16", "tiled": True}
    profile |= {"blockxsize": 32, "blockysize": 32, "crs": epsg, "transform": from_origin(500_000, 5_400_000, 10, 10)}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.zeros((bands, size, size), "uint16"))


def fresh_of(*paths):
    return run(read_headers([str(path) for path in paths], default_backend(), 4))


def bands_of(index, scene="s0"):
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(open_collection(index.path), [scene], list(index.bands))
    return {band: source for (_, band), source in found.items()}


def rows(index, columns="id, status"):
    return duckdb.sql(f"SELECT {columns} FROM ({scan_sql(open_collection(index.path))}) ORDER BY id").fetchall()


def files(index):
    return {
        path.relative_to(index.path).as_posix(): path.stat().st_ino for path in index.path.rglob("*") if path.is_file()
    }


def test_only_headers_are_written_and_parts_stay(index, catalog):
    before, told = files(index), rows(index, '* EXCLUDE (crs, "proj:epsg")')
    write(catalog.parent / "s0_B04.tif", epsg=int(bands_of(index)["B08"].header.crs[5:]))
    fresh = fresh_of(catalog.parent / "s0_B04.tif")
    assert replace_headers(index, {"s0"}, fresh) == 1
    after = files(index)
    parts = {name for name in before if name.startswith("year=")}
    assert {name: after[name] for name in parts} == {name: before[name] for name in parts}
    assert rows(index, '* EXCLUDE (crs, "proj:epsg")') == told
    found = bands_of(index)
    assert found["B04"].header.width == 96
    assert found["B04"].facts == next(iter(fresh.values())).facts
    assert found["B08"].header.width != 96
    manifest = open_collection(index.path).manifest
    assert [part.path for part in manifest.parts] == [part.path for part in index.manifest.parts]
    assert manifest.rows == 3


def test_what_is_the_same_is_not_written_again(index, catalog):
    before = files(index)
    paths = [catalog.parent / "s0_B04.tif", catalog.parent / "s0_B08.tif"]
    assert replace_headers(index, {"s0"}, fresh_of(*paths)) == 0
    assert replace_headers(index, {"other"}, fresh_of(*paths)) == 0
    assert files(index) == before
    write(paths[0])
    fresh = fresh_of(*paths)
    assert replace_headers(index, {"s0"}, fresh) == 1
    before = files(index)
    assert replace_headers(index, {"s0"}, fresh) == 0
    assert files(index) == before


def test_a_query_that_was_planned_before_reads_on_until_the_next_change(index, catalog):
    """Also where the part itself is written anew, since its scene has another CRS now."""
    scan = f"SELECT id, crs FROM ({scan_sql(index)}) ORDER BY id"
    before = duckdb.sql(scan).fetchall()
    paths = [catalog.parent / "s1_B04.tif", catalog.parent / "s1_B08.tif"]
    for path in paths:
        write(path, epsg=32701)
    assert replace_headers(index, {"s1"}, fresh_of(*paths)) == 1
    assert duckdb.sql(scan).fetchall() == before
    assert dict(rows(index, "id, crs"))["s1"] == "EPSG:32701"
    old = {file for file in files(index) if file.startswith("year=")} - {
        part.path for part in open_collection(index.path).manifest.parts
    }
    assert len(old) == 1
    write(catalog.parent / "s0_B04.tif")
    assert replace_headers(index, {"s0"}, fresh_of(catalog.parent / "s0_B04.tif")) == 1
    assert old.isdisjoint(files(index))


def test_another_crs_is_told_by_the_scene(index, catalog):
    paths = [catalog.parent / "s1_B04.tif", catalog.parent / "s1_B08.tif"]
    for path in paths:
        write(path, epsg=32701)
    assert replace_headers(index, {"s1"}, fresh_of(*paths)) == 1
    told = {scene: (crs, epsg) for scene, crs, epsg in rows(index, 'id, crs, "proj:epsg"')}
    assert told["s1"] == ("EPSG:32701", 32701)
    assert told["s0"] != told["s1"]
    assert open_collection(index.path).count_rows() == 3


def test_unreadable_files_are_told_by_status_until_they_can_be_read(index, catalog):
    red, nir = catalog.parent / "s2_B04.tif", catalog.parent / "s2_B08.tif"
    red.write_bytes(b"<html>; B08: a page</html>")
    nir.write_bytes(b"")
    assert replace_headers(index, {"s2"}, fresh_of(red, nir)) == 1
    status = dict(rows(index))["s2"]
    assert status.startswith("B04: ")
    assert "; B08: " in status
    assert isinstance(bands_of(index, "s2")["B04"], UnreadableBand)
    write(nir)
    assert replace_headers(index, {"s2"}, fresh_of(nir)) == 1
    status = dict(rows(index))["s2"]
    assert status.startswith("B04: ")
    assert bands_of(index, "s2")["B08"].header.width == 96
    write(red)
    assert replace_headers(index, {"s2"}, fresh_of(red)) == 1
    assert rows(index) == [("s0", "ok"), ("s1", "ok"), ("s2", "ok")]


def test_a_file_that_lost_a_band_says_so(catalog, tmp_path):
    write(catalog.parent / "two.tif", bands=2)
    one = item("a", "2024-01-01T00:00:00Z", {"red": "./two.tif", "nir": "./two.tif"})
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": [one]}))
    naming = BandNaming({"B04": "red", "B08": "nir"}, {"B04": 0, "B08": 1})
    index = open_collection(build(request(catalog, tmp_path / "ws2", naming=naming)))
    write(catalog.parent / "two.tif", bands=1)
    assert replace_headers(index, {"a"}, fresh_of(catalog.parent / "two.tif")) == 1
    found = bands_of(index, "a")
    assert found["B04"].header.width == 96
    assert isinstance(found["B08"], UnreadableBand)
    assert "two.tif has 1 bands now, and no band_index 1" in found["B08"].reason


@pytest.mark.exhaustive
def test_many_refreshes_stay_right_and_export(index, catalog, tmp_path):
    for number in range(12):
        path = catalog.parent / f"s{number % 3}_B04.tif"
        write(path, size=32 * (number + 1))
        assert replace_headers(index, {f"s{number % 3}"}, fresh_of(path)) == 1
    for scene, size in (("s0", 320), ("s1", 352), ("s2", 384)):
        assert bands_of(index, scene)["B04"].header.width == size
    exported = open_collection(export_collection(open_collection(index.path), tmp_path / "export"))
    for scene, size in (("s0", 320), ("s1", 352), ("s2", 384)):
        assert bands_of(exported, scene)["B04"].header.width == size
    assert rows(exported, "id, datetime, gsd") == rows(index, "id, datetime, gsd")
    assert len(list((index.path / "_headers").iterdir())) <= 3 + 1, "headers that no part needs are gone"


def test_a_scan_that_began_before_goes_on(index, catalog):
    """A query that reads pixels and refreshes must not lose the files that it is scanning."""
    sql = scan_sql(index)
    write(catalog.parent / "s0_B04.tif", epsg=int(bands_of(index)["B08"].header.crs[5:]))
    replace_headers(index, {"s0"}, fresh_of(catalog.parent / "s0_B04.tif"))
    assert duckdb.sql(f"SELECT count(*) FROM ({sql})").fetchall() == [(3,)]


def test_writers_at_once_take_turns(index, catalog):
    paths = [catalog.parent / f"s{n}_B0{band}.tif" for n in range(3) for band in (4, 8)]
    for path in paths:
        write(path)
    fresh = fresh_of(*paths)
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda n: replace_headers(index, {f"s{n % 3}"}, fresh), range(6)))
    assert sorted(done) == [0, 0, 0, 1, 1, 1]
    for scene in ("s0", "s1", "s2"):
        assert {source.header.width for source in bands_of(index, scene).values()} == {96}


def test_an_interrupt_changes_nothing(index, catalog):
    before = files(index)
    write(catalog.parent / "s0_B04.tif")
    fresh = fresh_of(catalog.parent / "s0_B04.tif")
    with pytest.raises(InterruptedQueryError):
        replace_headers(index, {"s0"}, fresh, cancelled=lambda: True)
    assert files(index) == before
    assert {path.name for path in index.path.parent.iterdir()} == {index.path.name}


def test_what_may_pass_is_not_written_down(index, catalog):
    address = str(catalog.parent / "s0_B04.tif")
    before = files(index)
    assert bring_up_to_date(index, {"s0"}, {address: StorageTimeoutError("later")}) == 0
    assert files(index) == before
    assert bring_up_to_date(index, {"s0"}, {address: CorruptTiffError("no TIFF")}) == 1
    assert dict(rows(index))["s0"] == "B04: no TIFF"


def test_a_collection_that_cannot_be_written_is_left_with_a_warning(index, catalog, monkeypatch):
    write(catalog.parent / "s0_B04.tif")
    fresh = fresh_of(catalog.parent / "s0_B04.tif")
    before = files(index)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("rasteret_sql.index.change.transaction.Change._write_manifest", full)
        with pytest.warns(RuntimeWarning, match="No space left on device; this session reads them as they are now"):
            assert bring_up_to_date(index, {"s0"}, fresh) == 0
    assert files(index) == before
    with monkeypatch.context() as patched:
        patched.setattr("rasteret_sql.library.maintain.os.access", lambda *_: False)
        assert bring_up_to_date(index, {"s0"}, fresh) == 0
    assert bring_up_to_date(index, {"s0"}, fresh) == 1


def test_an_export_is_never_written(index, catalog, tmp_path):
    exported = open_collection(export_collection(index, tmp_path / "export"))
    before = files(exported)
    write(catalog.parent / "s0_B04.tif")
    assert bring_up_to_date(exported, {"s0"}, fresh_of(catalog.parent / "s0_B04.tif")) == 0
    assert files(exported) == before


# What a session knows


def test_a_header_is_read_once_however_many_want_it(index, catalog):
    source = bands_of(index)["B04"]
    write(catalog.parent / "s0_B04.tif")
    fresh, backend = FreshHeaders(), CountingBackend()
    source = dataclasses.replace(source, backend=backend)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fresh.read([source], None), range(8)))
    assert len(backend.requests) == 1
    assert sum(bool(answer.new) for answer in answers) == 1
    assert {answer.headers[source.address].header.band(0).width for answer in answers} == {96}
    now = fresh.applied({("s0", "B04"): source})["s0", "B04"]
    assert now.header.width == 96
    assert now.facts != source.facts


def test_versions_follow_each_other_and_may_come_back(index, catalog):
    path = catalog.parent / "s0_B04.tif"
    source = bands_of(index)["B04"]
    first, stat = path.read_bytes(), path.stat()
    fresh = FreshHeaders()
    for size in (64, 128):
        write(path, size=size)
        now = fresh.applied({"k": source})["k"]
        fresh.read([now], None)
        assert fresh.applied({"k": source})["k"].header.width == size
    now = fresh.applied({"k": source})["k"]
    path.write_bytes(first)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fresh.read([now], None)
    assert fresh.applied({"k": source})["k"] is source
    assert fresh.applied({"k": now})["k"].header.width == source.header.width


def test_a_file_that_lost_a_band_is_an_error_of_that_band(index, catalog):
    path = catalog.parent / "s0_B04.tif"
    source = dataclasses.replace(bands_of(index)["B04"], band_index=2)
    write(path, bands=2)
    fresh = FreshHeaders()
    fresh.read([source], None)
    lost = fresh.applied({"k": source})["k"]
    assert isinstance(lost, FileChangedError)
    assert "has 2 bands now, and no band_index 2" in str(lost)


def test_errors_are_not_kept(index, catalog):
    path = catalog.parent / "s0_B04.tif"
    source = bands_of(index)["B04"]
    path.write_bytes(b"nothing")
    fresh = FreshHeaders()
    answer = fresh.read([source], None)
    assert isinstance(answer.headers[source.address], CorruptTiffError)
    write(path)
    answer = fresh.read([source], None)
    assert answer.headers[source.address].header.band(0).width == 96


def test_a_call_that_waits_for_headers_can_be_interrupted(index, catalog):
    source = bands_of(index)["B04"]
    write(catalog.parent / "s0_B04.tif")
    begun, go = threading.Event(), threading.Event()

    class Slow(CountingBackend):
        async def get_part(self, url, start, length):
            begun.set()
            await asyncio.to_thread(go.wait)
            return await super().get_part(url, start, length)

    fresh = FreshHeaders()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fresh.read, [dataclasses.replace(source, backend=Slow())], None)
        begun.wait()
        with pytest.raises(InterruptedQueryError):
            fresh.read([source], lambda: True)
        go.set()
        assert first.result().new


def test_a_header_of_two_versions_is_no_header(tmp_path):
    """More of a header is asked for only of the version that its start was of."""
    path = tmp_path / "late.tif"
    write(path, size=96)
    data = path.read_bytes()
    # The directory at the end: a second request.
    moved = bytearray(data) + bytes(3 * 2**20)
    (directory,) = struct.unpack_from("<I", moved, 4)
    struct.pack_into("<I", moved, 4, len(moved))
    (entries,) = struct.unpack_from("<H", data, directory)
    moved += data[directory : directory + 2 + 12 * entries + 4]
    path.write_bytes(moved)

    class Changing(CountingBackend):
        async def get_part(self, url, start, length):
            answer = await super().get_part(url, start, length)
            if len(self.requests) == 1:
                os.utime(path, ns=(1, 1))
            return answer

    with pytest.raises(FileChangedError):
        run(read_header(str(path), Changing()))
    assert run(read_header(str(path), default_backend())).header.band(0).width == 96
