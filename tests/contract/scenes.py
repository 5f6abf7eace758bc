"""Images and items that the contract tests serve."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.connection import session_for

SIZE, TILE = 512, 128
PROFILE = {
    "driver": "GTiff", "count": 1, "dtype": "uint16", "crs": "EPSG:32632", "tiled": True, "compress": "deflate",
    "transform": from_origin(600_000, 5_100_000, 10, 10),
}  # fmt: skip


def write_small(path, seed):
    """A GeoTIFF of 256 × 256 random pixels in tiles of 64, its header in front; see `small_pixels`."""
    with rasterio.open(path, "w", **PROFILE, width=256, height=256, blockxsize=64, blockysize=64) as dataset:
        dataset.write(_random(seed, 256), 1)


def small_pixels(seed):
    """Bytes of the pixels of `write_small`."""
    return _random(seed, 256).tobytes()


def _random(seed, size):
    return np.random.default_rng(seed).integers(0, 60_000, (size, size), dtype="uint16")


def write_scene(path, seed, **options):
    """A COG with overviews, every other one with a mask; given options, a plain GeoTIFF with its header in front."""
    plain = path if options else path.with_suffix(".plain")
    profile = {**PROFILE, "width": SIZE, "height": SIZE, "blockxsize": TILE, "blockysize": TILE, **options}
    rng = np.random.default_rng(seed)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(plain, "w", **profile) as dataset:
        for band in range(1, profile["count"] + 1):
            dataset.write(rng.integers(0, 60_000, (SIZE, SIZE), dtype="uint16"), band)
        if seed % 2 and not options:
            dataset.write_mask(rng.random((SIZE, SIZE)) > 0.2)
    if not options:
        rasterio.shutil.copy(
            plain, path, driver="COG", blocksize=TILE, compress="deflate", overview_resampling="nearest"
        )
        plain.unlink()


def item(scene, *, day=1, **assets):
    """An item with an asset of each name, given its href or the whole asset."""
    place = [10.3, 46.0]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": scene, "links": [],
        "geometry": {"type": "Point", "coordinates": place}, "bbox": [*place, *place],
        "properties": {"datetime": f"2024-01-{day:02}T00:00:00Z"},
        "assets": {
            name: {"href": asset, "type": "image/tiff"} if isinstance(asset, str) else asset
            for name, asset in assets.items()
        },
    }  # fmt: skip


def write_items(path, items):
    """An item collection."""
    Path(path).write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))


@contextmanager
def opened(server, workspace):
    """A connection with the served items as `rasteret.w`, of which nothing was read yet."""
    with rasteret_sql.connect(workspace_dir=workspace) as connection:
        connection.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
        forget(connection, server)
        yield connection


def forget(connection, server):
    """From now on all tiles are asked for, and counted, anew."""
    session = session_for(connection)
    session.engine.cache.clear()
    session.receipts.listed(clear=True)
    server.reset()
