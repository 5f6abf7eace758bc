"""Headers and scenes made by hand, for the tests of the index."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

import numpy as np
import shapely

from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.change.transaction import change
from rasteret_sql.index.format.band_encode import BandRecord
from rasteret_sql.index.format.scene_rows import SceneRow
from rasteret_sql.scenes.scene import BandAsset, SceneItem
from rasteret_sql.tiff.header import BandHeader, Level, Plane, Validity

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
        "validity": Validity(),
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


def write_collection(rows, metadata, target, *, columns=None, search=None, cancelled=None) -> None:
    """Scenes made by hand as a collection that was built."""
    with change(target, "the build of a test", cancelled) as tx:
        tx.create(metadata, rows, columns, search)


def assert_same(one: BandHeader, other: BandHeader) -> None:
    """Equal in every field, with the types of nodata; what shares tiles with a level still does."""
    ours, theirs = one.images(), other.images()
    assert len(one.levels) == len(other.levels)
    assert len(ours) == len(theirs)
    for left, right in zip(ours, theirs, strict=True):
        for field in fields(Level):
            mine, its = getattr(left, field.name), getattr(right, field.name)
            if isinstance(mine, np.ndarray):
                assert its.dtype == np.uint64
                np.testing.assert_array_equal(mine, its)
            else:
                assert mine == its, field.name
    assert _validity(one) == _validity(other)
    assert repr(one.nodata) == repr(other.nodata)
    compared = {"levels", "validity", "nodata"}
    for field in fields(BandHeader):
        if field.name not in compared:
            assert getattr(one, field.name) == getattr(other, field.name), field.name


def _validity(header: BandHeader) -> list:
    """Its planes as numbers of the header's images."""
    numbers = {id(image): at for at, image in enumerate(header.images())}

    def plane(one) -> list | None:
        return one and [[None if at is None else numbers[id(at)] for at in one.levels], one.sample]

    said = header.validity
    values = [(plane(one), repr(value)) for one, value in said.nodata_values]
    return [plane(said.mask), values, plane(said.alpha), said.alpha_counts]


def mask_of(*masks: Level | None) -> Validity:
    """Validity by mask images, one a level."""
    return Validity(mask=Plane(masks, 0))


def alpha_of(*levels: Level, sample: int = 3, counts: bool = True) -> Validity:
    """Validity by an alpha sample of the levels."""
    return Validity(alpha=Plane(levels, sample), alpha_counts=counts)
