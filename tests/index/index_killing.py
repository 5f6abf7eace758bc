"""Builds, rebuilds and appends that kill their own process at a point: what test_index_atomic.py runs as a program.

Started as a program it reads one JSON object a line, forks a child for each, and answers with the child's end: a fork
is much less work than an interpreter. It imports all, and uses no threads and no stores itself, so its children may.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
from index_catalog import BAND_MAP, TIFFS, CountingBackend, item, request

from rasteret_sql.index.change.append import append
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.drop import drop
from rasteret_sql.index.change.journal import Journal
from rasteret_sql.index.change.refresh import refresh
from rasteret_sql.index.place import atomic_directory as publish
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.library.remembered_search import sources_of
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes

CALLS = ("build", "rebuild", "append", "refresh")
SPRING, SUMMER = ("2024-01-01", "2024-03-31"), ("2024-04-01", "2024-07-31")
_SOURCES = [f"s{n}_{band}.tif" for n in range(3) for band in BAND_MAP]


def write_world(directory: Path, scenes: int = 6) -> Path:
    """A catalog of scenes of two bands, each a file of its own, one scene a month and two in the last."""
    directory.mkdir(parents=True, exist_ok=True)
    items = []
    for n in range(scenes):
        files = {"red": f"c{n}_B04.tif", "nir": f"c{n}_B08.tif"}
        for number, name in enumerate(files.values()):
            if not (directory / name).exists():
                shutil.copy(TIFFS / _SOURCES[(2 * n + number) % len(_SOURCES)], directory / name)
        month = min(n, scenes - 2) + 1
        items.append(item(f"c{n}", f"2024-0{month}-10T10:00:00Z", {k: f"./{v}" for k, v in files.items()}, gsd=10 + n))
    path = directory / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def prepare(call: str, catalog: Path, workspace: Path) -> None:
    """What stands in the workspace before the call."""
    if call == "rebuild":
        write_world(catalog.parent, scenes=3)
        build(request(catalog, workspace))
        write_world(catalog.parent)
    elif call == "append":
        build(request(catalog, workspace, search={"date_range": SPRING}))
    elif call in ("refresh", "drop"):
        write_world(catalog.parent, scenes=4)
        build(request(catalog, workspace))
        items = json.loads(write_world(catalog.parent).read_text())
        del items["features"][1]
        catalog.write_text(json.dumps(items))
        os.utime(catalog.parent / "c2_B04.tif")


def perform(call: str, catalog: Path, workspace: Path, backend: CountingBackend, progress=None) -> Path:
    """The call that is to be killed, and to be made again."""
    if call == "append":
        index = open_collection(request(catalog, workspace, search={"date_range": SPRING}).directory())
        source = StacScenes(StacSource(str(catalog), date_range=SUMMER), BandNaming(BAND_MAP))
        return append(index, source, backend=backend, max_concurrent=1, progress=progress).path
    if call in ("refresh", "drop"):
        index = open_collection(request(catalog, workspace).directory())
        if call == "drop":
            drop(index)
        else:
            refresh(index, sources_of(index), backend=backend, max_concurrent=1, progress=progress)
        return index.path
    one = request(catalog, workspace, force=call in ("rebuild", "force"), backend=backend, max_concurrent=1)
    return Path(build(one, progress=progress))


@dataclass
class Points:
    """Counts the points that a call passes, and dies at one of them."""

    workspace: str
    at: int | None
    """None: only note them."""
    kept: int
    """File descriptor to which the addresses of journalled headers are written."""
    end: int = signal.SIGKILL
    """Or SIGSTOP: it stands still, with all that it holds."""
    seen: list[str] = field(default_factory=list)
    """The stage of each point so far."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _removing: str = ""

    def reach(self, stage: str, last_wish: Callable[[], None] = lambda: None) -> None:
        with self._lock:
            self.seen.append(stage)
            if self.at == len(self.seen) - 1:
                last_wish()
                os.kill(os.getpid(), self.end)

    def audit(self, event: str, arguments: tuple) -> None:
        """Python tells of each thing that it does to files, before it does it."""
        if event == "open":
            self._open(*arguments)
        elif event == "ctypes.dlsym" and arguments[1] in ("renameat2", "renamex_np"):
            self.reach("rename")
        elif event in ("os.rename", "os.link"):
            if str(arguments[1]).startswith(self.workspace):
                self.reach("rename" if event == "os.rename" else "link")
        elif event == "os.mkdir" and str(arguments[0]).startswith(self.workspace):
            self.reach("directories")
        elif event == "shutil.rmtree" and str(arguments[0]).startswith(self.workspace):
            self._removing = "forget" if str(arguments[0]).endswith(".journal") else "remove"
            self.reach(self._removing)
        elif event in ("os.remove", "os.rmdir") and self._removing:  # their paths are relative to a descriptor
            self.reach(self._removing)

    def _open(self, path: object, _mode: object, flags: int) -> None:
        if not (isinstance(path, str) and path.startswith(self.workspace) and flags & (os.O_WRONLY | os.O_RDWR)):
            return
        stage = "lock" if path.endswith(".lock") else "files"

        def half() -> None:
            if not os.path.exists(path):  # noqa: PTH110
                with open(path, "wb") as file:  # noqa: PTH123
                    file.write(b'{"half":')

        # Died while it was written, at every other of them.
        self.reach(stage, half if len(self.seen) % 2 else lambda: None)

    def install(self) -> None:
        """Pass a point wherever something is done."""
        sys.addaudithook(self.audit)
        for where, name, stage in (
            (os, "fsync", "sync"),
            (pq.ParquetWriter, "__init__", "parquet"),
            (pq.ParquetWriter, "write_table", "parquet"),
            (pq.ParquetWriter, "close", "parquet"),
            (publish, "_sync", "sync"),
        ):
            setattr(where, name, self._passing(getattr(where, name), stage))
        keep, connect = Journal.keep_header, Journal._connect

        def traced(journal: Journal):
            database = connect(journal)
            database.set_trace_callback(lambda _statement: self.reach("journal"))
            return database

        Journal._connect = traced  # type: ignore[method-assign]

        def keep_header(journal: Journal, address: str, header) -> None:
            self.reach("before a record")
            keep(journal, address, header)

            def half() -> None:
                log = next(Path(self.workspace).glob(".*.journal/journal.sqlite-wal"))
                os.truncate(log, log.stat().st_size - 5)

            self.reach("half a record", half)
            os.write(self.kept, f"{address}\n".encode())

        Journal.keep_header = keep_header  # type: ignore[method-assign]

    def _passing(self, function, stage: str):
        def passing(*args, **kwargs):
            self.reach(stage)
            return function(*args, **kwargs)

        return passing

    def progress(self, _done: int, _total: int | None, what: str) -> None:
        # The others are told by the clock.
        if what in ("items", "scenes"):
            self.reach("search" if what == "items" else "written")


