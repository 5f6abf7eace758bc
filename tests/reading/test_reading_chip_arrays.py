"""`to_numpy` and `from_numpy`: chips of SQL as arrays and back, through DuckDB and Arrow."""

import io

import affine
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

import rasteret_sql
from rasteret_sql.result_types import CHIP
from tests.contract.scenes import item, write_items
from tests.sampling import examples, some

TRANSFORM = (10.0, 0.0, 600_000.0, 0.0, -10.0, 5_100_000.0)
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        yield connection


def through_duckdb(con, chip):
    return con.execute("SELECT $1", [chip]).fetchone()[0]


def through_arrow(_con, chip):
    return pa.array([chip], CHIP)[0]


def through_numpy(con, chip):
    """As DuckDB's arrays have it, and pandas made of them."""
    found = con.execute("SELECT $1 AS chip", [chip]).fetchnumpy()["chip"][0]
    return found | {"data": bytearray(found["data"]), "height": np.int32(found["height"])}


def through_a_table(con, chip):
    con.execute("CREATE OR REPLACE TEMP TABLE chips AS SELECT $1 AS chip", [chip])
    return con.execute("FROM chips").fetchone()[0]


@pytest.mark.parametrize("way", some([through_duckdb, through_arrow, through_numpy, through_a_table], 3))
@pytest.mark.parametrize("dtype", DTYPES)
def test_there_and_back(con, dtype, way):
    rng = np.random.default_rng(3)
    array = rng.integers(0, 100, (2, 5, 3)).astype(dtype)
    mask = rng.random(array.shape) > 0.4
    chip = rasteret_sql.from_numpy(array, transform=TRANSFORM, crs=32632, mask=mask, bands=["red", "nir"])
    given = way(con, chip)
    pixels, valid = rasteret_sql.to_numpy(given)
    assert pixels.dtype == np.dtype(dtype)
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, array)
    np.testing.assert_array_equal(valid, mask)
    again = rasteret_sql.from_numpy(pixels, transform=TRANSFORM, crs="EPSG:32632", mask=valid, bands=["red", "nir"])
    assert again == chip


@settings(max_examples=examples(100))
@given(st.integers(0, 2**32 - 1), st.sampled_from(DTYPES), st.integers(1, 3), st.booleans())
def test_functions_on_chips_take_an_array(con, seed, dtype, bands, with_nodata):
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 9, (bands, *rng.integers(1, 9, 2))).astype(dtype)
    nodata = 4 if with_nodata else None
    masked = np.ma.masked_array(array, rng.random(array.shape) > 0.8)
    chip = rasteret_sql.from_numpy(masked, transform=TRANSFORM, crs=32632, nodata=nodata)
    valid = ~np.ma.getmaskarray(masked) & (array != 4 if with_nodata else True)
    count, total, values = con.execute(
        "SELECT s.count, s.sum, chip_values($1, band := $2) FROM (SELECT chip_stats($1, band := $2) AS s)",
        [chip, bands],
    ).fetchone()
    assert count == valid[-1].sum()
    assert (total or 0) == array[-1][valid[-1]].astype(float).sum()
    want = [float(value) if ok else None for value, ok in zip(array[-1].flat, valid[-1].flat, strict=True)]
    assert values == want


def test_an_array_becomes_a_geotiff(con):
    array = np.arange(24, dtype="float32").reshape(2, 3, 4)
    chip = rasteret_sql.from_numpy(array, transform=TRANSFORM, crs=32632, nodata=5, bands=["a", "b"])
    (data,) = con.execute("SELECT chip_geotiff($1)", [chip]).fetchone()
    with MemoryFile(io.BytesIO(data)) as file, file.open() as dataset:
        np.testing.assert_array_equal(dataset.read(), array)
        assert dataset.transform == affine.Affine(*TRANSFORM)
        assert dataset.crs.to_epsg() == 32632
        assert dataset.descriptions == ("a", "b")
        np.testing.assert_array_equal(dataset.read_masks() > 0, array != 5)


def test_what_read_chip_gives(con, tmp_path):
    path = tmp_path / "nodata.tif"
    array = np.arange(30, dtype="int16").reshape(5, 6)
    profile = {"driver": "GTiff", "width": 6, "height": 5, "count": 1, "dtype": "int16", "crs": "EPSG:32632"}
    with rasterio.open(path, "w", nodata=7, transform=affine.Affine(*TRANSFORM), **profile) as dataset:
        dataset.write(array, 1)
    write_items(tmp_path / "items.json", [item("n", b="nodata.tif")])
    items = tmp_path / "items.json"
    con.execute(f"FROM rasteret_build_from_stac('n', '{items}')").fetchall()
    chip = con.execute("SELECT read_chip(id, 'b') FROM rasteret.n").fetchone()[0]
    pixels, mask = rasteret_sql.to_numpy(chip)
    np.testing.assert_array_equal(pixels, array[np.newaxis])
    np.testing.assert_array_equal(mask, array[np.newaxis] != 7)
    assert rasteret_sql.from_numpy(array, transform=chip["transform"], crs=chip["crs"], nodata=7, bands=["b"]) == chip


