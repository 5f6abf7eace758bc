"""Full disks, directories that cannot be written, and collections that change under their readers."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from index_catalog import CountingBackend, item, request, write_catalog
from index_killing import perform, prepare, program, write_world
from index_samples import assert_same, header, level, scene, write_collection
from test_index_atomic import content, copied, needs_fork, seen

import rasteret_sql
from rasteret_sql.errors import IndexFormatError, MissingObjectError
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.drop import drop
from rasteret_sql.index.change.journal import Journal
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.index.read.scene_lookup import BandSource, SceneLookup
from rasteret_sql.index.read.scene_scan import scan_sql
from tests.sampling import some


def full_disk(function, calls: int):
    """A write function that fails after some calls."""
    left = calls

    def write(*args, **kwargs):
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")
        left -= 1
        return function(*args, **kwargs)

    return write


FULL = {
    "a scenes' file": (pq.ParquetWriter, "write_table", 0),
    "the headers' file": (pq.ParquetWriter, "write_table", 1),
    "the manifest": (Path, "write_text", 0),
    "fsync": (os, "fsync", 2),
}


@pytest.mark.parametrize("call", some(["build", "rebuild", "append", "refresh"], 5))
@pytest.mark.parametrize("where", FULL)
def test_a_full_disk_harms_nothing_and_the_call_goes_on_when_there_is_room(where, call, tmp_path, monkeypatch):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    prepare(call, catalog, workspace)
    before = seen(workspace)
    owner, name, calls = FULL[where]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full_disk(getattr(owner, name), calls))
        with pytest.raises(OSError, match="No space left on device: '/full'"):
            perform(call, catalog, workspace, CountingBackend())
    assert seen(workspace) == before
    assert not list(workspace.glob("*.tmp"))
    assert not list(workspace.glob("*.lock"))
    backend = CountingBackend()
    path = perform(call, catalog, workspace, backend)
    assert open_collection(path).count_rows() == 6
    if call == "rebuild":
        assert len(backend.requests) == 12  # force goes on from nothing that failed
    elif call != "refresh":
        assert backend.requests == []


@pytest.mark.exhaustive
@needs_fork
@pytest.mark.parametrize("call", some(["build", "append", "refresh"], 3))
def test_files_that_cannot_grow_any_more(call, tmp_path):
    """As above with a limit of the system's own, so that Arrow's writers fail, too."""
    catalog = write_world(tmp_path / "catalog")
    prepare(call, catalog, tmp_path / "before")
    before = seen(tmp_path / "before")
    calm = content(perform(call, catalog, copied(tmp_path / "before", tmp_path / "calm"), CountingBackend()))
    longest = max(file.stat().st_size for file in (tmp_path / "calm").rglob("*") if file.is_file())
    with program() as run:
        for room in (0, 100, 1000, *range(2000, longest, 4000), longest - 1):
            workspace = copied(tmp_path / "before", tmp_path / f"room{room}")
            assert run.run(call, catalog, workspace, room=room) in ("EFBIG", "EIO"), room
            assert seen(workspace) == before, room
            assert [entry.name for entry in workspace.glob("*") if entry.suffix in (".tmp", ".lock")] == []
            assert content(perform(call, catalog, workspace, CountingBackend())) == calm, room


@pytest.mark.parametrize(("pages", "read_again"), [(1, {12}), (6, {12}), (8, set(range(1, 12)))])
def test_a_disk_that_fills_up_for_the_journal_stops_the_journal_only(tmp_path, monkeypatch, pages, read_again):
    """SQLite refuses what goes beyond its most pages as it does on a full disk."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    connect = Journal._connect

    def limited(journal):
        database = connect(journal)
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_connect", limited)
        patch.setattr(pq.ParquetWriter, "write_table", full_disk(None, 0))
        with pytest.raises(OSError, match="No space left"):
            perform("build", catalog, workspace, CountingBackend())
    backend = CountingBackend()
    path = perform("build", catalog, workspace, backend)
    assert len(backend.requests) in read_again
    assert content(path) == content(perform("build", catalog, tmp_path / "calm", CountingBackend()))


