"""`Widgets`: makes the map, the inputs and the charts of the page, and shows on them what was read."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from bokeh.layouts import column, row
from bokeh.models import (
    Button,
    CheckboxButtonGroup,
    ColumnDataSource,
    CustomJS,
    DataTable,
    DatetimeRangeSlider,
    Div,
    LayoutDOM,
    PolySelectTool,
    Range1d,
    Select,
    StringEditor,
    TableColumn,
    TabPanel,
    Tabs,
    TextAreaInput,
    TextInput,
    Toggle,
    WMTSTileSource,
)
from bokeh.plotting import figure

from rasteret_sql.geo.web_mercator import on_map, to_lonlat
from rasteret_sql.hosts.view.map_reads import Footprints, ScenePicture, Series, rings_of
from rasteret_sql.hosts.view.sql_layers import ROWS, Layers
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.raster.colormaps import apply_colormap, colormap_names
from rasteret_sql.raster.composite import METHODS
from rasteret_sql.raster.render import encode
from rasteret_sql.raster.stretch import Limits

_SIDE = 400
"""Pixels of the width of what is beside the map."""
_NO_PLACE, _NO_SCENE = "Click a place, or draw a zone.", "Choose a scene, or draw a zone."
_BLUE, _RED, _GREEN = "#1f5a89", "#c0392b", "#1e8449"
_LINES = ("#c0392b", "#1e8449", "#1f5a89")
_EXAMPLE = """SELECT id, datetime, read_chip(id, '{band}') AS chip, geometry
FROM rasteret.{name} ORDER BY datetime DESC LIMIT 1"""
Numbers = npt.NDArray[np.float64]


def number(value: float) -> Numbers:
    """One number as the functions over arrays take it."""
    return np.array([float(value)])


class Widgets:
    """All that the page has.

    Args:
        names: of the collections.
        first: the one that is shown first.
        basemap: address of tiles below; None: there are none.
    """

    def __init__(self, names: Sequence[str], first: str, basemap: str | None) -> None:
        wide = {"width": _SIDE - 20}
        self.collection = Select(title="Collection", options=list(names), value=first, **wide)
        self.bands = Div(text="", **wide)
        self.expr = TextInput(title="Bands or expressions: one, or three with ; between", **wide)
        self.mask = TextInput(
            title="Mask: where it is true, older scenes show", placeholder="clouds, or SCL = 8", **wide
        )
        self.where = TextInput(title="Scenes where", placeholder='"eo:cloud_cover" < 20', **wide)
        self.colormap = Select(
            title="Colours", options=[("", "grey"), *((n, n) for n in colormap_names())], value="", width=120
        )
        self.stretch = TextInput(title="Black, white", placeholder="of the collection", width=120)
        self.method = Select(
            title="Of several scenes", options=[m for m in METHODS if m != "best"], value="first", width=120
        )
        self.dates = DatetimeRangeSlider(
            title="Time", start=0, end=1, value=(0, 1), step=86_400_000, format="%Y-%m-%d", sizing_mode="stretch_width",
            margin=(5, 25, 5, 25),
        )  # fmt: skip
        self.scenes = Select(title="Scene (or click one)", options=[("", "none")], value="", **wide)
        self.zone = TextInput(
            title="Zone (or draw one): WKT, GeoJSON, or west, south, east, north",
            placeholder="14.55, 45.86, 14.56, 45.87",
            **wide,
        )
        self.clear = Button(label="Clear", width=80)
        self.legend = Div(text="", **wide)
        self.picture = Div(text="", **wide)
        self.sql = TextAreaInput(title="SQL", rows=4, max_length=100_000, sizing_mode="stretch_width", value="")
        self.run = Button(label="Run", button_type="primary", width=80)
        self.stop = Button(label="Stop", width=80)
        self.status = Div(text="", sizing_mode="stretch_width", height=24)
        self.addresses = Div(text="", sizing_mode="stretch_width")
        self.left, self.right, self.up, self.down, self.nearer, self.farther, self.fit = (
            Button(label=label, width=width, margin=2)
            for label, width in (("←", 36), ("→", 36), ("↑", 36), ("↓", 36), ("+", 36), ("−", 36), ("Fit", 44))
        )
        self.shown = CheckboxButtonGroup(labels=["Pictures", "Footprints", "Results"], active=[0, 1, 2], margin=2)
        self.draw = Toggle(label="Draw a zone", margin=2)
        self._make_map(basemap)
        self._make_charts()
        self.table = DataTable(
            source=ColumnDataSource({}),
            columns=[],
            sizing_mode="stretch_width",
            height=190,
            index_position=None,
            reorderable=False,
            visible=False,
        )
        self.layout = self._laid_out()

    def _make_map(self, basemap: str | None) -> None:
        self.map = figure(
            x_range=Range1d(0, 1), y_range=Range1d(0, 1), x_axis_type="mercator", y_axis_type="mercator",
            match_aspect=True, tools="pan,wheel_zoom,box_zoom,tap,reset", active_scroll="wheel_zoom",
            sizing_mode="stretch_both", min_height=240, min_width=300, background_fill_color="#eef1f4",
        )  # fmt: skip
        self.map.toolbar.logo = None
        self.map.grid.visible = False
        if basemap is not None:
            address = basemap.replace("{z}", "{Z}").replace("{x}", "{X}").replace("{y}", "{Y}")
            self.map.add_tile(WMTSTileSource(url=address))
        self.tiles = self.map.add_tile(WMTSTileSource(url=""), smoothing=False)
        self.footprints = ColumnDataSource({"xs": [], "ys": [], "id": [], "day": [], "width": [], "colour": []})
        shown = self.map.multi_polygons(
            "xs", "ys", source=self.footprints, fill_alpha=0, line_color="colour", line_width="width",
            nonselection_fill_alpha=0, nonselection_line_alpha=1, selection_fill_alpha=0,
        )  # fmt: skip
        pencil = PolySelectTool(description="Draw a zone")
        self.map.add_tools(pencil)
        self.draw.js_on_change("active", CustomJS(args={"pencil": pencil}, code="pencil.active = cb_obj.active"))
        self.images = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        images = self.map.image_rgba("image", "x", "y", "dw", "dh", source=self.images)
        self.shapes = ColumnDataSource({"xs": [], "ys": []})
        shapes = self.map.multi_polygons("xs", "ys", source=self.shapes, fill_alpha=0, line_color=_GREEN, line_width=2)
        self.points = ColumnDataSource({"x": [], "y": []})
        points = self.map.scatter("x", "y", source=self.points, size=8, color=_GREEN)
        self.zone_source = ColumnDataSource({"xs": [], "ys": []})
        self.map.multi_polygons(
            "xs", "ys", source=self.zone_source, fill_alpha=0.1, fill_color=_RED, line_color=_RED, line_width=2
        )
        self.zone_point = ColumnDataSource({"x": [], "y": []})
        self.map.scatter("x", "y", source=self.zone_point, marker="cross", size=16, line_width=2, color=_RED)
        self.switched = [[self.tiles], [shown], [images, shapes, points]]

    def _make_charts(self) -> None:
        wide = {"width": _SIDE - 20, "height": 240, "toolbar_location": None}
        self.series_source = ColumnDataSource({"time": [], "value": [], "scene": []})
        self.series = figure(x_axis_type="datetime", tools="hover,pan,wheel_zoom,reset", **wide)
        self.series.line("time", "value", source=self.series_source, color=_BLUE)
        self.series.scatter("time", "value", source=self.series_source, color=_BLUE, size=5)
        self.series.hover.tooltips = [("scene", "@scene"), ("day", "@time{%F}"), ("value", "@value")]
        self.series.hover.formatters = {"@time": "datetime"}
        self.series.title.text = "Series"
        self.histogram_source = ColumnDataSource({"left": [], "right": [], "top": [], "colour": []})
        self.histogram = figure(tools="hover", **wide)
        self.histogram.quad(
            "left",
            "right",
            "top",
            0,
            source=self.histogram_source,
            fill_color="colour",
            fill_alpha=0.5,
            line_color=None,
        )
        self.histogram.hover.tooltips = [("from", "@left"), ("to", "@right"), ("pixels", "@top")]
        self.histogram.title.text = "Histogram"
        self.about_series, self.about_histogram = (
            Div(text=_NO_PLACE, name="series", width=_SIDE - 20),
            Div(text=_NO_SCENE, name="histogram", width=_SIDE - 20),
        )

    def _laid_out(self) -> LayoutDOM:
        pixels = column(
            self.collection,
            self.bands,
            self.expr,
            self.mask,
            self.where,
            row(self.colormap, self.stretch, self.method),
            self.legend,
        )
        look = column(self.scenes, row(self.zone), self.clear, self.picture)
        side = column(
            Tabs(
                tabs=[
                    TabPanel(child=pixels, title="Map"),
                    TabPanel(child=look, title="Scene"),
                    TabPanel(
                        child=column(self.about_series, self.series, self.about_histogram, self.histogram),
                        title="Values",
                    ),
                ],
                width=_SIDE,
            ),
            width=_SIDE,
        )
        self.tabs = side.children[0]
        moves = row(
            self.left, self.right, self.up, self.down, self.nearer, self.farther, self.fit, self.shown, self.draw
        )
        chart = column(moves, self.map, self.dates, sizing_mode="stretch_both")
        box = column(self.sql, row(self.run, self.stop), self.table, self.addresses, sizing_mode="stretch_width")
        return column(row(chart, side, sizing_mode="stretch_both"), self.status, box, sizing_mode="stretch_both")

    # What is said

    def said(self) -> dict[str, str]:
        """The arguments of tiles that the inputs say."""
        given = {
            "expr": self.expr.value, "mask": self.mask.value, "where": self.where.value,
            "colormap": self.colormap.value,
            "stretch": self.stretch.value, "method": self.method.value, "date": self._date(),
        }  # fmt: skip
        return {name: value.strip() for name, value in given.items() if value.strip() and value != "first"}

    def _date(self) -> str:
        start, end = (float(_milliseconds(value)) for value in self.dates.value)
        if start <= self.dates.start and end >= self.dates.end:
            return ""
        first, last = (_EPOCH + timedelta(milliseconds=value) for value in (start, end))
        return f"{first:%Y-%m-%d}/{last:%Y-%m-%d}"

    def set_dates(self, dates: tuple[datetime, datetime] | None) -> None:
        """Show the time of the scenes of a collection."""
        first, last = dates or (_EPOCH, _EPOCH)
        day = timedelta(days=1)
        begin = datetime(first.year, first.month, first.day)  # noqa: DTZ001 - naive UTC
        end = datetime(last.year, last.month, last.day) + day  # noqa: DTZ001 - naive UTC
        self.dates.update(start=begin, end=end, value=(begin, end), disabled=dates is None)

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Say something below the map."""
        colour = _RED if is_error else "#444"
        role = "alert" if is_error else "status"
        self.status.text = f'<div role="{role}" style="color:{colour};white-space:pre-wrap">{html.escape(text)}</div>'

    # What is shown

    def show_footprints(self, found: Footprints) -> None:
        """Show the footprints, and the scenes to choose from."""
        days = ["" if time is None else f"{time:%Y-%m-%d}" for time in found.times]
        count = len(found.ids)
        kept = [at for at in range(count) if found.xs[at]][::-1]  # the newest on top
        self.footprints.data = {
            "xs": [found.xs[at] for at in kept], "ys": [found.ys[at] for at in kept],
            "id": [found.ids[at] for at in kept],
            "day": [days[at] for at in kept], "width": [1] * len(kept), "colour": [_BLUE] * len(kept),
        }  # fmt: skip
        options = [("", "none"), *((scene, f"{day}  {scene}") for scene, day in zip(found.ids, days, strict=True))]
        value = self.scenes.value
        self.scenes.update(options=options, value=value if value in found.ids else "")

    def turn_to(self, tab: int) -> None:
        """Show what pixels are shown (0), the scene (1), or its values (2)."""
        self.tabs.active = tab

    def mark_scene(self, scene: str | None) -> None:
        """Draw the outline of a scene in red."""
        ids = self.footprints.data["id"]
        looks = {
            "width": [3 if one == scene else 1 for one in ids],
            "colour": [_RED if one == scene else _BLUE for one in ids],
        }
        self.footprints.data = {**self.footprints.data, **looks}

    def show_zone(self, zone: shapely.Geometry | None) -> None:
        """Draw the zone."""
        on = None if zone is None else on_map(zone)
        xs, ys = rings_of(on)
        self.zone_source.data = {"xs": [xs] if xs else [], "ys": [ys] if ys else []}
        point = on if on is not None and on.geom_type == "Point" else None
        self.zone_point.data = {"x": [], "y": []} if point is None else {"x": [point.x], "y": [point.y]}

    def show_picture(self, got: ScenePicture | None, scene: str, style: TileStyle) -> None:
        """Show a scene, and the histogram of its values."""
        if got is None:
            said = "The scene does not reach the zone." if scene else "Choose a scene, or draw a zone."
            self.picture.text = f"<p>{said}</p>"
            self.histogram_source.data = {"left": [], "right": [], "top": [], "colour": []}
            self.about_histogram.text = _NO_SCENE
            return
        data, name = base64.b64encode(got.png).decode(), html.escape(scene, quote=True)
        height, width = got.size
        factor = (_SIDE - 40) / max(height, width)
        self.picture.text = (
            f'<p>{name}</p><img alt="{name}" src="data:image/png;base64,{data}" width="{width * factor:.0f}" '
            f'height="{height * factor:.0f}" style="image-rendering:pixelated;border:1px solid #ccc">'
        )
        colours = _LINES if len(got.counts) > 1 else (_BLUE,)
        rows = [
            (left, right, int(count), colour)
            for counts, edges, colour in zip(got.counts, got.edges, colours, strict=False)
            for left, right, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True)
        ]
        names = ("left", "right", "top", "colour")
        self.histogram_source.data = {name: [one[at] for one in rows] for at, name in enumerate(names)}
        shown = "; ".join(style.expr) or "the picture"
        self.about_histogram.text = html.escape(f"{shown} of {scene}: {sum(got.counts[0]):,} pixels")

    def show_series(self, got: Series | None, band: str) -> None:
        """Show a series."""
        if got is None:
            self.series_source.data = {"time": [], "value": [], "scene": []}
            self.about_series.text = _NO_PLACE
            return
        self.series_source.data = {"time": got.times, "value": got.values, "scene": got.scenes}
        self.about_series.text = html.escape(series_text(got, band))

    def say_of_series(self, text: str) -> None:
        """Say how far the series is."""
        self.about_series.text = html.escape(text)

    def show_layers(self, layers: Layers) -> None:
        """Show the result of a statement, in the table and on the map."""
        images = layers.images
        self.images.data = {
            "image": [one.pixels for one in images],
            "x": [one.bounds[0] for one in images], "y": [one.bounds[1] for one in images],
            "dw": [one.bounds[2] - one.bounds[0] for one in images],
            "dh": [one.bounds[3] - one.bounds[1] for one in images],
        }  # fmt: skip
        self.shapes.data = {"xs": layers.xs, "ys": layers.ys}
        self.points.data = {"x": [x for x, _ in layers.points], "y": [y for _, y in layers.points]}
        names = [f"c{at}" for at in range(len(layers.names))]
        # The values first: cells are drawn when there are columns, and not again.
        self.table.source = ColumnDataSource({name: [one[at] for one in layers.rows] for at, name in enumerate(names)})
        self.table.columns = [
            TableColumn(field=name, title=f"{title} · {kind}", editor=StringEditor(), width=160)
            for name, title, kind in zip(names, layers.names, layers.kinds, strict=True)
        ]
        self.table.visible = bool(names)

    def example(self, name: str, band: str) -> None:
        """Write an example into the SQL box, if nothing is there."""
        if not self.sql.value.strip():
            self.sql.value = _EXAMPLE.format(name=name, band=band)


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC


