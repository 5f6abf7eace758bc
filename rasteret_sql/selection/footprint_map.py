"""Draws the footprints of scenes as a map in SVG, which needs nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import shapely

from rasteret_sql.geo.grid import Bounds
from rasteret_sql.selection.selection import Selection

SCENES = 500
"""Most scenes that are drawn; of more, every n-th."""
_READ = 100_000
"""Scenes among which these are chosen: the first."""
_SIZE = 320
"""Pixels of the longer side."""
_SIDE = 60
"""Pixels beside the map for the labels of latitudes."""
_LINES = 4
"""Meridians and parallels, about."""


def footprint_map(selection: Selection, bounds: Bounds) -> str:
    """A map of the footprints of scenes in lon/lat, the newest on top; a footprint's title is its id and day.

    Args:
        selection: the scenes.
        bounds: the box that holds all of them, in lon/lat.

    Returns:
        An element `<svg>`; empty where no scene has a footprint.
    """
    rows = selection.batches(["id", "datetime", "geometry"], limit=_READ).read_all()
    rows = rows.take(list(range(0, rows.num_rows, max(1, math.ceil(rows.num_rows / SCENES))))).sort_by("datetime")
    shapes = shapely.from_wkb(rows["geometry"].to_pylist())
    titles = [
        f"{scene} {'' if time is None else time.date().isoformat()}".strip()
        for scene, time in zip(rows["id"].to_pylist(), rows["datetime"].to_pylist(), strict=True)
    ]
    return svg_of(shapes, titles, bounds) if len(rows) else ""


def svg_of(shapes: Sequence[shapely.Geometry | None], titles: Sequence[str], bounds: Bounds) -> str:
    """The map of some geometries in lon/lat.

    Args:
        shapes: polygons; those that are None are left out.
        titles: of each.
        bounds: of the map, widened a little.
    """
    west, south, east, north = _widened(bounds)
    stretch = max(math.cos(math.radians((south + north) / 2)), 0.05)
    scale = _SIZE / max((east - west) * stretch, north - south)
    width, height = (east - west) * stretch * scale, (north - south) * scale

    def place(lon: float, lat: float) -> str:
        return f"{(lon - west) * stretch * scale:.1f},{(north - lat) * scale:.1f}"

    parts = []
    for shape, title in zip(shapes, titles, strict=True):
        rings = [] if shape is None else [ring for part in shapely.get_parts(shape) for ring in _rings(part)]
        path = "".join(f"M{'L'.join(place(x, y) for x, y in ring)}Z" for ring in rings)
        if path:
            parts.append(f'<path d="{path}"><title>{html.escape(title)}</title></path>')
    lines = []
    for lon in _round_numbers(west, east):
        x = (lon - west) * stretch * scale
        label = f'<text x="{x:.1f}" y="{height + 12:.1f}" stroke="none">{lon:.6g}°</text>'
        lines.append(f'<path d="M{x:.1f},0V{height:.1f}"/>{label}')
    for lat in _round_numbers(south, north):
        y = (north - lat) * scale
        label = f'<text x="{width + 4:.1f}" y="{y + 3:.1f}" text-anchor="start" stroke="none">{lat:.6g}°</text>'
        lines.append(f'<path d="M0,{y:.1f}H{width:.1f}"/>{label}')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + _SIDE:.0f}" height="{height + 18:.0f}" '
        f'role="img" aria-label="map of {len(parts)} footprints" font-family="sans-serif" font-size="10">'
        f'<rect width="{width:.1f}" height="{height:.1f}" fill="#f4f6f8" stroke="#999"/>'
        f'<g stroke="#ddd" fill="#666" text-anchor="middle" style="stroke-width:.6">{"".join(lines)}</g>'
        f'<g fill="#2b7bba" fill-opacity=".15" stroke="#1f5a89" fill-rule="evenodd">{"".join(parts)}</g></svg>'
    )


def _rings(part: shapely.Geometry) -> list[list[tuple[float, float]]]:
    if part.geom_type != "Polygon" or part.is_empty:
        return []
    return [[(x, y) for x, y, *_ in ring.coords] for ring in (part.exterior, *part.interiors)]


def _widened(bounds: Bounds) -> Bounds:
    """A box with some room around it, also where it is a point."""
    west, south, east, north = bounds
    room = max(east - west, north - south) * 0.08 or 0.01
    return west - room, south - room, east + room, north + room


def _round_numbers(low: float, high: float) -> list[float]:
    """Round numbers between two, some four of them."""
    rough = (high - low) / _LINES
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step) + 1)]
