"""Runs errands on an executor: opens a session in its Python process once, and does one task of a plan with it."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import duckdb
import pyarrow as pa

from rasteret_sql.engine.machine_memory import machine_memory
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import InvalidArgumentError, MissingObjectError, RasteretError, UnknownCollectionError
from rasteret_sql.hosts.spark import (
    explain_batches,
    mosaic_batches,
    pair_batches,
    pixel_batches,
    scalar_batches,
    series_batches,
)
from rasteret_sql.hosts.spark.executor_setup import Setup
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.library.load import find_loaded
from rasteret_sql.library.named_backends import NamedBackend, make_backend
from rasteret_sql.library.settings import change_settings
from rasteret_sql.session.session import Session, new_session

_sessions: dict[tuple[int, str], Session] = {}
"""(process, setup as text) → its session. Spark forks the processes that it runs Python in."""
_lock = threading.Lock()
_settled = {"modules": 0}
"""How many modules there were when objects were last put aside."""


def scalar(
    columns: Sequence[pa.Array], named: Mapping[str, pa.Array], function: str, setup: Mapping[str, Any]
) -> pa.Array:
    """Run a function over a batch of rows."""
    found = _told(lambda: scalar_batches.run(session_of(setup), function, columns, named))
    _settle()
    return found


def placed_scenes(
    columns: Sequence[Any], _named: Mapping[str, Any], call: Mapping[str, Any], parts: int
) -> Iterator[pa.RecordBatch]:
    """Find where scenes lie on the globe, and deal them out to so many partitions."""
    return _streamed(partial(pair_batches.placed_scenes, parts=parts, first=_partition()), call, columns[0])


def dealt_scenes(columns: Sequence[Any], _named: Mapping[str, Any], parts: int) -> Iterator[pa.RecordBatch]:
    """Deal scenes out to so many partitions."""
    return pair_batches.dealt_scenes(columns[0], parts, _partition())


def _task(work: Callable[..., Iterator[pa.RecordBatch]]) -> Callable[..., Iterator[pa.RecordBatch]]:
    """A task that gives batches for batches; what its errand carries beside the call, the work takes by name."""

    def run(
        columns: Sequence[Any], _named: Mapping[str, Any], call: Mapping[str, Any], **given: Any
    ) -> Iterator[pa.RecordBatch]:
        return _streamed(partial(work, **given), call, columns[0])

    return run


parcels = _task(pair_batches.parcels)
read_pairs = _task(pair_batches.read_pairs)
sent_series = _task(series_batches.sent_series)
zonal_series = _task(series_batches.zonal_series)
read_pixels = _task(pixel_batches.read_pixels)
near_scenes = _task(mosaic_batches.near_scenes)
read_mosaic = _task(mosaic_batches.read_mosaic)
scene_periods = _task(mosaic_batches.scene_periods)
read_mosaics = _task(mosaic_batches.read_mosaics)
explain_pairs = _task(explain_batches.explain_pairs)
explain_pixels = _task(explain_batches.explain_pixels)
explain_mosaic = _task(explain_batches.explain_mosaic)


def session_of(words: Mapping[str, Any]) -> Session:
    """The session of this process for a setup, made when it is first asked for."""
    key = (os.getpid(), repr(sorted(words.items())))
    with _lock:
        if key not in _sessions:
            _sessions[key] = _new_session(Setup(**{**words, "collections": tuple(words["collections"])}))
        return _sessions[key]


def _new_session(setup: Setup) -> Session:
    cores, memory = _share()
    cache, most = memory // 16, memory // 4
    session = new_session(setup.workspace, most, connect=lambda: duckdb.connect(config={"threads": cores}))
    # Each task has a process of its own, and all cores would be taken by each of them otherwise.
    session = replace(session, engine=Engine(cache, decode_threads=cores))
    change_settings(setup.settings, session.settings, session.engine.cache)
    for name, given in setup.backends.items():
        session.backends.add(name, _backend(name, given))
    if setup.backend is not None:
        session = session.through(setup.backend)
    for name in setup.collections:
        _open(session, name)
    return session


def _partition() -> int:
    """The number of the partition that a task works on."""
    from pyspark import TaskContext  # noqa: PLC0415 - as in `_share`

    task = TaskContext.get()
    return 0 if task is None else task.partitionId()


def _share() -> tuple[int, int]:
    """Cores of a task, and the bytes of memory that go with them."""
    from pyspark import TaskContext  # noqa: PLC0415 - where this is imported without Spark, there is no task

    task = TaskContext.get()
    cores = task.cpus() if task is not None else 1
    memory = machine_memory()
    with contextlib.suppress(ImportError, OSError):
        import resource  # noqa: PLC0415 - not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]  # spark.executor.pyspark.memory
        if limit != resource.RLIM_INFINITY:
            return cores, min(memory, limit)
    return cores, memory * cores // max(cores, os.cpu_count() or 1)


def _backend(name: str, given: Any) -> NamedBackend:
    if not isinstance(given, str):
        return make_backend(given)
    module, _, function = given.partition(":")
    try:
        made = getattr(import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise InvalidArgumentError(
            f"backend {name!r} is {given}, which the executor on {socket.gethostname()} cannot call: {error}. Install "
            "its module there, or send it with spark.addArtifact or addPyFile"
        ) from None
    if not isinstance(made, StorageBackend):
        raise InvalidArgumentError(
            f"backend {name!r}: {given} gave a value of type {type(made).__name__}; expected a backend, such as "
            "rasteret_sql.create_backend(...) makes"
        )
    return NamedBackend(made, given)


def _open(session: Session, name: str) -> None:
    try:
        session.add(find_loaded(session.workspace_dir, name, "", session.stores))
    except (MissingObjectError, UnknownCollectionError) as error:
        raise error.retold(
            f"{error}. So it is on the executor {socket.gethostname()}: collections lie where all executors see them, "
            "in an object store or on a shared disk"
        ) from None


def _settle() -> None:
    """Put the objects of new modules aside for the garbage collector.

    Spark collects garbage after each task, which takes 50 ms where it looks through all that this package has imported.
    """
    if len(sys.modules) != _settled["modules"]:
        _settled["modules"] = len(sys.modules)
        gc.collect()
        gc.freeze()


def _told(work: Callable[[], Any]) -> Any:
    """Do work; its errors come without our own frames, for all that Spark shows is a traceback."""
    try:
        return work()
    except RasteretError as error:
        raise error.with_traceback(None) from None


def _streamed(
    work: Callable[[Session, FrameCall, Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    words: Mapping[str, Any],
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Batches of rows for batches of rows, with errors as `_told` has them."""
    try:
        call = FrameCall.of_words(words)
        yield from work(session_of(call.setup), call, batches)
        _settle()
    except RasteretError as error:
        raise error.with_traceback(None) from None
