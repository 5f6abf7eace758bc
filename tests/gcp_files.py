"""Images that ground control points place: as Sentinel-1 GRD has them, and maps that were scanned."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint

sys.path.append(str(Path(__file__).parent / "tiff"))
from craft import DOUBLE, SHORT, image_tags, tiff

LONLAT_KEYS = [1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326]


def places(cols, rows, size, *, bend=0.002, at=(11.0, 46.0), pixel=10.0, angle=192.0):
    """Longitudes and latitudes of pixels of a swath that is turned, and bent by a part of its size."""
    width, height = size
    u, v = cols / width - 0.5, rows / height - 0.5
    c = (u + bend * (u * u - 0.6 * u * v + 0.3 * v**3)) * width
    r = (v + bend * (v * v + 0.4 * u * v - 0.5 * u**3)) * height
    turn = np.radians(angle)
    east = pixel * (np.cos(turn) * c + np.sin(turn) * r)
    north = pixel * (np.sin(turn) * c - np.cos(turn) * r)
    lon = at[0] + east / 111_320 / np.cos(np.radians(at[1]))
    return (lon + 180) % 360 - 180, at[1] + north / 110_574


def lattice(size, shape=(10, 21), **place):
    """Points in rows and columns over an image, shape (n, 4): column, row, x, y."""
    cols, rows = (
        each.ravel() for each in np.meshgrid(np.linspace(0, size[0], shape[1]), np.linspace(0, size[1], shape[0]))
    )
    return np.column_stack([cols, rows, *places(cols, rows, size, **place)])


def write_grd(path, data, points, *, keys=LONLAT_KEYS, more=None):
    """A tiled GeoTIFF with tiepoints and no pixel scale, as Sentinel-1 GRD is delivered."""
    height, width = data.shape
    tile = 64
    tags = image_tags(width, height, bits=(SHORT, [8 * data.itemsize]))
    for strip in (273, 278, 279):
        tags.pop(strip, None)
    across, down = -(-width // tile), -(-height // tile)
    padded = np.zeros((down * tile, across * tile), data.dtype)
    padded[:height, :width] = data
    tiles = [
        padded[row * tile : (row + 1) * tile, col * tile : (col + 1) * tile].tobytes()
        for row in range(down)
        for col in range(across)
    ]
    tags |= {322: (SHORT, [tile]), 323: (SHORT, [tile])}
    tags |= {33922: (DOUBLE, np.insert(points, [2, 4], 0.0, axis=1).ravel().tolist())}
    if keys is not None:
        tags |= {34735: (SHORT, keys)}
    Path(path).write_bytes(tiff((tags | (more or {}), tiles)))


def control_points(points):
    """The same as rasterio has them."""
    return [GroundControlPoint(row=row, col=col, x=x, y=y, z=0.0) for col, row, x, y in np.asarray(points).tolist()]


def write_pam(path, points, crs):
    """The .aux.xml that says the points of an image."""
    listed = "".join(
        f'<GCP Id="{number}" Info="" Pixel="{col!r}" Line="{row!r}" X="{x!r}" Y="{y!r}" Z="0"/>'
        for number, (col, row, x, y) in enumerate(np.asarray(points).tolist())
    )
    wkt = rasterio.CRS.from_user_input(crs).to_wkt().replace("&", "&amp;").replace('"', "&quot;")
    text = f'<PAMDataset><GCPList Projection="{wkt}">{listed}</GCPList></PAMDataset>'
    Path(f"{path}.aux.xml").write_text(text)
