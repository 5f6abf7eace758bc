"""`MapTiles`: makes the tiles of collections for map clients, and says in TileJSON how these ask for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rasteret_sql import schema
from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import StorageError, UnknownSceneError, did_you_mean
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.web_mercator import MapTile, within_map
from rasteret_sql.hosts.view.tile_limits import picture_limits
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.hosts.view.zooms import Zooms, zooms_of
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.raster.render import encode, encode_quickly, picture
from rasteret_sql.raster.stretch import Limits
from rasteret_sql.reading.map_tile import TilePixels, TileRead, read_tile
from rasteret_sql.reading.request import Scene
from rasteret_sql.receipt import Receipt
from rasteret_sql.selection.describe import bounds_of
from rasteret_sql.selection.map_scenes import MapScenes
from rasteret_sql.selection.private_reader import Reader
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session

_MAPS = 32
"""Collections of which the maps are kept."""
_STYLES = 256
"""Styles of a collection of which limits and zooms are kept."""
_RGB = ("red", "green", "blue")


class TilePicture(NamedTuple):
    """A tile as it is sent."""

    png: bytes
    failures: Mapping[str, Exception]
    """Scene id → why it is left out."""


class MapTiles:
    """The tiles of all collections of a session.

    Args:
        session: opens and reads them.
        part: scenes of a collection that are shown in place of all; None: all are.
    """

    def __init__(self, session: Session, part: Selection | None = None) -> None:
        self.session = session
        self._part = part
        self._maps: OrderedDict[tuple[str, str], CollectionMap] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, name: str) -> CollectionMap:
        """The map of a collection.

        Raises:
            UnknownCollectionError: there is none of that name.
        """
        index = self.session.open(name)
        part = self._part if self._part is not None and self._part.index.name == name else None
        if part is not None:
            index = part.index
        key = str(index.path), index.stamp
        with self._lock:
            found = self._maps.get(key)
            if found is None:
                for other in [other for other in self._maps if other[0] == key[0]]:
                    del self._maps[other]
                found = self._maps[key] = CollectionMap(self.session, part or Selection(index, Reader()))
                if len(self._maps) > _MAPS:
                    self._maps.popitem(last=False)
            self._maps.move_to_end(key)
            return found


class CollectionMap:
    """The map of a collection as it was when it was opened.

    Args:
        session: reads it.
        selection: the scenes that are shown.
    """

    def __init__(self, session: Session, selection: Selection) -> None:
        self.session = session
        self.selection = selection
        self.scenes = MapScenes(selection)
        self._known: dict[Any, Any] = {}
        self._lock = threading.Lock()

    @property
    def index(self) -> CollectionIndex:
        return self.selection.index

    def tile(self, tile: MapTile, style: TileStyle, receipt: Receipt | None = None) -> TilePicture:
        """Make the picture of a tile: transparent where there is nothing.

        Args:
            tile: of the map.
            style: its pixels and their colours.
            receipt: counts what it costs, and stops it.

        Raises:
            InvalidArgumentError: the style cannot be used with the collection.
            StorageError: no scene of the tile can be read.
            InterruptedQueryError: the receipt was stopped.
        """
        receipt = receipt or Receipt()
        if tile.z < self.zooms(style).least:
            return TilePicture(_transparent(style.size), {})
        limits = self.limits(style)
        found = self._read(tile, style, receipt)
        if found is None or not found.valid.any():
            failures = {} if found is None else found.failures
            for scene, error in failures.items():
                raise StorageError(f'{len(failures)} scenes of the tile cannot be read, first "{scene}": {error}')
            return TilePicture(_transparent(style.size), {})
        image = picture(found.pixels, found.valid, limits, style.colormap)
        return TilePicture(encode_quickly(image, by_table=style.colormap is not None), found.failures)

    def _read(self, tile: MapTile, style: TileStyle, receipt: Receipt) -> TilePixels | None:
        ids = self.scenes.near(tile, style.dates(), style.where)
        if style.scene is not None:
            self._require_scene(style.scene)
            ids = [style.scene] if style.scene in ids else []
        if not ids:
            return None
        asked = TileRead(
            tile.grid(style.size),
            style.bands(self.bands),
            style.options(self.index.name),
            style.method,
            style.scores(),
        )
        session = self.session.paying(receipt)

        def work(cancelled: Cancelled) -> TilePixels | None:
            def is_to_stop() -> bool:
                return receipt.is_stopped or cancelled()

            context = session.reading("tiles")
            return read_tile(asked, [Scene(one, None) for one in ids], context, is_to_stop)

        return session.engine.call(work)

    def _require_scene(self, scene: str) -> None:
        if not self.session.lookup.scenes(self.index, [scene]):
            near = did_you_mean(scene, self.session.lookup.some_ids(self.index))
            raise UnknownSceneError(f'collection "{self.index.name}" has no scene "{scene}"; {near}')

    @property
    def bands(self) -> tuple[str, ...]:
        """Those that are shown where nothing else is said: red, green and blue, else the first one."""

        def find() -> tuple[str, ...]:
            has_colours = self.session.band_names(self.index).true_colour() is not None
            return _RGB if has_colours else (self.index.bands[0],)

        found: tuple[str, ...] = self._remember("bands", find)
        return found

    def limits(self, style: TileStyle) -> list[Limits]:
        """Values of each band that are black and white: those of the collection, the same in all its tiles."""
        bands, stretch = style.bands(self.bands), style.of_stretch()
        found: list[Limits] = self._remember(
            ("limits", bands, stretch, style.options("")),
            lambda: picture_limits(self.session, self.selection, bands, style.options(self.index.name), stretch),
        )
        return found

    def zooms(self, style: TileStyle) -> Zooms:
        """From which zoom to which tiles are worth while."""
        bands = style.bands(self.bands)
        found: Zooms = self._remember(("zooms", bands), lambda: zooms_of(self.session, self.selection, bands))
        return found

    @property
    def bounds(self) -> Bounds:
        """In lon/lat, of all scenes within the map; all of it where there are none."""
        found: Bounds = self._remember("bounds", lambda: within_map(bounds_of(self.selection)))
        return found

    def tile_json(self, style: TileStyle, address: str) -> dict[str, Any]:
        """Describe the tiles to a map client.

        Args:
            style: of the tiles.
            address: of a tile, with {z}, {x} and {y}.
        """
        west, south, east, north = self.bounds
        zooms = self.zooms(style)
        return {
            "tilejson": "2.2.0",
            "name": self.index.name,
            "description": self.index.description or f"{'; '.join(style.expr or self.bands)} of {self.index.name}",
            "version": "1.0.0",
            "scheme": "xyz",
            "tiles": [address],
            "minzoom": zooms.least,
            "maxzoom": zooms.most,
            "bounds": [west, south, east, north],
            "center": [(west + east) / 2, (south + north) / 2, max(zooms.least, zooms.most - 3)],
        }

    def etag(self, tile: MapTile, style: TileStyle) -> str:
        """Differs where the picture of a tile may; without reading anything."""
        return f'W/"{self.stamp}-{style.key()}-{tile.z}-{tile.x}-{tile.y}"'

    @property
    def stamp(self) -> str:
        """Changes when the collection does, or this package."""
        return f"{self.index.stamp[:16]}.{schema.INDEX_VERSION}"

    def _remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """Give what was made under a key; several threads wait for one that makes it."""
        with self._lock:
            slot = self._known.get(key)
            if slot is None:
                if len(self._known) > _STYLES:
                    self._known.pop(next(iter(self._known)))
                slot = self._known[key] = _Slot()
        return slot.get(make)


class _Slot:
    """A value that is made once, and again after a failure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: Any = None
        self._is_made = False

    def get(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if not self._is_made:
                self._value = make()
                self._is_made = True
            return self._value


def _transparent(size: int) -> bytes:
    found = _EMPTY.get(size)
    if found is None:
        found = _EMPTY[size] = encode(np.zeros((size, size, 2), np.uint8))
    return found


_EMPTY: dict[int, bytes] = {}
