"""Windows over named scenes, pixel sizes, footprints, and coroutines of reads."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.merge
import rasterio.warp
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from rasteret_sql.errors import ByteLimitError, MemoryLimitError, RasteretError
from tests.collection_world import make_world
from tests.sampling import examples

BOUNDS = (600_020, 5_099_870, 600_120, 5_099_980)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("windows"))


def test_a_window_is_what_rasterio_merges(world):
    """Of scenes beside each other, in their order; also one whose sides lie on no pixel."""
    collection, scenes = world
    bounds = (600_020, 5_099_870, 602_120, 5_099_980)
    found = collection.read_window(record_ids=["s01", "s00", "s02"], bounds=bounds, res=(10, 10), bands=["a"])
    assert found.shape == (1, 11, 210)
    assert found.dtype == "uint16"
    files = [collection.path.parents[1] / f"{scene.id}.tif" for scene in (scenes[1], scenes[0], scenes[2])]
    theirs, _ = rasterio.merge.merge(files, bounds=bounds, res=10)
    np.testing.assert_array_equal(found, theirs)
    assert (found > 0).sum() > 300
    coarse = collection.read_window(
        record_ids=pa.array(["s00"]), bounds=(600_003, 5_099_871, 600_131, 5_099_997), res=13, bands="a"
    )
    theirs, _ = rasterio.merge.merge(files[1:2], bounds=(600_003, 5_099_871, 600_131, 5_099_997), res=13)
    assert coarse.shape == theirs.shape == (1, 10, 10)


def random_windows(count):
    """Windows off the grid of the first scene, with pixels of other sizes."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        left, top = 600_000 + rng.uniform(-40, 120), 5_100_000 - rng.uniform(-40, 120)
        across = float(rng.choice([rng.uniform(3, 30), 5, 7.5, 10, 20]))
        res = across, across if rng.random() < 0.7 else float(rng.uniform(3, 30))
        width, height = (max(1, round(side / step)) for side, step in zip(rng.uniform(20, 150, 2), res, strict=True))
        yield (left, top - height * res[1], left + width * res[0], top), res


def test_pixels_stay_where_they_are_whatever_the_window(world):
    """Each is that of GDAL's warp. `rasterio.merge` agrees where the image covers the window, on every pixel; where it
    ends inside, merge begins at a whole pixel of the window and stretches the rest to whole pixels."""
    collection, _ = world
    path = collection.path.parents[1] / "s00.tif"
    covered = differ = 0
    for bounds, res in random_windows(examples(150)):
        (found,) = collection.read_window(record_ids=["s00"], bounds=bounds, res=res, bands=["a"])
        warped = np.zeros_like(found)
        with rasterio.open(path) as file:
            rasterio.warp.reproject(
                file.read(1), warped, src_transform=file.transform, src_crs=file.crs, dst_crs=file.crs,
                dst_transform=from_origin(bounds[0], bounds[3], *res),
            )  # fmt: skip
            inside = shapely.box(*file.bounds).covers(shapely.box(*bounds))
            meets = shapely.box(*file.bounds).intersection(shapely.box(*bounds)).area > 0
        np.testing.assert_array_equal(found, warped)
        if meets:
            (merged,), _ = rasterio.merge.merge([path], bounds=bounds, res=res)
            same = np.array_equal(found, merged)
            assert same or not inside
            covered, differ = covered + inside, differ + (not same)
    assert covered > 1
    assert differ > 1


def test_windows_take_what_other_reads_take(world, tmp_path):
    collection, scenes = world
    named = {"record_ids": ["s00"], "bounds": BOUNDS, "res": 10}
    masked = collection.read_window(bands=["a"], mask="a > 60", nodata=9, **named)
    pixels = scenes[0].pixels[2:13, 2:12]
    np.testing.assert_array_equal(masked[0], np.where(pixels > 60, 9, pixels))
    told = []
    doubled = collection.read_window(bands={"twice": "a * 2"}, progress=lambda *step: told.append(step), **named)
    np.testing.assert_array_equal(doubled[0], pixels * 2.0)
    assert told[-1] == (1, 1, "rows")
    collection._session.engine.cache.clear()
    with pytest.raises(ByteLimitError, match="nothing of it was fetched"):
        collection.read_window(bands=["a"], max_bytes=10, **named)
    with pytest.raises(TypeError, match="read_window has no argument 'resample'; did you mean \"resampling\""):
        collection.read_window(bands=["a"], resample="cubic", **named)
    broken, _ = make_world(tmp_path)
    (tmp_path / "s00.tif").unlink()
    with pytest.raises(RasteretError, match=r"s00\.tif"):
        broken.read_window(bands=["a"], on_error="raise", **named)


