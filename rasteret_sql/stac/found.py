"""Where the scenes of a build come from, whatever it is: what it must say, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa

from rasteret_sql.stac.dates import DateRange
from rasteret_sql.stac.item import SceneItem

Progress = Callable[[int, int | None, str], None]
"""(done, total or None while unknown, `items`, `headers` or `scenes`): called from the thread that builds."""

Cancelled = Callable[[], bool]
"""Polled while waiting; once True, the work ends with InterruptedQueryError."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundScenes:
    """The scenes of a source, each id once."""

    scenes: list[SceneItem]
    bands: tuple[str, ...]
    """Names of the bands, in the order that the collection has them."""
    named: tuple[str, ...] = ()
    """Bands to which the caller gave their names, so that none of them is split into the samples of its file."""
    notes: tuple[str, ...] = ()
    """What is odd about the source, for warnings."""
    columns: pa.Table | None = field(default=None)
    """Typed columns of the scenes, a row each, where the source has types of its own: a table. Otherwise they are made
    of the scenes' properties."""


class SceneSource(Protocol):
    """A search, or a table: what a build takes its scenes from."""

    @property
    def kind(self) -> Literal["stac", "records"]:
        """Suffix of the directory that caches the collection."""

    @property
    def key(self) -> str:
        """What the collection says of where it comes from, unless the build says otherwise."""

    @property
    def dates(self) -> DateRange | None:
        """The range asked for."""

    def identity(self, *, secrets: bool = False) -> dict[str, Any]:
        """All that changes what is found, as JSON values.

        Args:
            secrets: True: addresses with all of the query string that tells them apart; only ever hashed.
        """

    def describe(self) -> str:
        """What was asked, for messages: `the search at ... for collection x`."""

    def find(self, tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
        """Find the scenes.

        Raises:
            RasteretError: the source cannot be read, or is malformed. No scenes at all are no error of the source.
        """
