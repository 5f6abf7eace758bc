"""Records how GDAL 3.12 places pixels by homographies, which the GDAL of the tests (3.10) does not know.

    pip install 'rasterio==1.5.2' && python tests/oracle/record_homographies.py

`test_gcps.py` compares with what it writes: the number of the source pixel under each target pixel, from 1, row by row;
0 where there is none.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.warp import Resampling, reproject

FILE = Path(__file__).parent / "recorded" / "homographies.json"
SIZE = 40, 30  # width and height of the source
CASES = [
    # number of points, bend, CRS, CRS of the target, SRC_METHOD
    (4, 0.02, "EPSG:32632", "EPSG:32632", None),
    (4, 0.3, "EPSG:4326", "EPSG:4326", None),
    (5, 0.05, "EPSG:32632", "EPSG:3857", None),
    (5, 0.2, "EPSG:4326", "EPSG:32633", None),
    (12, 0.1, "EPSG:32632", "EPSG:32632", "GCP_HOMOGRAPHY"),
    (4, 0.0, "EPSG:4326", "EPSG:3857", None),
]


def points_of(number, bend, crs, rng):
    """Corners of the image and further points, at bent places."""
    width, height = SIZE
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    inner = rng.uniform(0.2, 0.8, (number - 4, 2)) * SIZE
    pixels = np.concatenate([corners, inner])
    shifted = pixels + rng.uniform(-bend, bend, pixels.shape) * np.array(SIZE) / 2
    turned = shifted @ np.array([[0.9, 0.4], [0.4, -0.9]])
    side, origin = (1e-3, (14.0, 47.0)) if crs == "EPSG:4326" else (100.0, (6e5, 5.2e6))
    return np.column_stack([pixels, turned * side + origin])


def record():
    rng = np.random.default_rng(12)
    width, height = SIZE
    source = np.arange(1, width * height + 1, dtype=np.uint16).reshape(height, width)
    cases = []
    for number, bend, crs, onto, method in CASES:
        points = points_of(number, bend, crs, rng)
        corners = rasterio.warp.transform(crs, onto, *points[:4, 2:].T)
        west, east, south, north = *(f(corners[0]) for f in (min, max)), *(f(corners[1]) for f in (min, max))
        side = (east - west) / 60
        shape = int((north - south) / side) + 8, 68
        transform = rasterio.Affine(side, 0, west - 4 * side, 0, -side, north + 4 * side)
        found = np.zeros(shape, np.uint16)
        reproject(
            source,
            found,
            gcps=[GroundControlPoint(row=r, col=c, x=x, y=y, z=0.0) for c, r, x, y in points],
            src_crs=crs,
            dst_crs=onto,
            dst_transform=transform,
            resampling=Resampling.nearest,
            tolerance=0,
            **({} if method is None else {"SRC_METHOD": method}),
        )
        cases.append({
            "points": points.tolist(), "crs": crs, "onto": onto, "method": method and "homography",
            "transform": list(transform)[:6], "shape": shape,
            "pixels": base64.b64encode(zlib.compress(found.astype("<u2").tobytes(), 9)).decode(),
        })  # fmt: skip
    said = {"rasterio": rasterio.__version__, "gdal": rasterio.__gdal_version__, "cases": cases}
    FILE.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    record()
