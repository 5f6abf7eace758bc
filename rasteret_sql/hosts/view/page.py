"""`MapPage`: reads what the widgets of a page say, and shows it on the map and beside it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import duckdb
import shapely
from bokeh.document import Document
from bokeh.models import WMTSTileSource

from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.web_mercator import on_map, to_lonlat, within_map
from rasteret_sql.hosts.notebook import said_error
from rasteret_sql.hosts.quack_guard import Guard
from rasteret_sql.hosts.view import page_widgets
from rasteret_sql.hosts.view.map_reads import (
    FOOTPRINTS,
    Footprints,
    ScenePicture,
    Series,
    footprints,
    parse_zone,
    scene_at,
    scene_picture,
    series,
)
from rasteret_sql.hosts.view.map_tiles import CollectionMap
from rasteret_sql.hosts.view.sql_layers import Layers, run_statement
from rasteret_sql.hosts.view.tasks import Tasks, Work
from rasteret_sql.hosts.view.tile_service import TileService
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.index.place.workspace import collection_names
from rasteret_sql.selection.describe import dates_of

_ROOM = 0.1
"""Part of its width by which a view is wider than what it shows."""
_SCENE, _VALUES = 1, 2
"""Tabs beside the map."""
_STEP = 0.25
"""Part of the view that the buttons move it by."""


@dataclass(frozen=True, slots=True, eq=False)
class PageWorld:
    """The surroundings of all pages of a server."""

    service: TileService
    connection: duckdb.DuckDBPyConnection
    """With the functions; each read has a cursor of it."""
    guard: Guard
    """Says what the SQL box may run."""
    pool: Executor
    """Runs the reads of pages."""
    collection: str
    """The one that is shown first."""
    basemap: str | None
    """Address of tiles below."""


class MapPage:
    """One page.

    Args:
        world: the surroundings.
        document: what Bokeh shows.
    """

    def __init__(self, world: PageWorld, document: Document) -> None:
        self._world = world
        self._document = document
        self._tasks = Tasks(world.pool, document.add_next_tick_callback)
        session = world.service.tiles.session
        names = sorted(collection_names(session.workspace_dir, session.stores))
        request = document.session_context.request
        self._prefix = world.service.prefix
        self._origin = f"http://{request.headers.get('Host', '')}"
        asked = [value.decode() for value in request.arguments.get("collection", [])]
        first = asked[-1] if asked and asked[-1] in names else world.collection
        self.w = page_widgets.Widgets(list(dict.fromkeys([*names, first])), first, world.basemap)
        self._chart: CollectionMap | None = None
        self._style = TileStyle()
        self._found: Footprints | None = None
        self._scene: str | None = None
        self._zone: shapely.Geometry | None = None
        """In lon/lat."""
        self._is_fitted = False

    def show(self) -> None:
        """Fill the document."""
        w = self.w
        w.collection.on_change("value", _then(self._opened))
        for widget in (w.expr, w.mask, w.where, w.stretch, w.colormap, w.method):
            widget.on_change("value", _then(self._asked))
        w.dates.on_change("value_throttled", _then(self._asked))
        w.zone.on_change("value", _then(self._zone_written))
        w.scenes.on_change(
            "value",
            lambda attr, old, new: self._chosen(new),  # noqa: ARG005 - Bokeh wants these names
        )
        w.run.on_click(self._run)
        w.stop.on_click(self._stopped)
        w.clear.on_click(self._cleared)
        w.map.on_event("tap", self._tapped)
        w.map.on_event("selectiongeometry", self._drawn)
        for button, move in (
            (w.left, (-_STEP, 0, 1)), (w.right, (_STEP, 0, 1)), (w.up, (0, _STEP, 1)), (w.down, (0, -_STEP, 1)),
            (w.nearer, (0, 0, 0.5)), (w.farther, (0, 0, 2)),
        ):  # fmt: skip
            button.on_click(self._mover(*move))
        w.fit.on_click(self._fit)
        w.draw.on_change("active", _then(self._pencil_taken))
        w.shown.on_change("active", _then(self._layers_shown))
        self._document.on_session_destroyed(lambda _context: self._tasks.stop())
        self._document.title = "rasteret-sql view"
        self._document.add_root(w.layout)
        self._opened()

    # A collection

    def _opened(self) -> None:
        """Show another collection."""
        name = self.w.collection.value
        self._scene, self._found, self._is_fitted = None, None, False
        self.w.say(f"opening {name} …")

        def open_it(_work: Work) -> tuple[CollectionMap, tuple[datetime, datetime] | None]:
            chart = self._world.service.tiles.of(name)
            return chart, dates_of(chart.selection)

        def then(got: tuple[CollectionMap, tuple[datetime, datetime] | None]) -> None:
            self._chart, dates = got
            self.w.expr.value = ""
            self.w.expr.placeholder = "; ".join(self._chart.bands)
            self.w.bands.text = page_widgets.bands_text(self._chart.index.bands)
            self.w.example(name, self._chart.bands[0])
            self.w.set_dates(dates)
            self._fit()
            self._asked(new=True)

        self._tasks.run("open", open_it, then, self._failed)

    def _asked(self, *, new: bool = False) -> None:
        """Read what the widgets say of scenes and pixels, and show it."""
        if self._chart is None or (not new and self.w.collection.value != self._chart.index.name):
            return
        chart = self._chart
        try:
            style = TileStyle.of({name: [text] for name, text in self.w.said().items()})
        except RasteretError as error:
            self._failed(error)
            return
        self._style = style
        self.w.say("reading …")

        def read(_work: Work) -> tuple[Footprints, str, str]:
            found = footprints(chart, style)
            zooms = chart.zooms(style)
            return found, page_widgets.legend(chart.limits(style), style, style.expr or chart.bands), str(zooms.least)

        def then(got: tuple[Footprints, str, str]) -> None:
            self._found, self.w.legend.text, least = got
            self.w.show_footprints(self._found)
            self._show_tiles(chart, style)
            more = f" (the newest {FOOTPRINTS:,} are shown)" if self._found.count > len(self._found.ids) else ""
            self.w.say(f"{self._found.count:,} scenes{more}; pictures from zoom {least} on")
            self._again()

        self._tasks.run("style", read, then, self._failed)

    def _show_tiles(self, chart: CollectionMap, style: TileStyle) -> None:
        said = [("expr", part) for part in style.expr]
        said += [(name, text) for name, text in self.w.said().items() if name != "expr"]
        token = self._world.service.token.value
        name = quote(chart.index.name, safe="")
        # Of the page's own server, whatever name it is reached by.
        last = urlencode([*said, ("v", chart.stamp), ("token", token)])
        self.w.tiles.tile_source = WMTSTileSource(url=f"{self._prefix}/tiles/{name}/{{Z}}/{{X}}/{{Y}}.png?{last}")
        address = urlencode([*said, ("token", token)])
        self.w.addresses.text = page_widgets.addresses_text(f"{self._origin}{self._prefix}", name, address)

    # What is looked at

    def _tapped(self, event: Any) -> None:
        """Choose the scene that was clicked, and the values at that place."""
        if self.w.draw.active:  # it is a corner of a zone
            return
        (lon,), (lat,) = to_lonlat(page_widgets.number(event.x), page_widgets.number(event.y))
        if self._found is None:
            return
        try:
            scene = scene_at(self._found, (lon, lat))
        except RasteretError as error:
            self._failed(error)
            return
        if self._zone is None or self._zone.geom_type == "Point":
            self._set_zone(shapely.Point(lon, lat))
        self.w.turn_to(_SCENE)
        self._choose(scene)

    def _drawn(self, event: Any) -> None:
        """Take what was drawn as the zone."""
        if not event.final:
            return
        shape = page_widgets.drawn_shape(event.geometry)
        if shape is not None:
            self.w.draw.active = False
            self._set_zone(shape)
            self.w.turn_to(_VALUES)
            self._again()

    def _pencil_taken(self) -> None:
        if self.w.draw.active:
            self.w.say("click the corners of the zone on the map; Enter or a long press ends it, Esc drops it")

    def _zone_written(self) -> None:
        try:
            zone = parse_zone(self.w.zone.value)
        except RasteretError as error:
            self._failed(error)
            return
        if zone is not None and self._zone is not None and zone.equals(self._zone):
            return
        self._zone = zone
        self.w.show_zone(zone)
        self._again()

    def _set_zone(self, zone: shapely.Geometry) -> None:
        self._zone = shapely.set_precision(zone, 1e-6)
        self.w.show_zone(self._zone)
        self.w.zone.value = shapely.to_wkt(self._zone, rounding_precision=6)

    def _cleared(self) -> None:
        """Drop the zone and what SQL put on the map."""
        self._zone = None
        self.w.zone.value = ""
        self.w.show_zone(None)
        self.w.show_layers(Layers())
        self._again()

    def _chosen(self, scene: str) -> None:
        if scene != (self._scene or ""):
            self._choose(scene or None)

    def _choose(self, scene: str | None) -> None:
        self._scene = scene
        self.w.scenes.value = scene or ""
        self.w.mark_scene(scene)
        self._again()

    def _again(self) -> None:
        """Show the picture, series and histogram of what is chosen now."""
        chart, style, zone, scene = self._chart, self._style, self._zone, self._scene
        if chart is None or self._found is None:
            return
        if scene is not None and scene not in self._found.ids:
            scene = None
        area = None if zone is None or zone.geom_type == "Point" else zone
        if scene is None and area is not None and self._found.ids:
            scene = next(
                (
                    one
                    for one, shape in zip(self._found.ids, self._found.shapes, strict=True)
                    if shape is not None and shape.intersects(area)
                ),
                None,
            )
        if scene is None:
            self.w.show_picture(None, "", style)
        else:
            chosen = scene

            def read_picture(work: Work) -> ScenePicture | None:
                return scene_picture(chart, chosen, style, area, work.receipt)

            self._tasks.run("picture", read_picture, lambda got: self.w.show_picture(got, chosen, style), self._failed)
        if zone is None:
            self.w.show_series(None, "")
            return
        cursor = self._world.connection.cursor()

        def read_series(work: Work) -> Series:
            work.interrupt = cursor.interrupt
            return series(chart, cursor, style, zone)

        self.w.say_of_series("reading …")
        self._tasks.run(
            "series", read_series, lambda got: self.w.show_series(got, (style.expr or chart.bands)[0]), self._failed
        )

    # SQL

    def _run(self) -> None:
        text = self.w.sql.value.strip()
        if not text:
            return
        cursor = self._world.connection.cursor()
        most = self._world.service.tiles.session.settings.max_call_bytes

        def work(own: Work) -> Layers:
            own.interrupt = cursor.interrupt
            return run_statement(cursor, text, self._world.guard, most)

        self.w.say("running …")

        def then(layers: Layers) -> None:
            self.w.show_layers(layers)
            if layers.bounds is not None:
                self._look_at(layers.bounds)
            self.w.say("; ".join([page_widgets.rows_text(layers), *layers.notes]))

        self._tasks.run("sql", work, then, self._failed)

    # The view

    def _fit(self) -> None:
        """Show all of the collection."""
        if self._chart is not None:
            west, south, east, north = on_map(shapely.box(*within_map(self._chart.bounds))).bounds
            self._look_at((west, south, east, north))

    def _look_at(self, bounds: tuple[float, float, float, float]) -> None:
        west, south, east, north = bounds
        half = max(east - west, north - south, 100.0) * (0.5 + _ROOM)
        x, y = (west + east) / 2, (south + north) / 2
        ranges = self.w.map.x_range, self.w.map.y_range
        for span, middle in zip(ranges, (x, y), strict=True):
            span.update(start=middle - half, end=middle + half)

    def _moved(self, across: float, up: float, factor: float) -> None:
        for span, part in ((self.w.map.x_range, across), (self.w.map.y_range, up)):
            width = span.end - span.start
            middle = (span.start + span.end) / 2 + part * width
            span.update(start=middle - width * factor / 2, end=middle + width * factor / 2)

    def _mover(self, across: float, up: float, factor: float) -> Callable[[], None]:
        return lambda: self._moved(across, up, factor)

    def _stopped(self) -> None:
        self._tasks.stop()
        self.w.say("stopped")

    def _layers_shown(self) -> None:
        active = self.w.shown.active
        for number, renderers in enumerate(self.w.switched):
            for one in renderers:
                one.visible = number in active

    def _failed(self, error: Exception) -> None:
        text = str(error) if isinstance(error, RasteretError) else said_error(error)
        self.w.say(text, is_error=True)


def _then(work: Callable[[], None]) -> Callable[[str, Any, Any], None]:
    """Run something when a widget changes."""
    return lambda attr, old, new: work()  # noqa: ARG005 - Bokeh wants these names
