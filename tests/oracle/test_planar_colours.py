"""A planar file whose colours are converted is read through SQL as rasterio reads it."""

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.windows import Window
from test_valid_pixels import LEFT, PROFILE, SIZE, TOP, build, catalog, chip_masks, names

import rasteret_sql


@pytest.fixture(scope="module")
def cmyk(tmp_path_factory):
    """A connection with a planar CMYK file as the collection `valid`, and the file."""
    directory = tmp_path_factory.mktemp("cmyk")
    path = directory / "cmyk.tif"
    profile = PROFILE | {"count": 4, "dtype": "uint8", "photometric": "CMYK", "interleave": "band"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.random.default_rng(4).integers(0, 256, (4, *SIZE), np.uint8))
    with rasteret_sql.connect(workspace_dir=directory / "ws") as con:
        build(con, catalog(directory, {"cmyk": path}))
        yield con, path


def test_chips_points_and_statistics(cmyk):
    con, path = cmyk
    with rasterio.open(path) as source:
        expected = source.read()
        part = source.read(window=Window(10, 5, 20, 8)).astype(float)
    pixels, _ = chip_masks(con, "cmyk", names(4))
    np.testing.assert_array_equal(pixels, expected)

    places = [(row, col) for row in (0, 17, 36) for col in (0, 15, 16, 44)]
    for band in range(4):
        points = [f"POINT({LEFT + 10 * col + 5} {TOP - 10 * row - 5})" for row, col in places]
        query = "SELECT sample_point('cmyk', ?, point, geom_crs := 'EPSG:32632') FROM (SELECT unnest(?) AS point)"
        values = [value for (value,) in con.execute(query, [f"b_{band + 1}", points]).fetchall()]
        assert values == [expected[band, row, col] for row, col in places]

    box = shapely.box(LEFT + 100, TOP - 130, LEFT + 300, TOP - 50).wkt
    mean = con.execute("SELECT zonal_stats('cmyk', 'b_2', ?, geom_crs := 'EPSG:32632').mean", [box]).fetchone()[0]
    assert mean == pytest.approx(part[1].mean())


def test_the_whole_image_is_one_tile_of_the_plan(cmyk):
    con, path = cmyk
    tiles, size = con.execute("SELECT e.tiles, e.bytes FROM (SELECT rasteret_explain('cmyk', 'b_1') AS e)").fetchone()
    assert tiles == 1
    assert 0 < size <= path.stat().st_size
