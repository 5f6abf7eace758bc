"""Which pixels are valid equals rasterio's masks, band by band, however a file says it."""

import json

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NodataShadowWarning")

SIZE = (37, 45)
LEFT, TOP = 600_000, 5_100_000
PROFILE = {
    "driver": "GTiff", "width": SIZE[1], "height": SIZE[0], "crs": "EPSG:32632", "tiled": True, "blockxsize": 16,
    "blockysize": 16, "compress": "deflate", "transform": from_origin(LEFT, TOP, 10, 10),
}  # fmt: skip

TUPLES = {
    "chunky": {"values": "1 2 3", "interleave": "pixel"},
    "planar": {"values": "1 2 3", "interleave": "band"},
    "with nodata": {"values": "1 2 3", "nodata": 4, "interleave": "band"},
    "too few": {"values": "1 2", "nodata": 4},
    "too many": {"values": "1 2 3 4", "nodata": 4},
    "out of range": {"values": "1 2 300", "nodata": 4, "dtype": "uint8"},
    "fraction": {"values": "1.5 2 3.9", "dtype": "int16"},
    "negative": {"values": "-1 2 3", "dtype": "int16"},
    "no number": {"values": "x 1 2", "nodata": 4},
    "spaces": {"values": " 1  2 3 "},
    "float": {"values": "0.1 2 3", "dtype": "float32"},
    "float, nearly": {"values": "1.0000001 2 3", "dtype": "float32"},
    "NaN": {"values": "1 nan 3", "dtype": "float32"},
    "double": {"values": "0.1 2 3", "dtype": "float64", "interleave": "band"},
    "int64": {"values": "1 2 3", "dtype": "int64"},
    "int8": {"values": "-1 2 3", "dtype": "int8"},
    "mask": {"values": "1 2 3", "mask": True},
    "alpha": {"values": "1 2 3 0", "count": 4, "dtype": "uint8", "photometric": "RGB", "alpha": "YES"},
    "one band": {"values": "1", "count": 1, "nodata": 4},
    "overviews": {"values": "1 2 3", "overviews": [2], "interleave": "band"},
    "sparse": {"values": "1 2 4", "nodata": 4, "sparse_ok": True, "empty": True, "interleave": "band"},
    "sparse, all": {"values": "0 0 0", "sparse_ok": True, "empty": True},
}


def write(path, options, seed=1):
    """Random pixels of few values, so that all bands often have theirs at once."""
    options = {"count": 3, "dtype": "uint16", **options}
    values, mask, overviews, empty, last = (
        options.pop(k, None) for k in ("values", "mask", "overviews", "empty", "last")
    )
    rng = np.random.default_rng(seed)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **PROFILE, **options) as file:
        if last:
            file.colorinterp = [*[ColorInterp.undefined] * (options["count"] - 1), ColorInterp.alpha]
        if mask:
            file.write_mask(rng.random(SIZE) > 0.3)
        if values is not None:  # after the mask: GDAL makes no mask where the tag tells already
            file.update_tags(NODATA_VALUES=values)
        for band in range(1, options["count"] + 1):
            pixels = rng.choice(np.array([band, band, 4, 0]), SIZE).astype(options["dtype"])
            if values and options["dtype"].startswith("float"):
                pixels[pixels == 1] = float(values.split()[0])
                pixels[rng.random(SIZE) < 0.1] = np.nan
            elif values and options["dtype"].startswith("int"):
                pixels[pixels == 1] = int(float(values.split()[0]))
            if empty:
                file.write(pixels[:16, :16], band, window=rasterio.windows.Window(0, 0, 16, 16))
            else:
                file.write(pixels, band)
        if overviews:
            file.build_overviews(overviews, rasterio.enums.Resampling.nearest)


def catalog(directory, files, **assets):
    """A file of items, one for each of the files, whose assets say more."""
    features = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [],
            "geometry": {"type": "Point", "coordinates": [10.0, 46.0]}, "bbox": [10.0, 46.0, 10.0, 46.0],
            "properties": {"datetime": "2024-01-01T00:00:00Z"},
            "assets": {"b": {"href": str(path), "type": "image/tiff", **assets.get(name, {})}},
        }
        for name, path in files.items()
    ]  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(directory / "items.json")


