"""A collection is there whole or not at all, whenever its process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import pytest
from index_catalog import item, request, write_catalog

from rasteret_sql.index.build import build
from rasteret_sql.index.open import open_collection
from rasteret_sql.index.publish import published
from rasteret_sql.index.scan import scan_sql
from rasteret_sql.index.workspace import list_collections

KILL_AT = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import index_catalog
    from rasteret_sql.index import build as building, publish, write

    where, number = {where!r}, {number}
    def dies(function):
        def wrapped(*args, **kwargs):
            global number
            if number == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            number -= 1
            return function(*args, **kwargs)
        return wrapped

    if where == "headers":
        building.read_headers = dies(building.read_headers)
    elif where == "write":
        write.open_writer = dies(write.open_writer)
    elif where == "sync":
        publish._sync = dies(publish._sync)
    elif where == "rename":
        publish._move = dies(publish._move)
    elif where == "remove":
        publish.shutil.rmtree = dies(publish.shutil.rmtree)
    building.build(index_catalog.request(Path({catalog!r}), Path({workspace!r}), force=True))
"""
POINTS = [("headers", 0), ("write", 0), ("write", 2), ("sync", 0), ("sync", 4), ("rename", 0), ("remove", 0)]


def run(catalog: Path, workspace: Path, where: str, number: int) -> int:
    values = {"tests": str(Path(__file__).parent), "catalog": str(catalog), "workspace": str(workspace)}
    script = textwrap.dedent(KILL_AT).format(where=where, number=number, **values)
    return subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode


def content(path: Path) -> list:
    index = open_collection(path)
    return duckdb.sql(f"SELECT * FROM ({scan_sql(index, index.columns)}) ORDER BY id").fetchall()


@pytest.mark.parametrize(("where", "number"), POINTS)
def test_a_killed_build_is_never_seen_as_whole(tmp_path, where, number):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "workspace"
    assert run(catalog, workspace, where, number) == -9
    listed = list_collections(workspace)
    if where == "remove":
        assert [entry["size"] for entry in listed] == [3]
    else:
        assert listed == []
        assert not request(catalog, workspace).directory().exists()
    assert open_collection(build(request(catalog, workspace))).count_rows() == 3


@pytest.mark.parametrize(("where", "number"), POINTS)
def test_a_killed_rebuild_leaves_the_old_or_the_new_one(tmp_path, where, number):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "workspace"
    path = build(request(catalog, workspace))
    before = content(path)
    files = {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}
    write_catalog(catalog.parent, [item(f"new{n}", f"2025-0{n}-01T00:00:00Z", files) for n in (1, 2, 3)])
    assert run(catalog, workspace, where, number) == -9
    if where == "remove":
        assert [row[0] for row in content(path)] == ["new1", "new2", "new3"]
    else:
        assert content(path) == before
    assert len(list_collections(workspace)) == 1


def test_leftovers_of_killed_builds_are_removed_once_they_are_old(tmp_path):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "workspace"
    assert run(catalog, workspace, "rename", 0) == -9
    (left,) = workspace.iterdir()
    build(request(catalog, workspace))
    assert left.exists()  # young: its process might live on another machine
    old = time.time() - 7200
    for place in (*left.rglob("*"), left):
        os.utime(place, (old, old))
    build(request(catalog, workspace, force=True))
    assert [entry.name for entry in workspace.iterdir()] == [request(catalog, workspace).directory().name]


def test_processes_that_build_the_same_do_not_harm_each_other(tmp_path):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "workspace"
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import index_catalog
        from rasteret_sql.index.build import build
        for _ in range(8):
            build(index_catalog.request(Path({str(catalog)!r}), Path({str(workspace)!r}), force=True))
        """
    )
    path = build(request(catalog, workspace))
    before = content(path)
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    while any(process.poll() is None for process in processes):
        assert path.exists()
        assert open_collection(path).count_rows() == 3
    assert [process.returncode for process in processes] == [0, 0]
    assert content(path) == before
    assert [entry.name for entry in workspace.iterdir()] == [path.name]


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
    monkeypatch.setattr("rasteret_sql.index.publish._exchange", lambda _one, _other: False)
    for text in ("1", "2"):
        with published(tmp_path / "target") as directory:
            (directory / "file").write_text(text)
    assert (tmp_path / "target" / "file").read_text() == "2"
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]