def _milliseconds(value: float | datetime) -> float:
    return (value - _EPOCH) / timedelta(milliseconds=1) if isinstance(value, datetime) else value


def bands_text(bands: Sequence[str]) -> str:
    """The bands of a collection, for the page."""
    return f'<span style="color:#666">{html.escape(", ".join(bands))}</span>'


def rows_text(layers: Layers) -> str:
    """Say the number of rows."""
    count = len(layers.rows)
    return f"the first {ROWS} rows" if layers.more else f"{count} row{'' if count == 1 else 's'}"


def series_text(got: Series, band: str) -> str:
    """A series in words, for those who do not see the chart."""
    if not got.values:
        return f"{band}: no scene has a value there"
    days = f"{got.times[0]:%Y-%m-%d} to {got.times[-1]:%Y-%m-%d}"
    return f"{band}: {len(got.values)} scenes, {days}, from {min(got.values):.4g} to {max(got.values):.4g}"


def legend(limits: Sequence[Limits], style: TileStyle, bands: Sequence[str]) -> str:
    """The colours of values: a strip for each band."""
    levels = np.arange(256, dtype=np.uint8)[None]
    rows = []
    for (low, high), band, lamp in zip(limits, bands, range(3), strict=False):
        if style.colormap is not None:
            strip = apply_colormap(style.colormap, levels)
        elif len(limits) == 3:
            strip = np.zeros((1, 256, 3), np.uint8)
            strip[..., lamp] = levels
        else:
            strip = levels
        data = base64.b64encode(encode(strip)).decode()
        rows.append(
            f'<div>{html.escape(band)}<br>{low:.4g} <img alt="from {low:.4g} to {high:.4g}" width="200" height="12" '
            f'src="data:image/png;base64,{data}"> {high:.4g}</div>'
        )
    return "".join(rows)


