"""A journal gives back what was put in, as far as it was written; and nothing of another build."""

from __future__ import annotations

import os
import time
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
from rasteret_sql.index.build import build
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.journal import Journal
from rasteret_sql.index.write import open_writer
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.stac.found import FoundScenes
from rasteret_sql.stac.item import BandAsset, SceneItem

DAY = 24 * 3600


def items() -> list[SceneItem]:
    full = scene("a", properties={"gsd": 10, "n": 2**60, "x": 0.1, "list": [1, None, {"é": True}], "t": "日本\ud800"})
    bare = SceneItem("", None, None, None, None, None, {})
    multi = replace(full.item, id="m", bands={"R": BandAsset("s3://b/x.tif", 0), "G": BandAsset("s3://b/x.tif", 1)})
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


def assert_headers(got: dict[str, FileHeader], number: int) -> None:
    assert list(got) == list(headers())[:number]
    for address, header in got.items():
        assert header.facts == headers()[address].facts
        assert header.header.band(1).levels[0].offsets.tolist() == (
            headers()[address].header.band(1).levels[0].offsets.tolist()
        )


def test_all_comes_back(tmp_path):
    filled(tmp_path / "c")
    again = Journal(tmp_path / "c", "k")
    assert_found(again.scenes(), found())
    assert_headers(again.headers(), 3)


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
    assert_found(Journal(tmp_path / "c", "k").scenes(), found(columns=columns))
    (tmp_path / ".c.journal" / "columns.arrow").write_bytes(b"half")
    assert Journal(tmp_path / "c", "k").scenes() is None


def test_nothing_there(tmp_path):
    journal = Journal(tmp_path / "c", "k")
    assert (journal.scenes(), journal.headers()) == (None, {})
    journal.close()
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_each_cut_of_the_log_gives_the_whole_records_before_it(tmp_path):
    filled(tmp_path / "c")
    log = tmp_path / ".c.journal" / "headers.log"
    data = log.read_bytes()
    ends = []
    for number in range(1, 4):
        journal = Journal(tmp_path / f"n{number}", "k")
        journal.keep_scenes(found())
        for address, header in list(headers().items())[:number]:
            journal.keep_header(address, header)
        journal.close()
        ends.append((tmp_path / f".n{number}.journal" / "headers.log").stat().st_size)
    assert ends[-1] == len(data)
    for cut in range(0, len(data) + 1, 7):
        log.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert_headers(Journal(tmp_path / "c", "k").headers(), whole)
        assert log.stat().st_size == ([0, *ends][whole])  # what is written next is found again
    journal = Journal(tmp_path / "c", "k")
    more = headers()["https://x/0"]
    assert len(journal.headers()) == 2
    journal.keep_header("https://x/more", more)
    journal.close()
    assert list(Journal(tmp_path / "c", "k").headers()) == ["https://x/0", "https://x/1", "https://x/more"]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_of_the_log_costs_what_lies_behind_it_at_most(tmp_path_factory, data):
    target = tmp_path_factory.mktemp("journal") / "c"
    filled(target)
    log = target.parent / ".c.journal" / "headers.log"
    content = bytearray(log.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    log.write_bytes(content)
    got = Journal(target, "k").headers()
    assert len(got) < 3
    assert_headers(got, len(got))


def journal_of(path: Path) -> Path:
    return path / ".c.journal"


def old(path: Path) -> None:
    for file in journal_of(path).iterdir():
        os.utime(file, (time.time() - DAY - 10,) * 2)


def long_running(path: Path) -> None:
    os.utime(journal_of(path) / "scenes.json", (time.time() - 3 * DAY,) * 2)


def damaged(path: Path) -> None:
    file = journal_of(path) / "scenes.json"
    file.write_bytes(file.read_bytes()[:-5])


def emptied(path: Path) -> None:
    (journal_of(path) / "scenes.json").write_bytes(b"")


def garbage(path: Path) -> None:
    (journal_of(path) / "scenes.json").write_bytes(os.urandom(5000))


def other_words(path: Path) -> None:
    file = journal_of(path) / "scenes.json"
    file.write_text(file.read_text().replace('"collection"', '"kollektion"'))


def changed(path: Path) -> None:
    (path / "c").mkdir()
    (path / "c" / "_manifest.json").write_text("{}")


def without_the_search(path: Path) -> None:
    (journal_of(path) / "scenes.json").rename(journal_of(path) / "scenes.json.part")


@pytest.mark.parametrize("what", [old, emptied, garbage, changed, without_the_search])
def test_what_is_not_of_this_build_is_thrown_away(tmp_path, what):
    filled(tmp_path / "c")
    what(tmp_path)
    journal = Journal(tmp_path / "c", "k")
    assert (journal.scenes(), journal.headers()) == (None, {})
    assert not journal_of(tmp_path).exists()


def test_a_journal_of_another_build_or_program_is_thrown_away(tmp_path, monkeypatch):
    filled(tmp_path / "c")
    assert Journal(tmp_path / "c", "other").scenes() is None
    filled(tmp_path / "c")
    monkeypatch.setattr("rasteret_sql.index.journal._FORMAT", 99)
    assert Journal(tmp_path / "c", "k").scenes() is None


@pytest.mark.parametrize("what", [damaged, other_words])
def test_a_search_that_cannot_be_read_is_made_again_but_headers_are_kept(tmp_path, what):
    filled(tmp_path / "c")
    what(tmp_path)
    journal = Journal(tmp_path / "c", "k")
    assert journal.scenes() is None
    assert_headers(journal.headers(), 3)


def test_a_build_of_several_days_goes_on_within_a_day_of_its_last_header(tmp_path):
    filled(tmp_path / "c")
    long_running(tmp_path)
    assert_found(Journal(tmp_path / "c", "k").scenes(), found())


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
        return open_writer(path, columns)

    monkeypatch.setattr("rasteret_sql.index.write.open_writer", open_first)
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
    assert_found(Journal(tmp_path / "c", "k").scenes(), found(scenes=far))