def test_headers_that_come_after_the_journal_was_closed_are_not_kept(tmp_path):
    """Requests of a build that was stopped end when they end."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    late = {}
    keep = Journal.keep_header
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "keep_header", lambda self, *one: (late.setdefault(self, one), keep(self, *one)))
        perform("build", catalog, workspace, CountingBackend())
    ((journal, one),) = late.items()
    journal.keep_header(*one)
    assert len(list(workspace.iterdir())) == 1


def test_without_hard_links_an_append_copies(tmp_path, monkeypatch):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    prepare("append", catalog, workspace)
    shutil.copytree(workspace, tmp_path / "linked")
    linked = perform("append", catalog, tmp_path / "linked", CountingBackend())

    def no_links(*_args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert content(perform("append", catalog, workspace, CountingBackend())) == content(linked)


def test_what_an_append_links_is_not_written_to(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    prepare("append", catalog, workspace)
    (path,) = workspace.iterdir()
    before = {name: (path / name).read_bytes() for name in open_collection(path).manifest.files()}
    inodes = {name: (path / name).stat().st_ino for name in before}
    perform("append", catalog, workspace, CountingBackend())
    assert {name: (path / name).read_bytes() for name in before} == before
    assert {name: (path / name).stat().st_ino for name in before} == inodes


@pytest.fixture
def read_only(tmp_path):
    """A workspace with a collection that this process may only read."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    path = perform("build", catalog, workspace, CountingBackend())
    places = [workspace, *workspace.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    if os.geteuid() == 0:
        # Root may write anywhere: what it opens is checked instead.
        opened = Path.open

        def refuse(path: Path, mode="r", *rest, **more):
            if workspace in path.parents and set(mode) & set("wax+"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return opened(path, mode, *rest, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            yield catalog, workspace, path
    else:
        yield catalog, workspace, path
    for place, mode in modes.items():
        place.chmod(mode)


def test_a_cached_collection_of_a_read_only_workspace_is_read(read_only):
    catalog, workspace, path = read_only
    assert build(request(catalog, workspace)) == path
    index = open_collection(path)
    assert len(duckdb.sql(scan_sql(index)).fetchall()) == 6
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(index, ["c0"], index.bands)
    assert all(isinstance(one, BandSource) for one in found.values())
    with pytest.raises(PermissionError, match=r"\.lock"):
        build(request(catalog, workspace, force=True))
    assert len(duckdb.sql(scan_sql(index)).fetchall()) == 6


class TestReadersOfAnIndexThatChanges:
    """A reader has the old collection, or the new one, or is told so; never something between."""

    def write(self, path: Path, ids: str, nodata: int):
        rows = [scene(one, bands={"B04": header(level(seed=nodata), nodata=nodata)}) for one in ids]
        write_collection(rows, CollectionMetadata("bay", ("B04",)), path)
        return open_collection(path)

    def nodata(self, index, lookup: SceneLookup, ids: str) -> list[int]:
        found = lookup.bands(index, list(ids), ["B04"])
        return [found[one, "B04"].header.nodata for one in ids]

    def test_what_is_open_stays_as_it_was(self, tmp_path):
        index = self.write(tmp_path / "bay_stac", "abc", 1)
        with duckdb.connect() as connection:
            lookup = SceneLookup(connection)
            assert self.nodata(index, lookup, "a") == [1]
            other = self.write(tmp_path / "bay_stac", "bcd", 2)
            assert self.nodata(index, lookup, "bc") == [1, 1]
            assert self.nodata(other, lookup, "bcd") == [2, 2, 2]

    @pytest.mark.parametrize("ids", ["bcd", "a", "abcdefgh"])
    def test_what_is_opened_after_a_rebuild_says_so(self, tmp_path, ids):
        index = self.write(tmp_path / "bay_stac", "abc", 1)
        self.write(tmp_path / "bay_stac", ids, 2)
        assert not index.is_current()
        with duckdb.connect() as connection, pytest.raises(IndexFormatError, match="was changed meanwhile: open it"):
            SceneLookup(connection).bands(index, ["b"], ["B04"])

    def test_ids_from_before_and_headers_from_after_a_rebuild_are_told_apart(self, tmp_path):
        index = self.write(tmp_path / "bay_stac", "abc", 1)
        stored = StoredHeaders(index)
        self.write(tmp_path / "bay_stac", "bca", 2)
        with pytest.raises(IndexFormatError, match="was changed meanwhile"):
            stored.rows(["b"], ["B04"])

    def test_a_session_opens_it_again(self, tmp_path, monkeypatch):
        """Also where it changes after the session asked whether it is current."""
        path = tmp_path / "bay_stac"
        with rasteret_sql.connect() as connection:
            session = rasteret_sql.connection.session_for(connection)
            session.collections.add(self.write(path, "abc", 1))  # without a look at its headers
            bands, waiting = SceneLookup.bands, [2]

            def rebuilt(lookup, *arguments):
                if waiting:
                    self.write(path, "abc", waiting.pop())
                return bands(lookup, *arguments)

            monkeypatch.setattr(SceneLookup, "bands", rebuilt)
            (source,) = session.band_sources([("b", ("B04",))], None)["b", ("B04",)]
            assert source.header.nodata == 2

    def test_readers_from_before_an_append_or_a_refresh_go_on(self, tmp_path):
        catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
        prepare("append", catalog, workspace)
        index = open_collection(next(workspace.iterdir()))
        perform("append", catalog, workspace, CountingBackend())
        assert not index.is_current()
        with duckdb.connect() as connection:
            found = SceneLookup(connection).bands(index, ["c0", "c5"], ["B04"])
        assert set(found) == {("c0", "B04")}
        assert len(duckdb.sql(scan_sql(index)).fetchall()) == 3

    def test_a_collection_that_is_gone(self, tmp_path):
        index = self.write(tmp_path / "bay_stac", "abc", 1)
        drop(index)
        with (
            duckdb.connect() as connection,
            pytest.raises((MissingObjectError, IndexFormatError), match=r"missing|no collection"),
        ):
            SceneLookup(connection).bands(index, ["b"], ["B04"])
        with pytest.raises(MissingObjectError):
            open_collection(index.path)

    def test_a_collection_that_is_replaced_while_it_is_opened_is_opened_again(self, tmp_path, monkeypatch):
        path = tmp_path / "bay_stac"
        self.write(path, "abc", 1)
        check = "rasteret_sql.index.place.collection_index._check_file"
        waiting = ["abcdefgh"]

        def replaced(file, size):
            if waiting:
                self.write(tmp_path / "other", waiting.pop(), 2)
                shutil.rmtree(path)
                (tmp_path / "other").rename(path)
            return checked(file, size)

        checked = __import__("rasteret_sql.index.place.collection_index", fromlist=["_check_file"])._check_file
        monkeypatch.setattr(check, replaced)
        assert open_collection(path).count_rows() == 8

    def test_a_session_keeps_nothing_of_what_a_collection_was(self, tmp_path):
        with duckdb.connect() as connection:
            lookup = SceneLookup(connection)
            for n in range(5):
                index = self.write(tmp_path / "bay_stac", "abc", n)
                lookup.preload(index)
                assert lookup.scenes(index, ["a", "x"]) == {"a"}
                assert self.nodata(index, lookup, "a") == [n]
            assert [len(known) for known in (lookup._ids, lookup._loaded, lookup._stored)] == [1, 1, 1]


def test_damage_is_said_and_force_mends_it(tmp_path):
    catalog = write_catalog(
        tmp_path / "catalog", [item("m", "2024-01-01T00:00:00Z", {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"})]
    )
    path = build(request(catalog, tmp_path / "ws"))
    index = open_collection(path)
    said = json.loads((path / "_manifest.json").read_text())
    for name in [*index.manifest.files(), "_manifest.json"]:
        shutil.copytree(path, tmp_path / "kept")
        (path / name).write_bytes((path / name).read_bytes()[:-3])
        with duckdb.connect() as connection, pytest.raises(IndexFormatError, match="with force"):
            SceneLookup(connection).bands(open_collection(path), ["m"], ["B04"])
        (path / name).unlink()
        with duckdb.connect() as connection, pytest.raises(IndexFormatError):
            SceneLookup(connection).bands(open_collection(path), ["m"], ["B04"])
        shutil.rmtree(path)
        (tmp_path / "kept").rename(path)
    build(request(catalog, tmp_path / "ws", force=True))
    again = json.loads((path / "_manifest.json").read_text())
    assert said["parts"] == again["parts"]
    assert_same(
        *(next(iter(StoredHeaders(one).all(["B04"]).of("B04")))[1].header for one in (open_collection(path),) * 2)
    )


@pytest.mark.parametrize("scenes", some([1, 40], 2))
def test_bytes_that_rot_are_an_error_or_do_not_matter(tmp_path, scenes):
    rows = [scene(f"s{n}", bands={"B04": header(level(seed=n))}) for n in range(scenes)]
    write_collection(rows, CollectionMetadata("bay", ("B04",)), tmp_path / "c")
    file = tmp_path / "c" / "_headers" / "0.parquet"
    good = file.read_bytes()
    told = 0
    expected = header(level(seed=0))
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")  # which has no checksum; pages have
    for at in range(0, footer, max(1, footer // 200)):
        file.write_bytes(good[:at] + bytes([good[at] ^ 0xA5]) + good[at + 1 :])
        try:
            ((_, found),) = StoredHeaders(open_collection(tmp_path / "c")).rows(["s0"], ["B04"]).of("B04")
        except IndexFormatError as error:
            told += "with force" in str(error)
        else:
            assert_same(found.header, expected)
    assert told > 20
