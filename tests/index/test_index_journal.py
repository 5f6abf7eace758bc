"""A journal gives back what was put in, as far as it was written; and nothing of another build."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_catalog import CountingBackend, request
from index_killing import SlowBackend, perform, write_world
from index_samples import level, scene
from test_index_packed import file_header

from rasteret_sql.errors import InterruptedQueryError, StacError
from rasteret_sql.index.change.bounded_writer import BoundedWriter
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.journal import Journal
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.scenes.projection_fields import SaidPlace
from rasteret_sql.scenes.scene import BandAsset, SceneItem
from rasteret_sql.scenes.source import FoundScenes
from rasteret_sql.tiff.header import ItemBand
from tests.sampling import examples

DAY = 24 * 3600


def items() -> list[SceneItem]:
    full = scene("a", properties={"gsd": 10, "n": 2**60, "x": 0.1, "list": [1, None, {"é": True}], "t": "日本\ud800"})
    bare = SceneItem("", None, None, None, None, None, {})
    multi = replace(
        full.item,
        id="m",
        bands={
            "R": BandAsset("s3://b/x.tif", 0, item=ItemBand("red", 0.0001, -0.1, "1")),
            "G": BandAsset("s3://b/x.tif", 1, "0", place=SaidPlace("EPSG:32632", None, (3, 4))),
        },
    )
    return [full.item, bare, multi, replace(full.item, datetime=datetime(1999, 1, 1, 0, 0, 0, 123456))]


def found(**changes) -> FoundScenes:
    values = {"scenes": items(), "bands": ("R", "G"), "named": ("R",), "notes": ("odd",)}
    return FoundScenes(**values | changes)


def assert_found(one: FoundScenes | None, other: FoundScenes) -> None:
    assert one is not None
    assert [one.scenes, one.bands, one.named, one.notes] == [other.scenes, other.bands, other.named, other.notes]
    assert [scene.bands for scene in one.scenes] == [scene.bands for scene in other.scenes]
    assert one.columns == other.columns
    if other.columns is not None:
        assert one.columns.schema.equals(other.columns.schema, check_metadata=True)


def headers() -> dict[str, FileHeader]:
    facts = [
        FileFacts(),
        FileFacts(10, '"é"', datetime(2024, 1, 1, 2, 3, 4, 5)),
        FileFacts(2**40, None, datetime(2024, 1, 1)),
    ]
    return {
        f"https://x/{n}": FileHeader(file_header(levels=(level(50 + n, 40, samples=3, planar=2),), masks=(None,)), one)
        for n, one in enumerate(facts)
    }


def filled(target: Path, key="k") -> Journal:
    journal = Journal(target, key)
    journal.keep_scenes(found())
    for address, header in headers().items():
        journal.keep_header(address, header)
    journal.close()
    return journal


def filled_and_killed(target: Path) -> None:
    """As a process leaves it that was killed: the database and what was not yet brought into it."""
    journal = Journal(target, "k")
    journal.keep_scenes(found())
    for address, header in headers().items():
        journal.keep_header(address, header)
    shutil.copytree(journal_of(target.parent), target.parent / "killed")
    journal.remove()
    (target.parent / "killed").rename(journal_of(target.parent))


def kept(target: Path, key="k") -> tuple[FoundScenes | None, dict[str, FileHeader]]:
    """What the next build finds."""
    with closing(Journal(target, key)) as journal:
        return journal.scenes(), journal.headers()


def altered(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(journal_of(path) / "journal.sqlite")) as database, database:
        assert database.execute(statement).rowcount


def journal_of(path: Path) -> Path:
    return path / ".c.journal"


def assert_headers(got: dict[str, FileHeader], number: int) -> None:
    assert list(got) == list(headers())[:number]
    for address, header in got.items():
        assert header.facts == headers()[address].facts
        assert header.header.band(1).levels[0].offsets.tolist() == (
            headers()[address].header.band(1).levels[0].offsets.tolist()
        )


def test_all_comes_back(tmp_path):
    filled(tmp_path / "c")
    scenes, got = kept(tmp_path / "c")
    assert_found(scenes, found())
    assert_headers(got, 3)


def test_typed_columns_come_back(tmp_path):
    columns = pa.table(
        {
            "when": pa.array([datetime(2024, 1, 1)] * 4, pa.timestamp("ns", "UTC")),
            "price": pa.array([Decimal("1.10"), None, None, None], pa.decimal128(9, 2)),
            "kind": pa.array(["a", "b", "a", None]).dictionary_encode(),
            "tags": pa.array([[{"a": 1}], [], None, None], pa.list_(pa.struct([("a", pa.int8())]))),
        },
    ).replace_schema_metadata({"note": "kept"})
    journal = Journal(tmp_path / "c", "k")
    journal.keep_scenes(found(columns=columns))
    journal.close()
    assert_found(kept(tmp_path / "c")[0], found(columns=columns))
    altered(tmp_path, "UPDATE columns SET piece = substr(piece, 1, 10)")
    assert kept(tmp_path / "c")[0] is None


def test_nothing_there(tmp_path):
    journal = Journal(tmp_path / "c", "k")
    assert (journal.scenes(), journal.headers()) == (None, {})
    journal.close()
    journal.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.exhaustive
def test_what_a_killed_process_kept_comes_back_as_far_as_it_was_written(tmp_path):
    filled_and_killed(tmp_path / "c")
    left = {file.name: file.read_bytes() for file in journal_of(tmp_path).iterdir()}
    log = left["journal.sqlite-wal"]
    cuts = [*range(0, len(log), len(log) // 150), len(log) - 1, len(log)]
    numbers = []
    for at in cuts:
        shutil.rmtree(journal_of(tmp_path), ignore_errors=True)
        journal_of(tmp_path).mkdir()
        for name, data in left.items():
            (journal_of(tmp_path) / name).write_bytes(data[:at] if name.endswith("-wal") else data)
        journal = Journal(tmp_path / "c", "k")
        again, got = journal.scenes(), journal.headers()
        assert_headers(got, len(got))
        if again is not None:
            assert_found(again, found())
        numbers.append(len(got) + (again is not None))
        is_mine = journal._database is not None
        journal.keep_header("https://x/more", headers()["https://x/0"])
        journal.close()
        more = ["https://x/more"] if is_mine else []
        assert list(kept(tmp_path / "c")[1]) == [*got, *more]
    assert numbers == sorted(numbers)
    assert (numbers[0], set(numbers), numbers[-2:]) == (0, {0, 1, 2, 3, 4}, [3, 4])


@settings(max_examples=examples(100))
@given(st.data())
def test_damage_costs_what_was_kept_at_most(tmp_path_factory, data):
    """What comes back is what was put in."""
    target = tmp_path_factory.mktemp("journal") / "c"
    data.draw(st.sampled_from([filled, filled_and_killed]))(target)
    file = data.draw(st.sampled_from(sorted(journal_of(target.parent).iterdir())))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    journal = Journal(target, "k")
    again, got = journal.scenes(), journal.headers()
    assert_headers(got, len(got))
    if again is not None:
        assert_found(again, found())
    journal.keep_scenes(found())
    journal.close()


def old(path: Path) -> None:
    for file in journal_of(path).iterdir():
        os.utime(file, (time.time() - DAY - 10,) * 2)


def emptied(path: Path) -> None:
    (journal_of(path) / "journal.sqlite").write_bytes(b"")


def garbage(path: Path) -> None:
    (journal_of(path) / "journal.sqlite").write_bytes(os.urandom(5000))


def changed(path: Path) -> None:
    (path / "c").mkdir()
    (path / "c" / "_manifest.json").write_text("{}")


def of_nothing(path: Path) -> None:
    altered(path, "DELETE FROM build")


def of_the_version_before(path: Path) -> None:
    """It kept three files."""
    (journal_of(path) / "journal.sqlite").unlink()
    for name in ("scenes.json", "headers.log"):
        (journal_of(path) / name).write_text("[4]")


@pytest.mark.parametrize("what", [old, emptied, garbage, changed, of_nothing, of_the_version_before])
def test_what_is_not_of_this_build_is_thrown_away(tmp_path, what):
    filled(tmp_path / "c")
    what(tmp_path)
    assert kept(tmp_path / "c") == (None, {})
    assert not journal_of(tmp_path).exists()


def test_a_journal_of_another_build_or_program_is_thrown_away(tmp_path, monkeypatch):
    filled(tmp_path / "c")
    assert kept(tmp_path / "c", "other")[0] is None
    filled(tmp_path / "c")
    monkeypatch.setattr("rasteret_sql.index.change.journal._FORMAT", 99)
    assert kept(tmp_path / "c")[0] is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE search SET said = substr(said, 1, 20)",
        "UPDATE scenes SET said = replace(said, 'gsd', 'gds')",
        "DELETE FROM scenes WHERE rowid = 2",
        "DELETE FROM search",
    ],
)
def test_a_search_that_cannot_be_read_is_made_again_but_headers_are_kept(tmp_path, statement):
    filled(tmp_path / "c")
    altered(tmp_path, statement)
    journal = Journal(tmp_path / "c", "k")
    assert journal.scenes() is None
    assert_headers(journal.headers(), 3)
    journal.keep_scenes(found())
    journal.close()
    again, got = kept(tmp_path / "c")
    assert_found(again, found())
    assert_headers(got, 3)


def test_a_header_whose_numbers_rot_counts_for_nothing(tmp_path):
    filled(tmp_path / "c")
    altered(tmp_path, "UPDATE headers SET tables = zeroblob(length(tables)) WHERE rowid = 2")
    assert_headers(kept(tmp_path / "c")[1], 1)


def test_a_build_of_several_days_goes_on_within_a_day_of_its_last_header(tmp_path):
    filled_and_killed(tmp_path / "c")
    os.utime(journal_of(tmp_path) / "journal.sqlite", (time.time() - 3 * DAY,) * 2)
    assert_found(kept(tmp_path / "c")[0], found())


def test_a_build_that_was_stopped_goes_on_where_it_was(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    first, second = SlowBackend(seconds=0.04), CountingBackend()
    with pytest.raises(InterruptedQueryError):
        build(request(catalog, workspace, backend=first, max_concurrent=1), cancelled=lambda: len(first.requests) > 3)
    assert [entry.suffix for entry in workspace.iterdir()] == [".journal"]
    build(request(catalog, workspace, backend=second))
    assert 3 < len(first.requests) < 12
    # The last request of the first one may have been under way.
    assert len(first.requests) + len(second.requests) in (12, 13)
    assert len(list(workspace.iterdir())) == 1


def test_a_stop_while_files_are_written_costs_no_request(tmp_path, monkeypatch):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    opened = []

    def open_first(path, columns):
        opened.append(path)
        return BoundedWriter(path, columns)

    monkeypatch.setattr("rasteret_sql.index.change.collection_files.BoundedWriter", open_first)
    with pytest.raises(InterruptedQueryError, match="asked for again it goes on where it was"):
        build(request(catalog, workspace), cancelled=lambda: bool(opened))
    assert [entry.suffix for entry in workspace.iterdir()] == [".journal"]
    backend = CountingBackend()
    build(request(catalog, workspace, backend=backend))
    assert backend.requests == []


def test_a_build_that_fails_starts_anew(tmp_path):
    """What was found may be the cause."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"

    def fails(_done, _total, what):
        if what == "scenes":
            raise StacError("no")

    with pytest.raises(StacError):
        build(request(catalog, workspace, force=True), progress=fails)
    assert list(workspace.glob(".*.journal")) == []
    backend = CountingBackend()
    build(request(catalog, workspace, backend=backend, force=True))
    assert len(backend.requests) == 12


