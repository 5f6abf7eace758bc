"""`SceneSource`: finds the scenes of a build, and says as JSON what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.scenes.dates import DateRange
from rasteret_sql.scenes.scene import SceneItem


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
        """The source that the collection names, unless the build says otherwise."""

    @property
    def dates(self) -> DateRange | None:
        """The range asked for."""

    def identity(self, *, secrets: bool = False) -> dict[str, Any]:
        """All that changes what is found, as JSON values.

        Args:
            secrets: True: addresses with all of the query string that tells them apart; only ever hashed.
        """

    def describe(self) -> str:
        """Name the question, for messages: `the search at ... for collection x`."""

    def find(self, tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
        """Find the scenes.

        Raises:
            RasteretError: the source cannot be read, or is malformed. No scenes at all are no error of the source.
        """
