"""zonal_hist equals numpy's counts of the pixels that rasterio reads, and exactextract's fractions where weighted."""

import numpy as np
import pytest
import rasterio
import rasterio.mask
import shapely
from exactextract import exact_extract
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import some, some_tuples

GRID = from_origin(600_000, 5_100_000, 10, 10)
SHAPE = (61, 83)
ZONES = [
    shapely.Polygon([(600_105, 5_099_905), (600_570, 5_099_880), (600_322, 5_099_470)]),
    shapely.box(599_000, 5_099_700, 600_404, 5_101_000),
    shapely.MultiPolygon(
        [shapely.box(600_013, 5_099_931, 600_117, 5_099_972), shapely.Point(600_600, 5_099_600).buffer(88)]
    ),
]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
KINDS = [("float32", float("nan"))] + [(dtype, nodata) for dtype in DTYPES for nodata in (None, 7)]


def image(dtype, seed):
    """Few distinct values, negative ones and zeros of both signs among them where the dtype has them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0 if dtype.startswith("u") else -9, 10, SHAPE).astype(dtype)
    if dtype.startswith("float"):
        values = values / 4
        values[rng.random(SHAPE) < 0.1] = -0.0
    return values.astype(dtype)


def write(path, pixels, nodata=None):
    profile = {"driver": "GTiff", "width": SHAPE[1], "height": SHAPE[0], "count": 1, "dtype": pixels.dtype.name}
    tiling = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, **tiling, nodata=nodata, crs="EPSG:32632", transform=GRID) as target:
        target.write(pixels, 1)


def build(con, path, name):
    """The file as scene `one`, with its band `b`, of a collection."""
    place = "'POLYGON ((10 45, 11 45, 11 47, 10 47, 10 45))' AS geometry"
    con.execute(f"CREATE TABLE {name} AS SELECT 'one' AS id, DATE '2024-01-01' AS datetime, '{path}' AS href, {place}")
    call = "FROM rasteret_build_from_table($1, href_column := 'href', band_index_map := {'b': 0})"
    con.execute(call, [name]).fetchall()


@pytest.fixture(scope="module", params=some_tuples(KINDS, 5), ids=lambda kind: f"{kind[0]}-{kind[1]}")
def file(request, tmp_path_factory):
    dtype, nodata = request.param
    path = tmp_path_factory.mktemp("hist") / "image.tif"
    pixels = image(dtype, DTYPES.index(dtype))
    if nodata is not None:
        pixels[10:20, 5:60] = nodata
    write(path, pixels, nodata)
    return path


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("workspace")) as con:
        yield con


@pytest.fixture(scope="module")
def scenes(con, file):
    """The collection of the file."""
    name = file.parent.name
    build(con, file, name)
    return name


def ours(con, collection, zone, named=""):
    call = f"zonal_hist('one', 'b', $1, geom_crs := 32632, collection := $2{named})"
    keys, counts = con.execute(
        f"SELECT map_keys(h), map_values(h) FROM (SELECT {call} AS h)", [zone.wkt, collection]
    ).fetchone()
    assert keys == sorted(keys)
    return dict(zip(keys, counts, strict=True))


@pytest.mark.parametrize("zone", some(ZONES, 4), ids=["triangle", "box", "parts"])
@pytest.mark.parametrize("touched", some([False, True], 2))
def test_counts_equal_those_of_the_pixels_that_rasterio_masks(con, scenes, file, zone, touched):
    with rasterio.open(file) as source:
        pixels, _ = rasterio.mask.mask(source, [zone], all_touched=touched, filled=False, crop=True)
    values, counts = np.unique(np.ma.masked_invalid(pixels).compressed().astype(float), return_counts=True)
    assert counts.sum() > 100
    assert ours(con, scenes, zone, f", all_touched := {touched}") == dict(
        zip(values.tolist(), counts.tolist(), strict=True)
    )


@pytest.mark.parametrize("zone", some(ZONES, 4), ids=["triangle", "box", "parts"])
def test_weighted_counts_equal_the_fractions_of_exactextract(con, scenes, file, zone):
    with rasterio.open(file) as source:
        valid = source.read_masks(1).astype(bool)
        pixels = source.read(1).astype(np.float64)
        inside = {"type": "Feature", "geometry": shapely.geometry.mapping(zone), "properties": {}}
        cells = exact_extract(source, inside, ["cell_id", "coverage"])[0]["properties"]
    wanted = {}
    for cell, fraction in zip(cells["cell_id"], cells["coverage"], strict=True):
        row, col = divmod(int(cell), SHAPE[1])
        if valid[row, col] and fraction > 0:
            value = pixels[row, col] + 0.0
            wanted[value] = wanted.get(value, 0.0) + float(fraction)
    assert len(wanted) > 5
    # exactextract keeps fractions in 32 bits
    assert ours(con, scenes, zone, ", weighted := true") == pytest.approx(wanted, abs=1e-4)


def test_integers_that_are_one_number_in_64_bit_floats_count_together(con, tmp_path):
    wide = np.full(SHAPE, 2**60, np.int64)
    wide[:, ::2] += 1
    write(tmp_path / "wide.tif", wide)
    build(con, tmp_path / "wide.tif", "wide")
    # from the left border to the centre of column 40, 30 rows from the top
    assert ours(con, "wide", shapely.box(599_000, 5_099_700, 600_404, 5_101_000)) == {float(2**60): 40.0 * 30}


def test_more_values_than_a_call_may_hold_are_an_error_that_names_the_remedy(tmp_path):
    write(tmp_path / "noise.tif", np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE))
    everywhere = shapely.box(599_000, 5_000_000, 700_000, 5_200_000).wkt
    # a window has 20,252 bytes of pixels, its histogram 81,008
    with rasteret_sql.connect(workspace_dir=tmp_path / "workspace", max_call_bytes=100_000) as con:
        build(con, tmp_path / "noise.tif", "noise")
        call = "zonal_hist(id, 'b', $1, geom_crs := 32632, all_touched := r = 0)"
        rows = f"SELECT len(map_keys({call})) FROM rasteret.noise, range($2) AS t(r)"
        assert con.execute(rows, [everywhere, 1]).fetchall() == [(SHAPE[0] * SHAPE[1],)]
        with pytest.raises(Exception, match="zonal_hist is for classes, use zonal_stats for measurements"):
            con.execute(rows, [everywhere, 2]).fetchall()
