"""A collection is there whole or not at all, whenever its process is killed; what was done is not done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from index_catalog import CountingBackend, request
from index_killing import CALLS, kept_file, perform, prepare, program, spread, write_world
from index_samples import assert_same

from rasteret_sql.index.change.build import build
from rasteret_sql.index.place.atomic_directory import published, writing
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import list_collections
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.schema import MANIFEST
from tests.sampling import exhaustive

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
POINTS = 13
"""Of each call, at least; issue 3 asks for 50 together."""


def content(path: Path) -> dict:
    """All that a collection holds, but for when it was made."""
    index = open_collection(path)
    said = json.loads((path / MANIFEST).read_text("utf-8"))
    del said["generation"], said["keys"]["created"]
    out = {MANIFEST: said}
    for name in index.manifest.files():
        file = path / name
        if name.endswith(".parquet"):
            table = pq.read_table(file, partitioning=None)
            out[name] = table.schema.remove_metadata(), table.to_pylist()
        else:
            out[name] = file.read_bytes()
    assert sorted(out) == sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    return out


def assert_same_headers(one: Path, other: Path) -> None:
    left, right = (StoredHeaders(index).all(index.bands) for index in map(open_collection, (one, other)))
    for band in left.stored:
        for ours, theirs in zip(left.of(band), right.of(band), strict=True):
            assert ours[0] == theirs[0]
            assert_same(ours[1].header, theirs[1].header)


def seen(workspace: Path) -> list[dict]:
    """What readers find: the content of each collection, none of which is broken."""
    directories = list(workspace.glob("[!.]*_stac"))
    assert len(list_collections(workspace)) == len(directories)
    return [content(path) for path in directories]


@needs_fork
@pytest.mark.parametrize(("call", "count"), [("build", 1), *(exhaustive((call, POINTS)) for call in CALLS)])
def test_a_call_killed_at_any_point_harms_nothing_and_goes_on_where_it_was(call, count, tmp_path):
    """Issue 3, point 4."""
    catalog = write_world(tmp_path / "catalog")
    prepare(call, catalog, tmp_path / "before")
    before = seen(tmp_path / "before")
    calm = copied(tmp_path / "before", tmp_path / "calm")
    undisturbed = perform(call, catalog, calm, CountingBackend())
    after = content(undisturbed)
    with program() as run:
        stages = run.run(call, catalog, copied(tmp_path / "before", tmp_path / "all"), None)
        points = spread(stages, count)
        assert len(points) >= count
        assert seen(tmp_path / "all") == [after]
        # The last rename is the one that publishes; on Linux it is the swap where something was there.
        published_at = max(at for at, stage in enumerate(stages) if stage == "rename")
        for at in points:
            where = f"point {at}, {stages[at]}"
            workspace = copied(tmp_path / "before", tmp_path / f"at{at}")
            assert run.run(call, catalog, workspace, at) == signal.SIGKILL, where
            assert seen(workspace) == ([after] if at > published_at else before), where
            backend = CountingBackend()
            told: list[str] = []
            path = perform(call, catalog, workspace, backend, lambda *what, told=told: told.append(what[2]))
            assert content(path) == after, where
            assert_same_headers(path, undisturbed)
            kept = kept_file(workspace).read_text().splitlines()
            if call == "refresh":
                assert kept == []  # it compares each time with what is there then
            elif call == "rebuild":  # which is asked to read all
                assert sorted(backend.requests) == sorted(every_file(call, catalog)), where
                assert "items" in told, where
            elif at <= published_at:
                assert sorted([*backend.requests, *kept]) == sorted(set(every_file(call, catalog))), where
                assert ("items" in told) == (at <= first(stages, "request") and not journalled(stages, at)), where
            else:
                assert backend.requests == [], where
            left = [entry.name for entry in workspace.iterdir() if entry != path]
            # A call that finds its result cached looks no further.
            mine = (".tmp", ".journal", ".lock") if call == "build" and at > published_at else ("nothing",)
            assert all(name.endswith(mine) for name in left), where
            shutil.rmtree(workspace)
    passed = {"search", "request", "answer", "parquet", "files", "sync", "rename", "remove", "lock"}
    journal = set() if call == "refresh" else {"journal", "half a record", "forget"}
    assert passed | journal <= set(stages)


def copied(source: Path, target: Path) -> Path:
    if source.exists():
        shutil.copytree(source, target)
    return target


def every_file(call: str, catalog: Path) -> list[str]:
    scenes = range(3, 6) if call == "append" else range(6)
    return [str(catalog.parent / f"c{n}_{band}.tif") for n in scenes for band in ("B04", "B08")]


def first(stages: list[str], stage: str) -> int:
    return stages.index(stage)


def journalled(stages: list[str], at: int) -> bool:
    """Whether the search had been written down whole."""
    return at > max(n for n, stage in enumerate(stages[: first(stages, "request")]) if stage == "journal")


@pytest.mark.exhaustive
@needs_fork
def test_a_killed_drop_leaves_all_or_nothing(tmp_path):
    catalog = write_world(tmp_path / "catalog")
    prepare("drop", catalog, tmp_path / "before")
    before = seen(tmp_path / "before")
    with program() as run:
        stages = run.run("drop", catalog, copied(tmp_path / "before", tmp_path / "all"), None)
        assert "rename" in stages
        for at, stage in enumerate(stages):
            workspace = copied(tmp_path / "before", tmp_path / f"at{at}")
            assert run.run("drop", catalog, workspace, at) == signal.SIGKILL
            assert seen(workspace) == (before if at <= stages.index("rename") else []), stage
            if at <= stages.index("rename"):
                perform("drop", catalog, workspace, CountingBackend())
                assert list(workspace.iterdir()) == []


@pytest.mark.exhaustive
@needs_fork
def test_where_directories_cannot_be_swapped_the_next_call_puts_back_what_was_moved_aside(tmp_path):
    catalog = write_world(tmp_path / "catalog")
    prepare("rebuild", catalog, tmp_path / "before")
    before = seen(tmp_path / "before")
    with program() as run:
        stages = run.run("rebuild", catalog, copied(tmp_path / "before", tmp_path / "all"), None, swap=False)
        between = max(at for at, stage in enumerate(stages) if stage == "rename")
        for workspace in (tmp_path / "one", tmp_path / "other"):
            copied(tmp_path / "before", workspace)
            assert run.run("rebuild", catalog, workspace, between, swap=False) == signal.SIGKILL
            assert seen(workspace) == []
    path = build(request(catalog, tmp_path / "one"))
    assert [content(path)] == before
    backend = CountingBackend()
    path = perform("rebuild", catalog, tmp_path / "other", backend)
    assert content(path) == seen(tmp_path / "all")[0]
    assert len(backend.requests) == 12


@pytest.mark.exhaustive
@needs_fork
def test_a_killed_build_with_force_is_finished_by_the_same_call_without(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    with program() as run:
        stages = run.run("force", catalog, tmp_path / "all", None)
        at = max(at for at, stage in enumerate(stages) if stage == "rename")
        assert run.run("force", catalog, workspace, at) == signal.SIGKILL
    backend = CountingBackend()
    path = build(request(catalog, workspace, backend=backend))
    assert content(path) == seen(tmp_path / "all")[0]
    assert backend.requests == []
    assert [entry.name for entry in workspace.iterdir()] == [path.name]


@pytest.mark.exhaustive
@needs_fork
def test_leftovers_of_a_killed_build_are_removed_by_the_next_but_not_those_of_others(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    with program() as run:
        stages = run.run("build", catalog, tmp_path / "all", None)
        at = max(at for at, stage in enumerate(stages) if stage == "rename")
        assert run.run("build", catalog, workspace, at) == signal.SIGKILL
    assert len(list(workspace.glob("*.tmp"))) == 1
    target = request(catalog, workspace).directory().name
    others = {f".other_stac.{os.getpid()}-ab.tmp", f".{target}.more.{os.getpid()}-ab.tmp", ".hand.tmp"}
    for name in others:
        (workspace / name).mkdir()
    build(request(catalog, workspace))
    assert {entry.name for entry in workspace.iterdir()} == {target, *others}


@needs_fork
def test_leftovers_where_no_lock_is_held_are_removed_once_they_are_old(tmp_path):
    target = tmp_path / "export"
    left = tmp_path / ".export.999999999-ab.tmp"
    left.mkdir()
    (left / "half").write_text("")
    for now in (True, False):
        with published(target) as directory:
            (directory / "one").write_text("1")
        assert left.exists() == now
        for place in (left / "half", left) if now else ():
            os.utime(place, (time.time() - 7200,) * 2)


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "target"
    with published(target) as directory:
        (directory / "one").write_text("1")
    with pytest.raises(RuntimeError, match="no"), published(target) as directory:
        (directory / "two").write_text("2")
        raise RuntimeError("no")
    assert [file.name for file in target.iterdir()] == ["one"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_without_an_atomic_swap_a_directory_is_still_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("rasteret_sql.index.place.atomic_directory._exchange", lambda _one, _other: False)
    for text in ("1", "2"):
        with published(tmp_path / "target") as directory:
            (directory / "file").write_text(text)
    assert (tmp_path / "target" / "file").read_text() == "2"
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_what_was_moved_aside_is_put_back_only_where_nothing_took_its_place(tmp_path):
    target, aside = tmp_path / "a_stac", tmp_path / ".a_stac.12-ab.old.tmp"
    for text in ("old", "new"):
        aside.mkdir()
        (aside / "file").write_text(text)
        with writing(target, "the test", None):
            assert (target / "file").read_text() == "old"
    assert not aside.exists()  # it is of a writer that died
