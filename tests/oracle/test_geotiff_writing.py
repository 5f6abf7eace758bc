"""GeoTIFFs that we write read back the same, by rasterio and by our own reader."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator

import affine
import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff.decode import decode_tile
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.parse import parse_header
from rasteret_sql.tiff.source import SparseBytes
from rasteret_sql.tiff.write_geotiff import write_geotiff
from tests.sampling import some

UTM = Affine(10, 0, 499980, 0, -10, 5300040)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")


def pixels(dtype: str, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)


@contextlib.contextmanager
def opened(raw: bytes) -> Iterator[rasterio.DatasetReader]:
    with rasterio.MemoryFile(raw) as memory, memory.open() as read:
        yield read


@pytest.mark.parametrize(("dtype", "bands"), some(list(itertools.product(DTYPES, (1, 3))), 4))
@pytest.mark.parametrize("size", [(1, 1), (17, 300), (512, 256)], ids=str)
def test_pixels_of_every_dtype(dtype: str, bands: int, size: tuple[int, int]) -> None:
    data = pixels(dtype, (bands, *size))
    with opened(write_geotiff(data, None, transform=UTM, crs="EPSG:32632")) as read:
        np.testing.assert_array_equal(read.read(), data)
        assert (read.transform, read.crs, read.nodata) == (affine.Affine(*UTM), rasterio.CRS.from_epsg(32632), None)
        assert read.dataset_mask().all()
        assert all(rows % 16 == 0 and columns % 16 == 0 for rows, columns in read.block_shapes)
        assert read.compression.value == "DEFLATE"


@pytest.mark.parametrize(
    "transform",
    [UTM, Affine(10, 0, 499980, 0, 10, 5300040), Affine(8, 3, 1000, 2, -9, 2000), Affine(1e-4, 0, -180, 0, -2e-4, 90)],
    ids=["north-up", "south-up", "rotated", "degrees"],
)
def test_transforms(transform: Affine) -> None:
    with opened(write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=transform, crs="EPSG:4326")) as read:
        assert tuple(read.transform)[:6] == tuple(transform)
        assert read.crs.to_epsg() == 4326


def test_without_position_and_crs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with opened(write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=None)) as read:
            assert read.crs is None
    with opened(write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=UTM)) as read:
        assert read.crs is None
        assert read.transform == affine.Affine(*UTM)


@pytest.mark.parametrize(
    "crs",
    some(
        [
            "EPSG:3035",
            "EPSG:3857",
            "EPSG:2263",
            "EPSG:4258",
            "EPSG:3413",
            "ESRI:102008",
            "ESRI:102001",
            "+proj=utm +zone=32 +datum=WGS84",
            "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84",
            "+proj=lcc +lat_1=30 +lat_2=50 +lat_0=40 +lon_0=-96 +x_0=1000 +y_0=2000 +datum=NAD83",
            "+proj=lcc +lat_1=46 +lat_0=46 +lon_0=3 +k_0=0.999 +datum=WGS84",
            "+proj=tmerc +lat_0=1 +lon_0=9 +k=0.9996 +x_0=500000 +ellps=bessel",
            "+proj=tmerc +lon_0=9 +x_0=500000 +datum=WGS84 +units=us-ft",
            "+proj=merc +lon_0=5 +k=0.9 +datum=WGS84",
            "+proj=merc +lat_ts=30 +datum=WGS84",
            "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +datum=WGS84",
            "+proj=stere +lat_0=-90 +k=0.97 +lon_0=10 +datum=WGS84",
            "+proj=sinu +R=6371007.181",
            "+proj=robin +datum=WGS84",
            "+proj=eqc +lat_ts=20 +lon_0=4 +datum=WGS84",
            "+proj=cea +lat_ts=30 +datum=WGS84",
            "+proj=aeqd +lat_0=50 +lon_0=8 +datum=WGS84",
            "+proj=poly +lat_0=3 +lon_0=8 +datum=WGS84",
            "+proj=longlat +R=6371000",
            "+proj=longlat +ellps=bessel +pm=paris",
            "EPSG:32632+5773",
            "ESRI:54009",
            "ESRI:54012",
            "ESRI:54052",
            "+proj=moll +lon_0=5",
            "+proj=moll +R=6371007.181",
            "+proj=eqearth +lon_0=10 +datum=WGS84",
            "+proj=geos +h=35785831 +lon_0=9.5 +datum=WGS84",
            "+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80",
            "+proj=igh +datum=WGS84",
            "+proj=eck4 +datum=WGS84",
            "+proj=wintri +datum=WGS84",
            "+proj=vandg +R=6371007",
            "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371229",
            "+proj=ob_tran +o_proj=longlat +o_lat_p=40 +lon_0=10 +datum=WGS84",
            "+proj=ob_tran +o_proj=moll +o_lat_p=45 +o_lon_p=0 +lon_0=-90 +R=6371007",
            "+proj=omerc +lat_0=4 +lonc=115 +alpha=53.3 +gamma=53.1 +k=0.9998 +x_0=5 +y_0=6 +ellps=evrstSS",
        ],
        8,
    ),
)
def test_crs_reads_back_as_itself(crs: str) -> None:
    given = pyproj.CRS(crs)
    horizontal = given.sub_crs_list[0] if given.is_compound else given
    with opened(write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=UTM, crs=given.to_wkt())) as read:
        found = pyproj.CRS(read.crs.to_wkt())
    # PROJ compares names of datums that it does not know; where it places points is what counts.
    here, there = (
        pyproj.Transformer.from_crs(
            c, c.source_crs if c.is_geographic and c.is_derived else c.geodetic_crs, always_xy=True
        )
        for c in (horizontal, found)
    )
    points = ([5.0, 8.0], [2.0, 12.0]) if horizontal.is_geographic else ([1e5, 6e5], [2e5, 9e5])
    np.testing.assert_allclose(there.transform(*points), here.transform(*points), atol=1e-9)
    assert found.ellipsoid == horizontal.ellipsoid
    assert (found.is_projected, found.is_derived) == (horizontal.is_projected, horizontal.is_derived)


@pytest.mark.parametrize("name", ["pôle tourné | 2", "Gauß"])
def test_names_that_keys_cannot_hold_are_spelt_otherwise(name: str) -> None:
    """Texts of GeoKeys are ASCII, and a bar ends them; only the name of the CRS is not the same then."""
    given = pyproj.CRS("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371229")
    named = pyproj.CRS.from_json_dict(given.to_json_dict() | {"name": name})
    with opened(write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=UTM, crs=named.to_wkt())) as read:
        assert pyproj.CRS(read.crs.to_wkt()).equals(given, ignore_axis_order=True)


def test_rotated_pole_is_read_back_by_this_reader_and_by_gdal(tmp_path) -> None:
    """In the file itself: no file beside it, as GDAL would write it."""
    given = pyproj.CRS("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371229")
    path = tmp_path / "rotated.tif"
    path.write_bytes(write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=UTM, crs=given.to_wkt()))
    with rasterio.open(path) as file:
        assert pyproj.CRS(file.crs.to_wkt()).equals(given, ignore_axis_order=True)
    header = parse_header(SparseBytes(path.read_bytes()), "memory")
    assert pyproj.CRS(header.crs).equals(given, ignore_axis_order=True)


@pytest.mark.parametrize("crs", ["EPSG:4978"])
def test_crs_that_geotiff_cannot_say(crs: str) -> None:
    with pytest.raises(InvalidCrsError, match="cannot be written to a GeoTIFF"):
        write_geotiff(pixels("uint8", (1, 9, 7)), None, transform=UTM, crs=crs)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 0),
        ("int16", -9999),
        ("float32", np.nan),
        ("float32", -3.4028234663852886e38),
        ("float64", 0.1),
        ("float64", -np.inf),
        ("int64", -(2**63)),
        ("uint64", 2**64 - 1),
    ],
)
def test_nodata_alone_marks_pixels(dtype: str, nodata: float) -> None:
    data = pixels(dtype, (2, 20, 30))
    mask = np.random.default_rng(1).random(data.shape) < 0.7
    data[data == np.array(nodata).astype(dtype)] = 1
    data[~mask] = nodata
    with opened(write_geotiff(data, mask, transform=UTM, nodata=nodata)) as read:
        np.testing.assert_array_equal(read.read(), data)
        np.testing.assert_array_equal(read.read_masks() > 0, mask)
        if dtype != "uint64":
            # rasterio gives nodata as a float, and none where that would not be exact.
            assert read.nodata == nodata or (np.isnan(nodata) and np.isnan(read.nodata))


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("nodata", [None, 0])
def test_internal_mask_where_nodata_does_not_tell(bands: int, nodata: int | None) -> None:
    data = pixels("uint8", (bands, 300, 270))
    mask = np.random.default_rng(1).random(data.shape[1:]) < 0.7
    with opened(write_geotiff(data, mask, transform=UTM, nodata=nodata)) as read:
        np.testing.assert_array_equal(read.read(), data)
        np.testing.assert_array_equal(read.read_masks() > 0, np.broadcast_to(mask, data.shape))
        assert read.nodata == nodata


def test_all_valid_although_a_pixel_equals_nodata() -> None:
    data = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    with opened(write_geotiff(data, None, transform=UTM, nodata=3)) as read:
        assert (read.dataset_mask() == 255).all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32"])
def test_bands_that_differ_in_validity_get_a_nodata_value(dtype: str) -> None:
    data = np.arange(24).reshape(2, 3, 4).astype(dtype)
    mask = np.ones(data.shape, dtype=bool)
    mask[0, 0, :2] = mask[1, 2, 3] = False
    with opened(write_geotiff(data, mask, transform=UTM, nodata=7 if dtype == "int16" else None)) as read:
        np.testing.assert_array_equal(read.read_masks() > 0, mask)
        np.testing.assert_array_equal(read.read()[mask], data[mask])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", "int64", "float64"])
def test_nodata_lies_between_values_where_the_extremes_are_used(dtype: str) -> None:
    data = np.arange(24).reshape(2, 3, 4).astype(dtype)
    mask = np.ones(data.shape, dtype=bool)
    mask[0, 0, 0] = False
    used = [np.nan, np.inf, -np.inf] if dtype == "float64" else [np.iinfo(dtype).min, np.iinfo(dtype).max, 0]
    data[1, 0, :3] = used
    with opened(write_geotiff(data, mask, transform=UTM)) as read:
        np.testing.assert_array_equal(read.read_masks() > 0, mask)
        np.testing.assert_array_equal(read.read()[mask], data[mask])


def test_no_value_left_for_nodata() -> None:
    data = np.arange(512).reshape(2, 16, 16).astype(np.uint8)
    mask = np.ones(data.shape, dtype=bool)
    mask[0, 0, 0] = False
    with pytest.raises(InvalidArgumentError, match=r"no value of uint8 is left.*own file"):
        write_geotiff(data, mask, transform=UTM)


def test_descriptions() -> None:
    names = ["B04", None, 'a <b> & "c" é']
    with opened(write_geotiff(pixels("int16", (3, 5, 6)), None, transform=UTM, descriptions=names)) as read:
        assert list(read.descriptions) == names


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "bands, height, width"),
        (np.zeros((1, 0, 2)), {}, "bands, height, width"),
        (np.zeros((1, 2, 2), dtype=bool), {}, "pixels of bool"),
        (np.zeros((1, 2, 2), dtype=complex), {}, "pixels of complex128"),
        (np.zeros((1, 2, 2), dtype=np.uint8), {"nodata": 300}, "no value of uint8"),
        (np.zeros((1, 2, 2), dtype=np.uint8), {"nodata": float("nan")}, "no value of uint8"),
        (np.zeros((1, 2, 2), dtype=np.uint8), {"descriptions": ["a", "b"]}, "2 descriptions for 1 bands"),
        (np.broadcast_to(np.uint8(0), (1, 70000, 70000)), {}, "4.9 GB"),
    ],
)
def test_what_cannot_be_written(data: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        write_geotiff(data, None, transform=UTM, **options)


def test_big_endian_arrays_are_written_right() -> None:
    data = pixels("uint16", (1, 9, 7))
    with opened(write_geotiff(data.astype(">u2"), None, transform=UTM)) as read:
        np.testing.assert_array_equal(read.read(), data)


@pytest.mark.parametrize("dtype", DTYPES)
def test_our_own_reader_agrees(dtype: str) -> None:
    data = pixels(dtype, (2, 300, 270))
    mask = np.random.default_rng(1).random(data.shape[1:]) < 0.7
    raw = write_geotiff(data, mask, UTM, "EPSG:32632", 5, ["B04", "near infrared"])
    header = parse_header(SparseBytes(raw, len(raw)), "memory")
    level, mask_level = header.levels[0], header.masks[0]
    assert (header.crs, header.transform, header.nodata) == ("EPSG:32632", UTM, (5, 5))
    assert header.descriptions == ("B04", "near infrared")
    assert mask_level is not None
    for sample in range(2):
        np.testing.assert_array_equal(assembled(level.plane(sample), raw), data[sample])
    np.testing.assert_array_equal(assembled(mask_level, raw) > 0, mask)


def assembled(level: Level, raw: bytes) -> np.ndarray:
    """A whole band out of its tiles."""
    out = np.zeros((level.tiles_down * level.tile_height, level.tiles_across * level.tile_width), level.dtype)
    for i, (offset, count) in enumerate(zip(level.offsets.tolist(), level.byte_counts.tolist(), strict=True)):
        row, column = divmod(i, level.tiles_across)
        tile = decode_tile(level, i, raw[offset : offset + count], "memory")[..., 0]
        top, left = row * level.tile_height, column * level.tile_width
        out[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return out[: level.height, : level.width]