def test_the_first_valid_pixel_counts(world):
    collection, scenes = world
    one = collection.read_window(record_ids=["s00"], bounds=BOUNDS, res=10, bands=["a"])
    masked = collection.read_window(
        record_ids=["s00", "s01"], bounds=BOUNDS, res=10, bands=["a", "CASE WHEN a > 60 THEN a END"]
    )
    np.testing.assert_array_equal(one[0], scenes[0].pixels[2:13, 2:12])
    np.testing.assert_array_equal(masked[0], one[0])
    assert np.isnan(masked[1]).any() or (masked[1] == 0).any()


def test_images_apart(world):
    collection, scenes = world
    bounds = (600_000, 5_099_840, 601_160, 5_100_000)
    by_id = collection.read_window(record_ids=["s01", "s00"], bounds=bounds, res=10, bands=["a"], group_by="id")
    by_time = collection.read_window(record_ids=["s01", "s00"], bounds=bounds, res=10, bands=["a"], group_by="datetime")
    assert by_id.shape == by_time.shape == (2, 1, 16, 116)
    np.testing.assert_array_equal(by_id[::-1], by_time)
    np.testing.assert_array_equal(by_time[0, 0, :, :16], scenes[0].pixels)
    assert not by_time[0, 0, :, 16:].any()


def test_another_crs(world):
    collection, _ = world
    west, south, east, north = 1_145_800, 5_787_600, 1_145_950, 5_787_720
    found = collection.read_window(
        record_ids=["s00"], bounds=(west, south, east, north), res=15, bands=["a"], target_crs=3857
    )
    chip = collection.sql(
        f"SELECT chip_values(read_chip('s00', 'a', '{shapely.box(west, south, east, north).wkt}', geom_crs := 3857, "
        f"crs := 3857, resolution := 15, align := [{west}, {north}], resampling := 'nearest'))"
    ).fetchall()[0][0]
    assert found.ravel().tolist() == [0 if value is None else value for value in chip]
    assert found.any()


def test_what_cannot_be_used(world, monkeypatch):
    collection, _ = world
    good = {"record_ids": ["s00"], "bounds": BOUNDS, "res": 10, "bands": ["a"]}
    for name, value, text in (
        ("record_ids", [], "expected a list of one id or more"),
        ("record_ids", "s00", "expected a list of one id or more"),
        ("record_ids", ["s00", "nobody"], 'names no scene "nobody"'),
        ("bounds", (1, 2, 3), r"expected \(minx, miny, maxx, maxy\)"),
        ("bounds", (5, 2, 3, 9), r"expected \(minx, miny, maxx, maxy\)"),
        ("res", 0, "res|resolution"),
        ("res", 1000, "have no pixel of res=1000"),
        ("res", None, "res=None cannot be used; expected a number above 0"),
        ("res", "x", "res='x' cannot be used"),
        ("bounds", None, r"bounds=None cannot be used; expected \(minx"),
        ("bounds", [None], r"bounds=\[None\] cannot be used; expected \(minx"),
        ("record_ids", None, "record_ids=None cannot be used; expected a list of one id or more"),
        ("bands", ["zz"], "zz"),
        ("bands", [], "bands is empty; expected names out of a"),
        ("bands", None, "bands=None cannot be used; expected a name, or a list of names"),
        ("bands", [None], r"bands=\[None\] cannot be used; expected a name, or a list of names"),
        ("resampling", ["best"], "expected one of nearest"),
        ("group_by", "month", "expected None, 'datetime' or 'id'"),
        ("resampling", "best", "expected one of nearest"),
    ):
        with pytest.raises(ValueError, match=text):
            collection.read_window(**{**good, name: value})
    with pytest.raises(ValueError, match="bands=5 cannot be used; expected a name, or a list of names"):
        collection.get_numpy(BOUNDS, 5, geometry_crs=32632)
    monkeypatch.setattr(collection._session.settings, "max_call_bytes", 100)
    with pytest.raises(MemoryLimitError, match="nothing was fetched"):
        collection.read_window(**good)


def test_scenes_that_cannot_be_read(tmp_path):
    collection, _ = make_world(tmp_path)
    (tmp_path / "s01.tif").unlink()
    bounds = (600_000, 5_099_840, 601_160, 5_100_000)
    with pytest.warns(RuntimeWarning, match='1 of 2 scenes could not be read, first "s01"'):
        found = collection.read_window(record_ids=["s00", "s01"], bounds=bounds, res=10, bands=["a"])
    assert (found > 0).sum() == 256
    with pytest.raises(ValueError, match="no valid data found: 1 of 1 scenes could not be read"):
        collection.read_window(record_ids=["s01"], bounds=bounds, res=10, bands=["a"])