def build(con, address, name="valid"):
    query = "SELECT id, status FROM rasteret_build_from_stac(name := ?, stac_api := ?)"
    rows = con.execute(query, [name, address]).fetchall()
    assert {status for _, status in rows} <= {"ok"}


@pytest.fixture(scope="module")
def tuples(tmp_path_factory):
    """A connection with a collection of files that have NODATA_VALUES, and the files; band b_n, or b of one band."""
    directory = tmp_path_factory.mktemp("tuples")
    files = {name: directory / f"{name}.tif".replace(" ", "_") for name in TUPLES}
    for name, path in files.items():
        write(path, TUPLES[name])
    with rasteret_sql.connect(workspace_dir=directory / "ws") as con:
        build(con, catalog(directory, files))
        yield con, files


def chip_masks(con, scene, bands, more=""):
    """(pixels, True where valid), each (bands, height, width)."""
    row = con.execute(f"SELECT c.* FROM (SELECT read_chip(?, ?{more}) AS c)", [scene, bands]).fetchone()
    data, mask, dtype, _, height, width = row[:6]
    shape = (len(bands), height, width)
    pixels = np.frombuffer(data, dtype).reshape(shape)
    return pixels, np.ones(shape, bool) if mask is None else np.frombuffer(mask, np.uint8).reshape(shape) != 0


def names(count):
    """A file of one band beside others in one collection has its band called b_1."""
    return [f"b_{n}" for n in range(1, count + 1)]


@pytest.mark.parametrize("kind", some(TUPLES, 3))
def test_nodata_of_all_bands_hides_what_rasterio_hides(tuples, kind):
    con, files = tuples
    with rasterio.open(files[kind]) as source:
        count = source.count - ("alpha" in kind)
        expected = source.read_masks()[:count] != 0
        together, valid = chip_masks(con, kind, names(count))
        np.testing.assert_array_equal(together, source.read()[:count])
        np.testing.assert_array_equal(valid, expected)
        for band in range(count):
            alone, of_one = chip_masks(con, kind, [names(count)[band]])
            np.testing.assert_array_equal(alone[0], source.read(band + 1))
            np.testing.assert_array_equal(of_one[0], expected[band])


@pytest.mark.parametrize("kind", ["chunky", "planar", "with nodata", "float", "alpha"])
def test_statistics_and_points_leave_out_what_all_bands_hide(tuples, kind):
    con, files = tuples
    zone = shapely.box(LEFT + 33, TOP - 301, LEFT + 262, TOP - 48)
    with rasterio.open(files[kind]) as source:
        inside = rasterio.features.geometry_mask([zone], SIZE, source.transform, invert=True)
        pixels = source.read(2)
        valid = (source.read_masks(2) != 0) & inside & ~np.isnan(pixels)  # statistics have no NaN
        query = "SELECT s.count, s.sum FROM (SELECT zonal_stats(?, 'b_2', ?, geom_crs := 'EPSG:32632') AS s)"
        count, total = con.execute(query, [kind, zone.wkt]).fetchone()
        assert count == valid.sum()
        assert total == pytest.approx(pixels[valid].sum(dtype="float64"))
        for row, col in [(2, 3), (10, 20), *np.argwhere(source.read_masks(2) == 0)[:3]]:
            x, y = source.transform * (col + 0.5, row + 0.5)
            query = "SELECT sample_point(?, 'b_2', ?, geom_crs := 'EPSG:32632')"
            found = con.execute(query, [kind, f"POINT ({x} {y})"]).fetchone()[0]
            expected = pixels[row, col] if source.read_masks(2)[row, col] else None
            assert found == expected or (np.isnan(found) and np.isnan(expected))