def drawn_shape(geometry: dict[str, Any]) -> shapely.Geometry | None:
    """The polygon that was drawn, in lon/lat; None where it has no area."""
    if geometry.get("type") == "rect":
        ring = shapely.box(geometry["x0"], geometry["y0"], geometry["x1"], geometry["y1"])
    elif geometry.get("type") == "poly" and len(geometry["x"]) >= 3:
        ring = shapely.Polygon(list(zip(geometry["x"], geometry["y"], strict=True)))
    else:
        return None
    if not ring.is_valid:
        ring = shapely.make_valid(ring)

    def moved(points: Numbers) -> Numbers:
        lon, lat = to_lonlat(points[:, 0], points[:, 1])
        return np.column_stack([lon, lat])

    shape = shapely.transform(ring, moved)
    return shape if shape.area > 0 else None


def addresses_text(origin: str, name: str, arguments: str) -> str:
    """The addresses for map clients."""
    tiles = html.escape(f"{origin}/tiles/{name}/{{z}}/{{x}}/{{y}}.png?{arguments}")
    tile_json = html.escape(f"{origin}/tiles/{name}/tilejson.json?{arguments}")
    return (
        f'<details><summary>For QGIS and other map clients</summary><p>XYZ: <code style="word-break:break-all">{tiles}'
        f'</code></p><p>TileJSON: <code style="word-break:break-all">{tile_json}</code></p></details>'
    )
