"""A call of constants that only fails is tried once a statement, however often DuckDB folds it; a retry tries again."""

import itertools
import subprocess
import sys
import threading
from types import SimpleNamespace

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.hosts import recent_failures
from rasteret_sql.hosts.recent_failures import LONGEST_SECONDS, WINDOW_SECONDS
from tests.contract.scenes import item, write_items, write_scene
from tests.sampling import some
from tests.servers.range_server import RangeServer

ZONE = "POLYGON ((600400 5099600, 602600 5099600, 602600 5098000, 600400 5098000, 600400 5099600))"
READ = f"SELECT zonal_stats('s0', 'one', '{ZONE}', geom_crs := 32632).mean"
STATEMENTS = {
    "constants": READ,
    "in a condition": "SELECT i FROM range(3) t(i) WHERE "
    f"zonal_stats('s0', 'one', '{ZONE}', geom_crs := 32632).mean > 0",
    "with rows": f"SELECT i, zonal_stats('s0', 'one', '{ZONE}', geom_crs := 32632).mean FROM range(3) t(i)",
    "into a table": f"CREATE TABLE kept AS {READ} AS mean",
    "a point": "SELECT sample_point('s0', 'one', 'POINT (601000 5099000)', geom_crs := 32632)",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_scene(folder / "s0.tif", 0)
    write_items(folder / "items.json", [item("s0", day=1, one="s0.tif")])
    with RangeServer(folder) as running:
        yield running


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time by which failures are recent; it stands still, however slow the machine is, until a test moves it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(recent_failures, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def con(server, tmp_path):
    server.faults()
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
        rasteret_sql.connection.session_for(connection).engine.cache.clear()
        server.reset()
        yield connection
        server.faults()


def failed(con, server, statement):
    """Requests of a statement that fails."""
    before = len(server.log())
    with pytest.raises(duckdb.Error, match=r"s0\.tif"):
        con.execute(statement).fetchall()
    return len(server.log()) - before


@pytest.mark.parametrize("what", some(STATEMENTS, 6))
def test_a_statement_asks_a_failing_server_once(con, server, what):
    server.faults("403", match="s0.tif")
    rows = "SELECT zonal_stats(id, 'one', $1, geom_crs := 32632).mean FROM rasteret.w"
    before = len(server.log())
    with pytest.raises(duckdb.Error, match=r"s0\.tif"):
        con.execute(rows, [ZONE]).fetchall()  # not folded: what one attempt costs
    once = len(server.log()) - before
    assert once > 0
    assert failed(con, server, STATEMENTS[what]) == once


def test_a_retry_really_tries_again(con, server):
    server.faults("403", match="s0.tif")
    first = failed(con, server, READ)
    assert failed(con, server, READ) == first  # from another line of the program: at once
    server.faults()
    (mean,) = con.execute(READ).fetchone()
    assert mean > 0


def test_the_next_statement_asks_anew_also_where_duckdb_carries_it_out_on_its_own_thread(con, server):
    """A failure may be left over where planning raised it; whatever thread comes next, its statement is another."""
    for _ in range(5):
        server.faults("403", match="s0.tif")
        failed(con, server, READ)
        server.faults()
        ((mean,),) = con.execute(READ).fetchall()
        assert mean > 0
        rasteret_sql.connection.session_for(con).engine.cache.clear()


def test_a_retry_from_the_same_line_tries_again_after_a_moment(con, server, clock):
    server.faults("403", match="s0.tif")
    counts = []
    for _ in range(2):
        counts.append(failed(con, server, READ))
        clock.now += WINDOW_SECONDS + 0.01
    assert counts[0] == counts[1] > 0


@pytest.mark.exhaustive
def test_a_loop_without_pause_is_served_in_the_end(con, server, clock):
    server.faults("403", match="s0.tif")
    counts = []
    for _ in range(30):
        counts.append((failed(con, server, READ) > 0, clock.now))
        clock.now += WINDOW_SECONDS / 2
    served = [at for asked, at in counts if asked]
    assert len(served) > 1
    assert max(then - now for now, then in itertools.pairwise(served)) <= LONGEST_SECONDS + WINDOW_SECONDS


def test_other_arguments_are_tried(con, server):
    server.faults("403", match="s0.tif")
    other = READ.replace("602600", "602500")
    counts = [failed(con, server, statement) for statement in (READ, other)]
    assert min(counts) > 0


def test_another_thread_tries_for_itself(con, server):
    server.faults("403", match="s0.tif")
    counts = [failed(con, server, READ)]

    def elsewhere():
        counts.append(failed(con.cursor(), server, READ))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert counts[0] == counts[1] > 0


GARBAGE_AT_EACH_STEP = """
import _thread, gc, threading
import pyarrow as pa
from rasteret_sql.errors import StorageError
from rasteret_sql.hosts.recent_failures import RecentFailures

class CollectsSoon(dict): # so many objects after it was asked, while the call that asks goes on
    steps = 0

    def get(self, key):
        gc.collect()
        garbage = [threading.local()]
        garbage[0].x = 1
        garbage.append(garbage)
        del garbage
        gc.set_threshold(gc.get_count()[0] + self.steps)
        return super().get(key)

failures, columns, done = RecentFailures(), [pa.array([1])], threading.Event()
failures._failed = CollectsSoon()

def failed():
    failures.add("f", columns, StorageError("gone"))

def asked(): # as by a thread of DuckDB's own: nothing of the program is above
    failures.answer("f", columns)
    done.set()

for failures._failed.steps in range(1, 21):
    failed()
    done.clear()
    _thread.start_new_thread(asked, ())
    done.wait()
print("went on")
"""


@pytest.mark.exhaustive
def test_a_thread_of_duckdbs_does_not_stop_where_garbage_is_collected():
    """Where it hangs, Python's own signals and timeouts do not come through: so it is a process."""
    command = [sys.executable, "-c", GARBAGE_AT_EACH_STEP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "went on"), done.stderr
