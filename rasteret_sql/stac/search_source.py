"""Makes a STAC search the source of a build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.redact import known_by, plain_address
from rasteret_sql.scenes.dates import DateRange
from rasteret_sql.scenes.source import FoundScenes
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.bulk_search import all_items
from rasteret_sql.stac.item_to_scene import band_names, scene_items
from rasteret_sql.stac.search_request import StacSource


@dataclass(frozen=True, slots=True)
class StacScenes:
    """Scenes of the items that a search finds."""

    search: StacSource
    naming: BandNaming = field(default_factory=BandNaming)
    url_patterns: Mapping[str, str] = field(default_factory=dict)
    """Prefix of asset hrefs → what replaces it."""
    prefer_s3: bool = False
    """True: an asset `x` is read where its copy `s3_x` is stored, since a backend was given that can."""

    def reached_by(self, backend: StorageBackend, headers: Mapping[str, str] | None = None) -> StacScenes:
        """The same scenes, where documents in buckets are read by a backend, and the server is sent headers."""
        return replace(self, search=replace(self.search, backend=backend, headers=headers))

    @property
    def kind(self) -> Literal["stac"]:
        return "stac"

    @property
    def key(self) -> str:
        return self.search.collection or ""

    @property
    def dates(self) -> DateRange | None:
        return self.search.dates

    def identity(self, *, secrets: bool = False) -> dict[str, Any]:
        address = known_by(self.search.address) if secrets else safe_address(self.search.address)
        bands, places = self.naming.band_map, self.naming.band_index_map
        return {
            "kind": self.kind,
            "search": self.search.identity() | {"address": address},
            # Lists of pairs: the order of bands is part of the result.
            "band_map": None if bands is None else [list(pair) for pair in bands.items()],
            "band_index_map": None if places is None else sorted(list(pair) for pair in places.items()),
            "strict": self.naming.strict,
            "url_patterns": sorted([start, plain_address(other)] for start, other in self.url_patterns.items()),
            **({"prefer_s3": True} if self.prefer_s3 else {}),
        }

    def describe(self) -> str:
        search = self.search
        asked = [f"collection {search.collection}" if search.collection else "all collections"]
        if search.area:
            asked.append(f"bbox {list(search.area)}")
        if search.dates:
            asked.append(f"dates {search.dates.interval()}")
        if search.conditions:
            query = search.conditions
            asked.append(f"query {query if isinstance(query, str) else json.dumps(query, default=str)}")
        return f"the search at {safe_address(search.address)} for {', '.join(asked)}"

    def find(self, tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
        items = []
        for page in all_items(self.search, cancelled):
            items += page
            tell(len(items), None, "items")
        tell(len(items), len(items), "items")
        if not items:
            return FoundScenes([], ())
        scenes, notes = scene_items(items, self.naming, self.url_patterns, prefer_s3=self.prefer_s3)
        named = tuple(self.naming.band_map or ())
        return FoundScenes(scenes, band_names(scenes, self.naming), named, tuple(notes))
