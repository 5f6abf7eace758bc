"""Where calls come from: a running event loop, IPython, a forked child, several threads at once."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

import rasteret_sql
from tests.hosts.hosting import CATALOG, DATA, SAHARA, SQUARE, build, output_of
from tests.servers.range_server import RangeServer

MEAN = f"SELECT zonal_stats('{SAHARA}', 'B04', '{SQUARE}', collection := 'bay').mean"


def test_inside_a_running_event_loop(tmp_path):
    async def work() -> list:
        ticks = []

        async def tick() -> None:
            while True:
                ticks.append(1)
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        con = rasteret_sql.connect(workspace_dir=tmp_path)
        rows = con.execute(build("bay")).fetchall()
        mean = con.sql(MEAN).fetchall()
        collection = rasteret_sql.build_from_stac(
            name="bay", stac_api=str(CATALOG), collection="sentinel-s2-l2a-cogs", workspace_dir=tmp_path
        )
        loaded = rasteret_sql.load(collection.path)
        pixels = loaded.get_numpy((-11.5, 24.8, -11.4, 24.9), ["B04"])
        beside = await asyncio.to_thread(lambda: con.cursor().execute(MEAN).fetchall())
        ticking.cancel()
        return [len(rows), mean == beside, pixels.ndim, len(ticks) > 0]

    assert asyncio.run(work()) == [1, True, 3, True]


@pytest.mark.exhaustive
def test_in_ipython(tmp_path):
    pytest.importorskip("IPython")
    text = """
        import sys
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.enable_gui = lambda gui=None: None
        for cell in (
            "import asyncio, rasteret_sql",
            f"con = rasteret_sql.connect(workspace_dir={sys.argv[1]!r})",
            "async def ask(): return con.execute(" + repr(sys.argv[2]) + ").fetchall()",
            "first = await ask()",
            "second = con.sql(" + repr(sys.argv[2]) + ").fetchall()",
            "assert first == second and first[0][0] > 0",
            "await asyncio.sleep(0)",
        ):
            shell.run_cell(cell, store_history=False).raise_error()
        print("done")
    """
    rasteret_sql.connect(workspace_dir=tmp_path).execute(build("bay")).fetchall()
    assert output_of(text, tmp_path, MEAN) == "done\n"


FORK = """
import json, multiprocessing, os, sys
import rasteret_sql
workspace, path, mean = sys.argv[1:4]

def child(pipe):
    con = rasteret_sql.connect(workspace_dir=workspace)
    try:
        pipe.send(con.execute(mean).fetchall()[0][0])
        pipe.send(rasteret_sql.load(path).get_numpy((-11.5, 24.8, -11.4, 24.9), ["B04"]).ndim)
    except Exception as error:
        pipe.send(str(error))

def fork():
    here, there = context.Pipe()
    process = context.Process(target=child, args=(there,))
    process.start()
    there.close()
    got = []
    try:
        while here.poll(30):
            got.append(here.recv())
    except EOFError:
        pass
    process.join(10)
    return got, process.exitcode

context = multiprocessing.get_context("fork")
con = rasteret_sql.connect(workspace_dir=workspace)
expected = con.execute(mean).fetchall()[0][0]
children = [fork(), fork()]
pid = os.fork()
if pid == 0:
    own = rasteret_sql.connect(workspace_dir=workspace)
    os._exit(0 if own.execute("SELECT 42").fetchall() == [(42,)] else 1)
_, status = os.waitpid(pid, 0)
print(json.dumps([children, expected, os.waitstatus_to_exitcode(status), con.execute(mean).fetchall()[0][0]]))
"""


def forked(workspace: Path, catalog: Path | str) -> list:
    con = rasteret_sql.connect(workspace_dir=workspace)
    con.execute(build("bay", catalog=catalog)).fetchall()
    path = con.execute("SELECT path FROM rasteret_collections()").fetchall()[0][0]
    return json.loads(output_of(FORK, workspace, path, MEAN, timeout=90))


GARBAGE = """
import gc, multiprocessing, sys
import rasteret_sql

class Cycle:
    def __init__(self, held):
        self.held, self.me = held, self

gc.disable()
workspace, path = sys.argv[1:3]
con = rasteret_sql.connect(workspace_dir=workspace)
con.execute("SELECT count(*) FROM rasteret.bay").fetchall()
Cycle([con, con.cursor(), rasteret_sql.load(path)])
del con
child = multiprocessing.get_context("fork").Process(target=gc.collect)
child.start()
child.join(60)
print(child.exitcode)
"""


def test_the_garbage_of_a_process_is_not_collected_in_its_forked_child(tmp_path):
    """Connections without their threads: to free one there would end the child."""
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.execute(build("bay", catalog=CATALOG)).fetchall()
    ((path,),) = con.execute("SELECT path FROM rasteret_collections()").fetchall()
    assert output_of(GARBAGE, tmp_path, path, timeout=90).split() == ["0"]


@pytest.mark.exhaustive
def test_a_forked_child_connects_and_reads(tmp_path):
    children, expected, status, afterwards = forked(tmp_path, CATALOG)
    assert children == [[[expected, 3], 0]] * 2
    assert (status, afterwards) == (0, expected)


@pytest.mark.exhaustive
def test_a_forked_child_of_a_process_that_read_over_http_reads(tmp_path):
    """The runtime that holds the parent's connections does not survive a fork; the child has another one."""
    with RangeServer(DATA) as server:
        children, expected, status, afterwards = forked(tmp_path, f"{server.url}/catalog/catalog.json")
    assert children == [[[expected, 3], 0]] * 2
    assert (status, afterwards) == (0, expected)


@pytest.mark.exhaustive
def test_eight_threads_with_cursors_of_their_own_read_right_numbers(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    statements = [
        f"SELECT id, zonal_stats(id, '{band}', geometry).mean, read_chip(id, '{band}').data "
        f"FROM rasteret.year ORDER BY id {order}"
        for band in ("red", "blue", "nir08", "pan")
        for order in ("ASC", "DESC")
    ]
    alone = [rasteret_sql.connect(workspace_dir=cached).execute(statement).fetchall() for statement in statements]
    together: list = [None] * len(statements)
    errors: list[BaseException] = []
    start = threading.Barrier(len(statements))

    def read(number: int) -> None:
        try:
            cursor = con.cursor()
            start.wait(10)
            for _ in range(3):
                together[number] = cursor.execute(statements[number].replace("zonal", "rasteret.zonal")).fetchall()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(statements))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert together == alone
