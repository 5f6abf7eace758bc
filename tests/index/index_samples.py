"""Headers and scenes made by hand, for the tests of the index."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

import numpy as np
import shapely

from rasteret_sql.index.band_encode import BandRecord
from rasteret_sql.index.rows import SceneRow
from rasteret_sql.stac.item import BandAsset, SceneItem
from rasteret_sql.tiff.header import BandHeader, Level
from rasteret_sql.types import Affine

NORTH_UP = Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 5400000.0)


def level(width=100, height=80, tile=32, *, seed=0, order="file", **changes) -> Level:
    """A level whose tiles lie as `order` says: `file` (8 bytes apart), `shuffled`, or `sparse`."""
    values = {
        "tile_width": tile,
        "tile_height": tile,
        "tiled": True,
        "dtype": np.dtype("uint16"),
        "bits": 16,
        "samples": 1,
        "planar": 1,
        "compression": 8,
        "predictor": 2,
        "photometric": 1,
        "byte_order": "<",
    } | changes
    planes = values["samples"] if values["planar"] == 2 else 1
    count = -(-width // values["tile_width"]) * -(-height // values["tile_height"]) * planes
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 5_000_000, count).astype(np.uint64)
    places = random.permutation(count) if order == "shuffled" else np.arange(count)
    ends = np.cumsum(sizes[places] + np.uint64(8))
    offsets = np.empty(count, np.uint64)
    offsets[places] = ends - sizes[places]
    if order == "sparse":
        offsets[::2] = sizes[::2] = 0
    values = {"offsets": offsets, "byte_counts": sizes} | values
    return Level(width=width, height=height, **values)


def header(*levels: Level, **changes) -> BandHeader:
    levels = levels or (level(),)
    values = {
        "sample": 0,
        "masks": (None,) * len(levels),
        "mask_sample": 0,
        "internal_mask": False,
        "transform": NORTH_UP,
        "crs": "EPSG:32632",
        "nodata": 0,
        "scale": 1.0,
        "offset": 0.0,
        "description": None,
    } | changes
    return BandHeader(levels=levels, **values)


def scene(
    scene_id="a", when=datetime(2024, 6, 1, 10), *, bands=None, problems=None, properties=None, epsg=None, files=None
) -> SceneRow:
    bands = {"B04": header()} if bands is None else bands
    names = [*bands, *(problems or {})]
    item = SceneItem(
        id=scene_id,
        collection="sentinel-2-l2a",
        datetime=when,
        geometry=shapely.to_wkb(shapely.box(9, 48, 10, 49)),
        bbox=(9.0, 48.0, 10.0, 49.0),
        epsg=epsg,
        bands={
            name: BandAsset((files or {}).get(name, f"https://example.com/{scene_id}/{name}.tif")) for name in names
        },
        properties=properties or {},
    )
    return SceneRow(
        item, {name: BandRecord(one, one.levels[0].samples, 1234) for name, one in bands.items()}, problems or {}
    )


def assert_same(one: BandHeader, other: BandHeader) -> None:
    """Equal in every field, with the types of nodata; a mask that shares tiles with its level still does."""
    assert len(one.levels) == len(other.levels)
    assert len(one.masks) == len(other.masks)
    for left, right in zip((*one.levels, *one.masks), (*other.levels, *other.masks), strict=True):
        assert (left is None) == (right is None)
        for field in fields(Level) if left is not None else ():
            ours, theirs = getattr(left, field.name), getattr(right, field.name)
            if isinstance(ours, np.ndarray):
                assert theirs.dtype == np.uint64
                np.testing.assert_array_equal(ours, theirs)
            else:
                assert ours == theirs, field.name
    for left, right, its_mask, other_mask in zip(one.levels, other.levels, one.masks, other.masks, strict=True):
        assert (its_mask is left) == (other_mask is right)
    assert repr(one.nodata) == repr(other.nodata)
    compared = {"levels", "masks", "nodata"}
    for field in fields(BandHeader):
        if field.name not in compared:
            assert getattr(one, field.name) == getattr(other, field.name), field.name
