"""`ReadContext`: gives a read its surroundings: look-up of scenes, engine, access, limits, who is told of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.engine.cache import CacheShare
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.engine.job import Job
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.engine.started_jobs import StartedJobs
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.options import SaidCollection
from rasteret_sql.receipt import Receipt

SceneBands = tuple[str, tuple[Asked, ...]]
"""Scene id and the bands asked of it."""
Found = tuple[BandSource, ...] | RasteretError
"""The file of each band, or why there is none."""


def _nothing(_done: int, _total: int | None, _what: str) -> None:
    """Progress that nobody is told of."""


@dataclass(frozen=True, slots=True, eq=False)
class FailedRow:
    """A row that gave NULL because it could not be read."""

    collection: str | None
    """As the call named it."""
    scene_id: str
    bands: str
    error: Exception


@dataclass(frozen=True, slots=True, eq=False)
class ReadContext:
    """The surroundings with which one call of a reading function works."""

    look_up: Callable[
        [Sequence[SceneBands], str | SaidCollection | None, StorageBackend | None], Mapping[SceneBands, Found]
    ]
    """(distinct scenes with bands, collection or None for all that are open, who reads) → the files of each."""
    engine: Engine | Forecast
    """A forecast where the read is only planned."""
    backend: StorageBackend | None
    """Who reads the files; None: for each collection who its dataset asks for."""
    named_backend: Callable[[str], StorageBackend]
    """The backend of a name, for rows that name one."""
    max_call_bytes: int
    """Most bytes of pixels that one call may hold."""
    progress: Progress
    """Told (done, total or None, what)."""
    report: Callable[[FailedRow], None]
    """Told of each row that gives NULL because it could not be read."""
    read_again: Callable[[Sequence[BandSource], Cancelled], Mapping[str, FileHeader | RasteretError]]
    """Reads the headers of changed files again: address → the header that it has now, or why there is none."""
    receipt: Receipt
    """Gets what the call costs."""
    function: str = ""
    """What was called; empty where that is not known."""
    counts_pairs: bool = True
    """False where the pairs of the call were counted before: those of a call over relations."""

    def stream(self, jobs: Iterable[Job], cancelled: Cancelled) -> None:
        """Do jobs, as `Engine.stream`."""
        self.engine.stream(jobs, cancelled, self.progress, self.receipt)

    def start(self, jobs: Sequence[Job], cancelled: Cancelled, share: CacheShare | None = None) -> StartedJobs:
        """Begin jobs, as `Engine.start`."""
        return self.engine.start(jobs, cancelled, self.receipt, share)

    def forecast(self, forecast: Forecast) -> ReadContext:
        """The same for a read that is only planned: it counts in no receipt and tells of no progress."""
        return replace(self, engine=forecast, progress=_nothing, receipt=Receipt())

    def plan_pairs(self, planned: int, seen: int = 0) -> None:
        """Count pairs that have pixels to read, and pairs that were looked at."""
        if self.counts_pairs:
            self.receipt.planned(planned)
            self.receipt.saw(seen)

    def through(self, backend: str | None) -> ReadContext:
        """The same, reading by the backend of that name; by its own where that is None."""
        return self if backend is None else replace(self, backend=self.named_backend(backend))
