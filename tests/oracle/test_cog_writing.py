"""Cloud-Optimized GeoTIFFs, checked by rio-cogeo and read by rasterio."""

from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags
from rasterio.io import MemoryFile

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.chip_files import CogOptions, cog_of
from tests.sampling import some, some_tuples

UTM = Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 5_100_000.0)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
SIZES = ((4, 4), (64, 80), (129, 65), (65, 300))


def chip(dtype, shape, *, holes=True, bands=2, nodata=None):
    rng = np.random.default_rng(7)
    data = rng.integers(1, 100, (bands, *shape)).astype(dtype)
    valid = np.ones(data.shape, bool)
    if holes:
        valid[:, : shape[0] // 2, : shape[1] // 3] = False
    return Chip(data, valid, tuple(f"B0{n}" for n in range(1, bands + 1)), UTM, "EPSG:32632", nodata)


@contextmanager
def opened(raw):
    with MemoryFile(raw) as file, file.open() as read:
        yield read


def check(raw, tmp_path):
    """Raise unless the file is a COG by rio-cogeo, strictly."""
    validate = pytest.importorskip("rio_cogeo").cog_validate
    path = tmp_path / "chip.tif"
    path.write_bytes(raw)
    ok, errors, warnings = validate(path, strict=True, quiet=True)
    assert (ok, errors, warnings) == (True, [], [])


@pytest.mark.parametrize("compression", some(["deflate", "zstd"], 2))
@pytest.mark.parametrize("shape", some_tuples([(4, 4), (513, 1300), (600, 520)], 2))
def test_the_validator_accepts_them(tmp_path, shape, compression):
    check(cog_of(chip("uint16", shape), CogOptions(compression)), tmp_path)


@pytest.mark.parametrize("dtype", some(DTYPES, 5))
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("nodata", [None, 0])
def test_pixels_and_validity_come_back(dtype, shape, nodata):
    given = chip(dtype, shape, nodata=nodata)
    with opened(cog_of(given, CogOptions(block_size=64))) as read:
        data, mask = read.read(), read.dataset_mask() != 0
        assert (read.dtypes, read.crs.to_epsg(), tuple(read.transform)[:6]) == ((dtype,) * 2, 32632, tuple(UTM))
        assert read.descriptions == given.bands
        halves = next(n for n in range(9) if max(shape) // 2**n <= 64)
        assert read.overviews(1) == [2**n for n in range(1, halves + 1)]
    np.testing.assert_array_equal(mask, given.valid[0])
    np.testing.assert_array_equal(data[given.valid], given.data[given.valid])


def test_overviews_average_valid_pixels_alone():
    data = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    valid = np.ones(data.shape, bool)
    valid[0, :2, :2] = False
    valid[0, 0, 2] = False
    grown = np.kron(data, np.ones((1, 32, 32), np.float32))
    made = Chip(grown, np.kron(valid, np.ones((1, 32, 32), bool)).astype(bool), ("b",), UTM, "EPSG:32632", -1.0)
    with MemoryFile(cog_of(made, CogOptions(block_size=64))) as file, file.open(OVERVIEW_LEVEL=0) as read:
        overview = read.read(1, masked=True)
        assert (read.height, read.width, read.nodata) == (64, 64, -1.0)
    # Each pixel of 4 x 4 is 16 of the overview.
    np.testing.assert_array_equal(overview.mask[::16, ::16], ~valid[0])
    np.testing.assert_array_equal(overview.filled(-1)[::16, ::16][valid[0]], data[valid])


def test_bands_of_classes_are_not_averaged():
    data = np.zeros((2, 80, 80), np.uint8)
    data[:, ::2] = 4
    made = Chip(data, None, ("SCL", "B04"), UTM, "EPSG:32632", None)
    with MemoryFile(cog_of(made, CogOptions(block_size=64))) as file, file.open(OVERVIEW_LEVEL=0) as read:
        assert set(np.unique(read.read(1))) <= {0, 4}
        assert set(np.unique(read.read(2))) == {2}


def test_an_average_that_equals_nodata_is_moved_off_it():
    data = np.full((1, 80, 80), 4, np.uint8)
    data[:, ::2] = 6
    data[0, :20, :20] = 5
    valid = data != 5
    with (
        MemoryFile(cog_of(Chip(data, valid, ("b",), UTM, None, 5.0), CogOptions(block_size=64))) as file,
        file.open(OVERVIEW_LEVEL=0) as read,
    ):
        mask = read.read_masks(1) != 0
    assert mask.sum() == 40 * 40 - 10 * 10


def test_what_bands_differ_in_goes_into_nodata():
    given = chip("int16", (8, 8))
    given.valid[1] = True
    with opened(cog_of(given, CogOptions())) as read:
        assert read.nodata == -32768
        masks = read.read_masks() != 0
    np.testing.assert_array_equal(masks, given.valid)


def test_one_mask_is_stored_for_all_bands_and_overviews():
    with MemoryFile(cog_of(chip("uint8", (130, 130)), CogOptions(block_size=64))) as file:
        for level in (None, 0, 1):
            with file.open(**({} if level is None else {"OVERVIEW_LEVEL": level})) as read:
                assert read.mask_flag_enums == ([MaskFlags.per_dataset],) * 2
                assert 0 < np.count_nonzero(read.read_masks(1) == 0) < read.height * read.width // 2


def test_statistics_scale_and_offset_are_said():
    data = np.arange(16, dtype=np.int16).reshape(1, 4, 4)
    valid = data >= 4
    made = cog_of(Chip(data, valid, ("b & <c>",), UTM, None, -1.0), CogOptions(scales=(0.0001,), offsets=(-0.1,)))
    with opened(made) as read:
        tags = read.tags(1)
        assert (read.scales, read.offsets, read.descriptions) == ((0.0001,), (-0.1,), ("b & <c>",))
    values = data[valid].astype(float)
    assert float(tags["STATISTICS_MINIMUM"]) == 4
    assert float(tags["STATISTICS_MAXIMUM"]) == 15
    assert float(tags["STATISTICS_MEAN"]) == pytest.approx(values.mean())
    assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(values.std())
    assert float(tags["STATISTICS_VALID_PERCENT"]) == 75


def test_a_chip_without_a_valid_pixel(tmp_path):
    data = np.ones((1, 70, 70), np.float32)
    raw = cog_of(Chip(data, np.zeros(data.shape, bool), ("b",), UTM, None, float("nan")), CogOptions(block_size=64))
    with opened(raw) as read:
        assert not read.dataset_mask().any()
        assert "STATISTICS_MEAN" not in read.tags(1)
    check(raw, tmp_path)


def test_a_chip_without_a_place():
    raw = cog_of(Chip(np.ones((1, 4, 4), np.uint8), None, ("b",), None, None, None), CogOptions())
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), opened(raw) as read:
        assert (read.crs, read.read().sum()) == (None, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "lzma"}, "compression := 'lzma' cannot be used; expected 'deflate' or 'zstd'"),
        ({"block_size": 100}, "block_size := 100 cannot be used; expected a multiple of 16 from 64 to 4096"),
        ({"block_size": 0}, "block_size := 0"),
        ({"resampling": "sum"}, "resampling := 'sum'"),
        ({"scales": (0.0,)}, "numbers other than 0"),
        ({"offsets": (float("nan"),)}, "finite numbers"),
        ({"scales": (1.0, 2.0, 3.0)}, "scales := has 3 numbers, and the chip 2 bands"),
    ],
)
def test_options_that_are_none(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        cog_of(chip("uint8", (4, 4)), CogOptions(**options))


def test_the_file_is_read_again_by_our_own_reader(tmp_path):
    (tmp_path / "chip.tif").write_bytes(cog_of(chip("uint16", (130, 130)), CogOptions("zstd", 64)))
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        found = con.execute(
            "SELECT c.height, c.bands, chip_stats(c).count, read_chip($1, 1, overview := 2).height "
            "FROM (SELECT read_chip($1, [1, 2]) AS c)",
            [str(tmp_path / "chip.tif")],
        ).fetchone()
    assert found == (130, ["B01", "B02"], 130 * 130 - 65 * 43, 32)