def test_size_of_pixels(world):
    collection, _ = world
    assert collection.native_res() == collection.native_res("a") == (10, 10)
    with pytest.raises(ValueError, match="zz"):
        collection.native_res("zz")
    with pytest.raises(ValueError, match="has no scenes"):
        collection.where("id = 'nobody'").native_res()


def test_footprints_are_the_outlines_of_the_images(world):
    geopandas = pytest.importorskip("geopandas", reason="needs the extra geopandas")
    collection, scenes = world
    one_zone = collection.where("id < 's08'").footprints()
    assert isinstance(one_zone, geopandas.GeoDataFrame)
    assert one_zone.crs.to_epsg() == 32632
    assert one_zone.record_id.tolist() == [scene.id for scene in scenes[:8]]
    assert one_zone.geometry[1].equals(shapely.box(601_000, 5_099_840, 601_160, 5_100_000))
    assert one_zone.datetime[1].to_pydatetime() == scenes[1].at
    both = collection.footprints()
    assert both.crs.to_epsg() in (4326, None) or both.crs.to_authority() == ("OGC", "CRS84")
    for footprint, scene in zip(both.geometry, scenes, strict=True):
        assert footprint.bounds == pytest.approx(scene.bounds, abs=1e-5)
    web = collection.where("id = 's00'").footprints(crs=3857, band="a")
    theirs = transform_geom(32632, 3857, shapely.geometry.mapping(one_zone.geometry[0]))
    assert web.geometry[0].hausdorff_distance(shapely.geometry.shape(theirs)) < 0.01
    found = collection.get_numpy(one_zone.iloc[:1], ["a"])
    np.testing.assert_array_equal(found[0], scenes[0].pixels)


def test_footprints_say_what_to_install(world, monkeypatch):
    monkeypatch.setattr("rasteret_sql.hosts.extras.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"pip install 'rasteret-sql\[geopandas\]'"):
        world[0].footprints()


def test_coroutines_read_side_by_side(world):
    collection, scenes = world
    areas = [
        shapely.box(*scene_bounds)
        for scene_bounds in [(600_000 + 1000 * n, 5_099_840, 600_160 + 1000 * n, 5_100_000) for n in range(6)]
    ]

    async def read():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        arrays = [collection.get_numpy_async(area, ["a"], geometry_crs=32632) for area in areas]
        window = collection.read_window_async(record_ids=["s00"], bounds=BOUNDS, res=10, bands=["a"])
        found = await asyncio.gather(*arrays, window)
        ticking.cancel()
        return found, ticks

    (*arrays, window), ticks = asyncio.run(read())
    assert ticks > 0
    np.testing.assert_array_equal([array[0] for array in arrays], [scene.pixels for scene in scenes[:6]])
    np.testing.assert_array_equal(window[0], scenes[0].pixels[2:13, 2:12])


def test_a_coroutine_of_a_dataset(world):
    xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
    collection, _ = world
    area = shapely.box(600_000, 5_099_840, 600_160, 5_100_000)
    found = asyncio.run(collection.get_xarray_async(area, ["a"], geometry_crs=32632))
    xarray.testing.assert_identical(found, collection.get_xarray(area, ["a"], geometry_crs=32632))
    with pytest.raises(ValueError, match="zz"):
        asyncio.run(collection.get_xarray_async(area, ["zz"], geometry_crs=32632))


def test_a_task_that_is_cancelled_stops_its_read(world):
    """The read ends although nobody waits for it: what it was told of its progress is not all."""
    collection, scenes = world
    lon, lat = scenes[0].bounds[:2]
    area = (lon - 0.01, lat - 0.1, scenes[7].bounds[2] + 0.1, lat + 0.1)
    ended = threading.Event()
    stopped = []

    class Slow:
        async def get_range(self, url, start, length):
            return (await self.get_ranges(url, [(start, length)]))[0]

        async def get_ranges(self, url, ranges):
            try:
                await asyncio.sleep(30)
            finally:
                stopped.append(url)
                ended.set()

    async def read():
        task = asyncio.create_task(collection.get_xarray_async(area, ["a"], resolution=1000, backend=Slow()))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    collection._session.engine.cache.clear()
    asyncio.run(read())
    assert ended.wait(5)
    assert stopped