@pytest.mark.parametrize("error", [OSError(errno.ENAMETOOLONG, "too long"), OSError("no errno"), ValueError("odd")])
def test_an_error_that_the_items_may_cause_costs_no_later_build_of_a_mended_catalog(tmp_path, error):
    """Whoever raises it, and without force."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"

    def fails(done, total, what):
        if what == "headers" and done == total:
            raise error

    with pytest.raises(type(error)):
        build(request(catalog, workspace), progress=fails)
    write_world(tmp_path / "catalog", scenes=4)
    assert open_collection(build(request(catalog, workspace))).count_rows() == 4


def test_force_reads_all_again_although_another_one_was_killed_when_it_was_done(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "remove", Journal.close)  # as if it was killed before
        perform("rebuild", catalog, workspace, CountingBackend())
    assert len(list(workspace.glob(".*.journal"))) == 1
    backend = CountingBackend()
    perform("rebuild", catalog, workspace, backend)
    assert len(backend.requests) == 12
    assert list(workspace.glob(".*.journal")) == []


def test_times_before_1970_and_far_ahead_are_times(tmp_path):
    far = [replace(items()[0], datetime=datetime(1, 1, 1) + timedelta(days=days)) for days in (0, 700_000, 3_000_000)]
    journal = Journal(tmp_path / "c", "k")
    journal.keep_scenes(found(scenes=far))
    journal.close()
    assert_found(kept(tmp_path / "c")[0], found(scenes=far))
