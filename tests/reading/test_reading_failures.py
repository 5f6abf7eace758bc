"""What one row cannot have is that row's error, named, or its NULL; the other rows have theirs."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.engine.scheduler import shared_engine
from rasteret_sql.errors import RasteretError
from tests.sampling import some

ZONE = "POLYGON ((600010 5099990, 600300 5099990, 600010 5099700, 600010 5099990))"
HERE = f"'{ZONE}', geom_crs := 32632"
FILES = {
    "half": {"overviews": [2, 4]},
    "third": {"overviews": [3]},
    "float": {"dtype": "float32"},
}


def write(path, crs="EPSG:32632", dtype="uint8", overviews=()):
    """64 × 64 pixels of 10 m in tiles of 16."""
    pixels = np.random.default_rng(1).integers(1, 200, (64, 64)).astype(dtype)
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": dtype, "crs": crs}
    profile |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "transform": from_origin(600_000, 5_100_000, 10, 10)}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels, 1)
        dataset.build_overviews(list(overviews), rasterio.enums.Resampling.nearest)
    return str(path)


def feature(scene, assets):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene,
        "links": [],
        "geometry": {"type": "Point", "coordinates": [10.3, 46.0]},
        "bbox": [10.2, 45.9, 10.4, 46.1],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {name: {"href": href, "type": "image/tiff"} for name, href in assets.items()},
    }


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("failures")


@pytest.fixture(scope="module")
def con(directory):
    """Scene `here` in UTM 32 with the bands of FILES, scene `gone` whose file was taken away after the build."""
    assets = {name: write(directory / f"{name}.tif", **options) for name, options in FILES.items()}
    lost = write(directory / "lost.tif")
    features = [feature("here", assets), feature("gone", {"half": lost})]
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with rasteret_sql.connect(workspace_dir=directory / "ws") as con:
        con.execute("FROM rasteret_build_from_stac('k', ?)", [str(directory / "items.json")])
        (directory / "lost.tif").unlink()
        yield con


def one(con, expression):
    return con.execute(f"SELECT {expression}").fetchone()[0]


@pytest.mark.parametrize(
    "call",
    some(
        [
            "zonal_stats('here', 'half', 'POLYGON ((1e9 1e9, 2e9 1e9, 2e9 2e9, 1e9 1e9))'{})",
            f"zonal_stats('here', 'half', '{ZONE}'{{}})",
            f"zonal_stats('here', 'half', '{ZONE}', geom_crs := 'EPSG:999999'{{}})",
            f"zonal_stats('here', 'half', 'SRID=999999;{ZONE}'{{}})",
            "zonal_stats('here', 'half', 'POLYGON ((nan nan, 1 1, 2 2, nan nan))'{})",
            f"zonal_stats('here', 'none', {HERE}{{}})",
            f"zonal_stats('nowhere', 'half', {HERE}{{}})",
            f"zonal_stats('here', 'half', {HERE}, collection := 'none'{{}})",
            f"zonal_stats('gone', 'half', {HERE}{{}})",
            f"zonal_stats('here', 'half', {HERE}, overview := 7{{}})",
            f"sample_point('here', 'half', {HERE}{{}})",
            "sample_point('gone', 'half', 'POINT (600015 5099985)', geom_crs := 32632{})",
            f"read_chip('here', ['half', 'third'], {HERE}, overview := 1{{}})",
            f"read_chip('here', 'half', {HERE}, fill := 'nan'::DOUBLE{{}})",
            f"read_chip('here', 'half', {HERE}, fill := 256{{}})",
            f"read_chip('here', 'float', {HERE}, fill := 1e300{{}})",
            f"read_chip('gone', 'half', {HERE}{{}})",
            f"rasteret_explain('here', 'half', {HERE}, overview := 7{{}})",
        ],
        3,
    ),
)
def test_a_failing_row_raises_or_is_null(con, call):
    with pytest.raises(Exception, match=call.split("(")[0] + ": ") as caught:
        one(con, call.format(""))
    assert "Error: " in str(caught.value)
    assert one(con, call.format(", on_error := 'null'")) is None


def test_rows_beside_a_failing_one_have_their_values(con):
    zones = [ZONE, "POLYGON ((nan nan, 1 1, 2 2, nan nan))", ZONE, "POLYGON ((1e12 0, 2e12 0, 2e12 1, 1e12 0))"]
    rows = con.execute(
        "SELECT zonal_stats('here', 'half', wkt, geom_crs := crs, on_error := 'null').count FROM "
        "(SELECT unnest($zones) AS wkt, unnest($crs) AS crs)",
        {"zones": zones, "crs": ["EPSG:32632", "EPSG:32632", "EPSG:999999", "EPSG:4326"]},
    ).fetchall()
    assert rows == [(one(con, f"zonal_stats('here', 'half', {HERE}).count"),), (None,), (None,), (None,)]


def test_bands_of_different_overviews_are_not_read_together(con):
    assert one(con, f"read_chip('here', ['half', 'third'], {HERE})")["bands"] == ["half", "third"]
    with pytest.raises(Exception, match=r'scene "here".*half 32 × 32, third 22 × 22'):
        one(con, "read_chip('here', ['half', 'third'], overview := 1)")


def test_a_float_chip_takes_nan_and_infinity_as_fill(con):
    for fill in ("nan", "inf"):
        chip = one(con, f"read_chip('here', 'float', {HERE}, fill := '{fill}'::DOUBLE)")
        valid = np.frombuffer(chip["mask"], bool)
        np.testing.assert_array_equal(np.frombuffer(chip["data"], "<f4")[~valid], np.float32(fill))


@pytest.mark.parametrize("zone", ["POLYGON ((-170 -5, -169 -5, -169 -4, -170 -5))", "POINT (-170 46)"])
def test_what_the_projection_does_not_reach_misses_the_scene(con, zone):
    assert one(con, f"read_chip('here', 'half', '{zone}')") is None
    rows = con.execute(
        f"SELECT read_chip('here', 'half', g).width FROM (VALUES ('{zone}'), ('POINT (10.295138 46.044391)')) AS t(g)"
    ).fetchall()
    assert rows == [(None,), (1,)]


def test_numbers_that_are_no_longitude_and_latitude_are_an_error_that_names_the_scene(con):
    with pytest.raises(Exception, match=r'scene "here", band half: .* has no place in .*geom_crs'):
        one(con, f"zonal_stats('here', 'half', '{ZONE}')")


def test_a_failed_read_names_scene_band_and_file(con, directory):
    shared_engine().cache.clear()
    with pytest.raises(Exception, match=r'read_chip: scene "gone", band half: cannot read .*lost\.tif'):
        one(con, "read_chip('gone', 'half')")


def test_one_chip_beyond_the_limit_is_its_rows_error(con, directory):
    with rasteret_sql.connect(workspace_dir=directory / "ws", max_call_bytes=2_000) as small:
        small.execute("FROM rasteret.k")
        assert one(small, f"read_chip('here', 'half', {HERE}).width") == 29
        with pytest.raises(Exception, match=r'read_chip: scene "here", band half: the window of 64 × 64 .* 2,000'):
            one(small, "read_chip('here', 'half')")
        assert one(small, "read_chip('here', 'half', on_error := 'null')") is None
        with pytest.raises(Exception, match=r"read_chip: the chips of 3 rows need 2,523 bytes"):
            small.execute(
                f"SELECT read_chip('here', band, {HERE}) FROM (VALUES ('half'), ('third'), ('half')) AS t(band)"
            ).fetchall()


@pytest.mark.parametrize("limit", some([0, -1, 1.5, "1GB", True], 4))
def test_a_limit_that_is_no_number_of_bytes_is_refused(limit):
    with pytest.raises(RasteretError, match="max_call_bytes"):
        rasteret_sql.connect(max_call_bytes=limit)