@pytest.mark.parametrize("kind", ["chunky", "planar", "with nodata", "one band", "alpha", "mask"])
def test_sums_of_many_zones_leave_out_what_rasterio_hides(tuples, kind):
    con, files = tuples
    rng = np.random.default_rng(7)
    left, top = rng.uniform(0, 300, (2, 40))
    zones = shapely.box(LEFT + left, TOP - top - 70, LEFT + left + 90, TOP - top)
    zones[0] = shapely.box(LEFT, TOP - 1000, LEFT + 1000, TOP)  # all of it
    con.execute("CREATE OR REPLACE TABLE zones (n INTEGER, geom VARCHAR)")
    con.executemany("INSERT INTO zones VALUES (?, ?)", [[n, zone.wkt] for n, zone in enumerate(zones)])
    call = "zonal_stats_table(scene, zones, 'b_1', geom_crs := 32632, stats := ['count', 'sum'])"
    query = f"WITH scene AS (SELECT '{kind}' AS id) SELECT n, count, coalesce(sum, 0) FROM {call}"
    found = {n: pair for n, *pair in con.execute(query).fetchall()}
    assert len(found) > 30
    with rasterio.open(files[kind]) as source:
        pixels = source.read(1)
        valid = (source.read_masks(1) != 0) & ~np.isnan(pixels)
        for n, zone in enumerate(zones):
            outside = rasterio.features.geometry_mask([zone], SIZE, source.transform)
            if outside.all():
                continue
            inside = valid & ~outside
            assert found[n] == pytest.approx([inside.sum(), pixels[inside].sum(dtype="float64")]), n


def test_overviews_have_the_values_of_all_bands_too(tuples):
    con, _ = tuples
    pixels, valid = chip_masks(con, "overviews", names(3), ", overview := 1")
    np.testing.assert_array_equal(valid, np.broadcast_to(~(pixels == [[[1]], [[2]], [[3]]]).all(axis=0), valid.shape))
    assert not valid.all()


def test_the_nearest_valid_pixel_passes_over_what_all_bands_hide(tuples):
    con, files = tuples
    with rasterio.open(files["planar"]) as source:
        mask = source.read_masks(1) != 0
        row, col = np.argwhere(~mask)[0]
        x, y = source.transform * (col + 0.5, row + 0.5)
    query = "SELECT sample_point('planar', 'b_1', ?, geom_crs := 'EPSG:32632', max_distance_pixels := 3)"
    assert con.execute(query, [f"POINT ({x} {y})"]).fetchone()[0] is not None


@pytest.mark.parametrize(("kind", "tiles"), [("chunky", 9), ("planar", 27), ("too few", 9)])
def test_a_plan_counts_the_tiles_of_other_bands(tuples, kind, tiles):
    con, _ = tuples
    query = "SELECT e.tiles, e.validity, e.files FROM (SELECT rasteret_explain(?, 'b_1') AS e)"
    found, validity, files = con.execute(query, [kind]).fetchone()
    assert (found, len(files)) == (tiles, 1)
    assert validity == ["nodata 4" if kind == "too few" else "nodata of all bands (1 2 3)"]


def test_a_chip_written_as_a_file_hides_the_same_pixels(tuples, tmp_path):
    con, files = tuples
    for kind in ("chunky", "with nodata", "float"):
        data = con.execute("SELECT chip_geotiff(read_chip(?, ['b_1', 'b_2', 'b_3']))", [kind]).fetchone()[0]
        (tmp_path / "chip.tif").write_bytes(data)
        with rasterio.open(tmp_path / "chip.tif") as chip, rasterio.open(files[kind]) as source:
            np.testing.assert_array_equal(chip.read_masks(), source.read_masks())
            np.testing.assert_array_equal(chip.read(), source.read())


def test_an_export_keeps_the_nodata_of_all_bands(tuples, tmp_path):
    con, files = tuples
    con.execute("FROM rasteret_export('valid', ?)", [str(tmp_path / "out")]).fetchall()
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as other:
        other.execute("FROM rasteret_load(?, name := 'loaded')", [str(tmp_path / "out")]).fetchall()
        for kind in ("chunky", "planar"):
            with rasterio.open(files[kind]) as source:
                np.testing.assert_array_equal(chip_masks(other, kind, names(3))[1], source.read_masks() != 0)