def test_forms_of_place_nodata_and_mask():
    array = np.zeros((2, 2), ">i2")
    made = rasteret_sql.from_numpy
    assert made(array, transform=affine.Affine(*TRANSFORM))["transform"] == TRANSFORM
    assert {
        made(array, crs=crs)["crs"]
        for crs in (32632, "epsg:32632", pyproj.CRS(32632), rasterio.crs.CRS.from_epsg(32632))
    } == {"EPSG:32632"}
    assert made(array)["crs"] is made(array)["transform"] is made(array)["nodata"] is made(array)["mask"] is None
    assert made(np.array([[1, 256]], ">u2"))["data"] == bytes([1, 0, 0, 1])
    assert made(np.array([[True, False]]))["dtype"] == "uint8"
    assert made(np.array([[1.0, np.nan]]), nodata=np.nan)["mask"] == bytes([1, 0])
    assert made(np.array([[2**53, 2**53 + 1]]), nodata=2**53 + 1)["mask"] == bytes([1, 0])
    assert made(np.ones((2, 1, 2), "u1"), mask=[[True, False]])["mask"] == bytes([1, 0, 1, 0])
    assert made(array.T[:, ::-1], bands="only")["bands"] == ["only"]


@pytest.mark.parametrize(
    ("array", "named", "message"),
    [
        (np.zeros(4), {}, r"shape \(4,\); expected \(height, width\)"),
        (np.zeros((0, 4)), {}, "none of them 0"),
        (np.zeros((2, 2), complex), {}, "complex128; expected integers"),
        (np.array([["a"]]), {}, "expected integers"),
        (np.zeros((2, 2), "u1"), {"nodata": 256}, "nodata=256 is no value of uint8"),
        (np.zeros((2, 2), "u1"), {"nodata": np.nan}, "nodata=nan is no value of uint8"),
        (np.zeros((2, 2)), {"mask": [True]}, r"mask has the shape \(1,\)"),
        (np.zeros((2, 2)), {"bands": ["a", "b"]}, "does not name the 1 band"),
        (np.zeros((2, 2)), {"transform": (1, 2, 3)}, "is no affine; expected six numbers"),
        (np.zeros((2, 2)), {"transform": (0, 0, 0, 0, 0, 0)}, "cannot be inverted"),
        (np.zeros((2, 2)), {"crs": "nowhere"}, "CRS .* is not known"),
    ],
)
def test_arrays_that_are_no_chip(array, named, message):
    with pytest.raises(ValueError, match=message):
        rasteret_sql.from_numpy(array, **named)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": b"123"}, "3 bytes of data do not hold"),
        ({"dtype": "nope"}, "not a CHIP"),
        ({"height": "x"}, "not a CHIP"),
        ({"data": None}, "data or dtype is NULL"),
        ({"mask": b"1"}, "not a CHIP"),
    ],
)
def test_values_that_are_no_chip(change, message):
    chip = rasteret_sql.from_numpy(np.zeros((2, 2), "u1"))
    with pytest.raises(ValueError, match=message):
        rasteret_sql.to_numpy(chip | change)


def test_null_and_other_things_are_no_chip():
    with pytest.raises(ValueError, match="the chip is NULL"):
        rasteret_sql.to_numpy(None)
    with pytest.raises(ValueError, match="the chip is NULL"):
        rasteret_sql.to_numpy(pa.array([None], CHIP)[0])
    with pytest.raises(ValueError, match="lacks dtype"):
        rasteret_sql.to_numpy({"data": b"", "mask": None})
    with pytest.raises(TypeError, match="expected a CHIP, a dict"):
        rasteret_sql.to_numpy(b"")


@pytest.mark.parametrize(("dtype", "nodata"), [("int64", 2**63 - 1), ("int64", -(2**63)), ("uint64", 2**64 - 1)])
def test_nodata_at_the_ends_of_64_bits(con, dtype, nodata):
    """As a DOUBLE, which a chip has, the largest integers are one more than themselves."""
    array = np.array([[nodata, 1], [2, 3]], dtype)
    through_a_table(con, rasteret_sql.from_numpy(array, transform=TRANSFORM, crs=32632, nodata=nodata))
    masked = con.execute("SELECT chip_mask(chip, 'band_1 = 3'), chip_values(chip) FROM chips").fetchone()
    assert masked[1] == [None, 1, 2, 3]
    pixels, valid = rasteret_sql.to_numpy(masked[0])
    assert pixels.tolist() == [[[nodata, 1], [2, nodata]]]
    assert valid.tolist() == [[[False, True], [True, False]]]
    for data in con.execute("SELECT chip_geotiff(chip), chip_cog(chip) FROM chips").fetchone():
        with MemoryFile(data) as memory, memory.open() as file:
            assert file.read_masks(1).tolist() == [[0, 255], [255, 255]]
            assert (file.read(1) == array).all()


def test_nodata_that_no_pixel_has(con):
    array, mask = np.ones((2, 2), np.uint8), np.array([[True, True], [True, False]])
    chip = rasteret_sql.from_numpy(array, transform=TRANSFORM, crs=32632, mask=mask)
    said = r"nodata := -9999\.0 is no value of uint8; expected an integer from 0 to 255"
    through_a_table(con, chip | {"nodata": -9999.0})
    for call in ("chip_mask(chip, 'band_1 = 1')", "chip_geotiff(chip)", "chip_math('band_1', chip)"):
        with pytest.raises(Exception, match=said):
            con.execute(f"SELECT {call} FROM chips").fetchall()