class DyingBackend(CountingBackend):
    """Dies before a request, or with its answer."""

    def __init__(self, points: Points) -> None:
        super().__init__()
        self._points = points

    async def _counted(self, url, answer):
        self._points.reach("request")
        data = await super()._counted(url, answer)
        self._points.reach("answer")
        return data


def spread(stages: list[str], number: int) -> list[int]:
    """Points of all stages, the first and the last of each, and others between."""
    places: dict[str, list[int]] = defaultdict(list)
    for at, stage in enumerate(stages):
        places[stage].append(at)
    each = -(-number // len(places))
    chosen: set[int] = set()
    for ats in places.values():
        chosen.update(ats[round(k * (len(ats) - 1) / max(each - 1, 1))] for k in range(each))
    return sorted(chosen)


class SlowBackend(CountingBackend):
    """Takes its time, so that others come meanwhile."""

    def __init__(self, seconds: float = 0.01) -> None:
        super().__init__()
        self._seconds = seconds

    async def _counted(self, url, answer):
        data = await super()._counted(url, answer)
        await asyncio.sleep(self._seconds)
        return data


def _one_of_many(job: dict) -> None:
    """Make the call some times, and tell how many requests that took."""
    backend = SlowBackend()
    for _ in range(job["times"]):
        perform(job["call"], Path(job["catalog"]), Path(job["workspace"]), backend)
    with Path(job["kept"]).open("a") as file:
        file.write(f"{len(backend.requests)}\n")


def _without_room(job: dict) -> None:
    """Make the call where no file can be longer than `room` bytes, and tell the error's name."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"], unlimited))
    try:
        perform(job["call"], Path(job["catalog"]), Path(job["workspace"]), CountingBackend())
        name = "none"
    except OSError as error:
        name = errno.errorcode[error.errno]
    gc.collect()
    resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    os.write(1, (json.dumps(name) + "\n").encode())


def _child(job: dict) -> None:
    kept = os.open(job["kept"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    points = Points(job["workspace"], job["at"], kept, job["end"])
    if job["end"] == signal.SIGSTOP:
        os.write(kept, f"{os.getpid()}\n".encode())
    backend = DyingBackend(points)
    points.install()
    if not job["swap"]:
        publish._exchange = lambda _one, _other: False
    perform(job["call"], Path(job["catalog"]), Path(job["workspace"]), backend, points.progress)
    os.write(1, (json.dumps(points.seen) + "\n").encode())


def _fork(work: Callable[[dict], None], job: dict) -> int:
    child = os.fork()
    if child == 0:
        try:
            work(job)
        finally:
            os._exit(0)
    return child


def main() -> None:
    """Answer each job with the stages that it passed, or with the signal that ended it."""
    for line in sys.stdin:
        job = json.loads(line)
        if job.get("together"):
            children = [_fork(_one_of_many, job) for _ in range(job["together"])]
            answer = json.dumps([os.waitpid(child, 0)[1] for child in children])
        else:
            _, status = os.waitpid(_fork(_without_room if "room" in job else _child, job), 0)
            if not os.WIFSIGNALED(status):
                continue  # it has answered itself
            answer = str(os.WTERMSIG(status))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


class Program:
    """This file, running as a program."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def start(self, call: str, catalog: Path, workspace: Path, at: int | None = None, **more) -> None:
        """Make a call in a process of its own, or in several."""
        job = {"call": call, "catalog": str(catalog), "workspace": str(workspace), "at": at}
        job |= {"swap": True, "end": signal.SIGKILL, "kept": str(kept_file(workspace))} | more
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def answer(self) -> list[str] | int:
        """The stages that a call passed, or the signal that ended it; of several calls their exit statuses."""
        return json.loads(self._process.stdout.readline())

    def run(self, *args, **more) -> list[str] | int:
        """Start, and wait for the answer."""
        self.start(*args, **more)
        return self.answer()


@contextmanager
def program() -> Iterator[Program]:
    """Start the program, and end it with all its children, whatever happens: one of them may stand still."""
    here = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])},
        start_new_session=True,
    ) as process:
        try:
            yield Program(process)
            process.stdin.close()
            process.wait(timeout=30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def kept_file(workspace: Path) -> Path:
    """Where the children of a workspace tell what they did."""
    return workspace.with_name(f"{workspace.name}.kept")


if __name__ == "__main__":
    main()