ALPHAS = {
    "drone": {"count": 5, "dtype": "uint8", "interleave": "pixel", "last": True},
    "second of five": {"count": 5, "dtype": "uint8"},
    "drone, planar": {"count": 5, "dtype": "uint16", "interleave": "band", "last": True},
    "drone with nodata": {"count": 5, "dtype": "uint8", "nodata": 4},
    "drone with values": {"count": 5, "dtype": "uint8", "values": "1 2 3 4 5"},
    "drone with a mask": {"count": 5, "dtype": "uint8", "mask": True},
    "float": {"count": 2, "dtype": "float32"},
    "rgba": {"count": 4, "dtype": "uint8"},
    "grey and alpha": {"count": 2, "dtype": "uint16"},
    "rgba with values": {"count": 4, "dtype": "uint8", "values": "1 2 3 4"},
}


@pytest.fixture(scope="module")
def alphas(tmp_path_factory):
    directory = tmp_path_factory.mktemp("alphas")
    files = {name: directory / f"{name}.tif".replace(" ", "_") for name in ALPHAS}
    for name, path in files.items():
        write(path, {"alpha": "YES", **ALPHAS[name]})
    with rasteret_sql.connect(workspace_dir=directory / "ws") as con:
        with pytest.warns(RuntimeWarning, match=r"alpha := 'always'") as told:
            build(con, catalog(directory, files), "alphas")
        assert [one for one in told if "drone" in str(one.message)]
        yield con, files


@pytest.mark.parametrize("kind", some(ALPHAS, 3))
def test_alpha_counts_as_rasterio_has_it_or_always(alphas, kind):
    con, files = alphas
    with rasterio.open(files[kind]) as source:
        pixels, masks = source.read(), source.read_masks() != 0
        alpha = source.colorinterp.index(ColorInterp.alpha)
    seen = pixels[alpha] != 0
    both = kind == "drone with nodata"  # then alpha and nodata both count, by 'always' alone
    bands = [band for band in range(len(pixels)) if band != alpha]
    assert bands
    for band in bands:
        _, auto = chip_masks(con, kind, [f"b_{band + 1}"])
        np.testing.assert_array_equal(auto[0], masks[band])
        _, always = chip_masks(con, kind, [f"b_{band + 1}"], ", alpha := 'always'")
        np.testing.assert_array_equal(always[0], masks[band] & seen)
        assert not both or not np.array_equal(always[0], seen)


def test_every_read_takes_alpha(alphas):
    con, files = alphas
    with rasterio.open(files["drone"]) as source:
        pixels, seen = source.read(1), source.read(source.colorinterp.index(ColorInterp.alpha) + 1) != 0
        hidden = np.argwhere(~seen)[0]
        x, y = source.transform * (hidden[1] + 0.5, hidden[0] + 0.5)
        zone = shapely.box(*source.bounds).wkt
    crs = "geom_crs := 'EPSG:32632'"
    for alpha, count in (("auto", seen.size), ("always", seen.sum())):
        query = (
            f"SELECT zonal_stats('drone', 'b_1', $1, {crs}, alpha := $2).count, "
            f"zonal_stat('drone', 'b_1', $1, 'sum', {crs}, alpha := $2), "
            f"sample_point('drone', 'b_1', $3, {crs}, alpha := $2), "
            f"rasteret_explain('drone', 'b_1', alpha := $2).validity[1]"
        )
        found = con.execute(query, [zone, alpha, f"POINT ({x} {y})"]).fetchone()
        kept = np.ones(SIZE, bool) if alpha == "auto" else seen
        point = pixels[tuple(hidden)] if alpha == "auto" else None
        assert found == (count, pixels[kept].sum(), point, "all valid" if alpha == "auto" else "alpha")
    with pytest.raises(Exception, match="alpha := 'never' cannot be used; expected 'auto' or 'always'"):
        con.execute("SELECT read_chip('drone', 'b_1', alpha := 'never')").fetchall()
