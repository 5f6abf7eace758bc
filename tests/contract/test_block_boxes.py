"""Boxes that are exactly blocks of a file: each reads its own tile and no other, on grids whose corners round."""

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import rasteret_sql
from rasteret_sql.connection import session_for
from tests.contract.scenes import item, write_items
from tests.sampling import some
from tests.servers.range_server import RangeServer

SIDE, TILE = 10, 32
"""Tiles on a side of an image, and pixels on a side of a tile. The last row and column of tiles are cut."""
PIXELS = SIDE * TILE - 20
GRIDS = {
    "tenth_of_a_degree": ("EPSG:4326", from_origin(-10.3, 46.7, 0.1, 0.1)),
    "metres": ("EPSG:32632", from_origin(600_000, 5_100_000, 10, 10)),
    "quarter_milli_degree": ("EPSG:4326", from_origin(10.00013, 46.0007, 0.00025, 0.00025)),
    "third_of_ten_metres": ("EPSG:32632", from_origin(600_000.3, 5_100_000.7, 10 / 3, 10 / 3)),
    "web_mercator": ("EPSG:3857", from_origin(-13630599.4, 4548725.3, 0.5971642834779395, 0.5971642834779395)),
    "south_up": ("EPSG:32632", rasterio.Affine(10 / 3, 0, 600_000.1, 0, 10 / 3, 5_100_000.2)),
}


def placed_item(folder, name):
    with rasterio.open(folder / f"{name}.tif") as file:
        bounds = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    west, east = sorted(bounds[::2])
    south, north = sorted(bounds[1::2])
    box = shapely.box(west, south, east, north)
    return item(name, b=f"{name}.tif") | {"geometry": shapely.geometry.mapping(box), "bbox": [west, south, east, north]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    rng = np.random.default_rng(8)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "width": PIXELS, "height": PIXELS, "tiled": True}
    for name, (crs, transform) in GRIDS.items():
        path = folder / f"{name}.tif"
        with rasterio.open(
            path, "w", crs=crs, transform=transform, blockxsize=TILE, blockysize=TILE, **profile
        ) as file:
            file.write(rng.integers(0, 60_000, (PIXELS, PIXELS), dtype="uint16"), 1)
    write_items(folder / "items.json", [placed_item(folder, name) for name in GRIDS])
    with RangeServer(folder) as running:
        running.folder = folder
        yield running


@pytest.fixture(scope="module")
def con(server, tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        connection.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
        yield connection


def block_box(name, col, row, *, across=1, down=1, out=0.0):
    """The box of some blocks, each side further out by so many pixels."""
    transform = GRIDS[name][1]
    left, top = col * TILE - out, row * TILE - out
    right, bottom = min((col + across) * TILE, PIXELS) + out, min((row + down) * TILE, PIXELS) + out
    (x0, y0), (x1, y1) = transform @ (left, top), transform @ (right, bottom)
    return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def inner_boxes(name):
    """64 blocks with others around them on two sides, and the image's end on the other two."""
    return [block_box(name, col, row) for row in range(2, SIDE) for col in range(2, SIDE)]


def table(con, boxes):
    con.register("__given", pa.table({"n": range(len(boxes)), "geom": shapely.to_wkb(boxes)}))
    con.execute("CREATE OR REPLACE TABLE boxes AS FROM __given")


READS = {
    "read_chip": "SELECT count(read_chip('{name}', 'b', geom, geom_crs := '{crs}')) FROM boxes",
    "zonal_stats": "SELECT sum(zonal_stats('{name}', 'b', geom, geom_crs := '{crs}').count) FROM boxes",
    "weighted": "SELECT sum(zonal_stats('{name}', 'b', geom, geom_crs := '{crs}', weighted := true).sum) FROM boxes",
    "zonal_stats_table": "SELECT sum(count) FROM zonal_stats_table(one, boxes, 'b', geom_crs := '{crs}')",
    "read_chips": "SELECT count(chip) FROM read_chips(one, boxes, 'b', geom_crs := '{crs}')",
}


@pytest.mark.parametrize(("read", "name"), some([(read, name) for name in GRIDS for read in READS], 7))
def test_so_many_blocks_read_so_many_tiles(con, server, read, name):
    table(con, inner_boxes(name))
    session_for(con).engine.cache.clear()
    one = f"WITH one AS (SELECT '{name}' AS id) " if "one" in READS[read] else ""
    con.execute("FROM rasteret_stats(clear := true)").fetchall()
    con.execute(one + READS[read].format(name=name, crs=GRIDS[name][0])).fetchall()
    assert con.execute("SELECT tiles - cache_hits, pairs_planned FROM rasteret_stats()").fetchall() == [(64, 64)]


@pytest.mark.parametrize("name", GRIDS)
def test_a_block_costs_the_bytes_of_its_tile(con, server, name):
    with rasterio.open(server.folder / f"{name}.tif") as file:
        pixels = file.read(1)
        sizes = [int(file.get_tag_item(f"BLOCK_SIZE_{n}_{n}", "TIFF", bidx=1)) for n in range(SIDE)]
    for n in (1, 4, 7):
        table(con, [block_box(name, n, n)])
        session_for(con).engine.cache.clear()
        server.reset()
        ((chip,),) = con.execute(
            f"SELECT read_chip('{name}', 'b', geom, geom_crs := '{GRIDS[name][0]}') FROM boxes"
        ).fetchall()
        assert (server.counts()["requests"], server.counts()["bytes"]) == (1, sizes[n])
        block = slice(n * TILE, (n + 1) * TILE)
        got, valid = rasteret_sql.to_numpy(chip)
        np.testing.assert_array_equal(got[0], pixels[block, block])
        assert valid.all()


@pytest.mark.parametrize("name", some(GRIDS, 4))
def test_get_numpy_takes_blocks(server, tmp_path, name):
    crs, transform = GRIDS[name]
    collection = rasteret_sql.build_from_stac(
        name="w", stac_api=f"{server.url}/items.json", query=f"id = '{name}'", workspace_dir=tmp_path / "ws"
    )
    assert len(collection) == 1
    boxes = [block_box(name, col, row) for row in range(SIDE - 1) for col in range(SIDE - 1)]
    pixels, info = collection.get_numpy(boxes, ["b"], geometry_crs=crs, return_info=True)
    assert pixels.shape == (len(boxes), TILE, TILE)
    with rasterio.open(server.folder / f"{name}.tif") as file:
        whole = file.read(1)[: (SIDE - 1) * TILE, : (SIDE - 1) * TILE]
    blocks = whole.reshape(SIDE - 1, TILE, SIDE - 1, TILE).swapaxes(1, 2).reshape(pixels.shape)
    np.testing.assert_array_equal(pixels, blocks)
    corners = [transform @ (col * TILE, row * TILE) for row in range(SIDE - 1) for col in range(SIDE - 1)]
    np.testing.assert_allclose([[t[2], t[5]] for t in info["transform"].to_pylist()], corners, rtol=1e-12)


def window(con, name, geometry):
    table(con, [geometry])
    sql = f"SELECT unnest(rasteret_explain('{name}', 'b', geom, geom_crs := '{GRIDS[name][0]}')) FROM boxes"
    (found,) = con.execute(f"SELECT col_off, row_off, width, height FROM ({sql})").fetchall()
    return found


@pytest.mark.parametrize("name", some(GRIDS, 3))
def test_a_millionth_of_a_pixel_is_rounding_and_more_is_not(con, name):
    assert window(con, name, block_box(name, 3, 4, out=0.9e-6)) == (96, 128, 32, 32)
    assert window(con, name, block_box(name, 3, 4, out=-0.9e-6)) == (96, 128, 32, 32)
    assert window(con, name, block_box(name, 3, 4, out=2e-6)) == (95, 127, 34, 34)
    assert window(con, name, block_box(name, 2, 5, across=3, down=2, out=0.5e-6)) == (64, 160, 96, 64)
    assert window(con, name, shapely.MultiPolygon([block_box(name, 3, 4, out=0.5e-6)])) == (96, 128, 32, 32)
    assert window(con, name, block_box(name, 0, 0, across=SIDE, down=SIDE, out=0.5e-6)) == (0, 0, PIXELS, PIXELS)


def test_only_boxes_of_whole_blocks_are_rounded(con):
    """Others have the window that rasterio gives them."""
    name = "third_of_ten_metres"
    whole = block_box(name, 3, 4, out=0.5e-6)
    west, south, east, north = whole.bounds
    size = GRIDS[name][1].a
    triangle = shapely.Polygon([(west, south), (east, south), (east, north)])
    beside = shapely.box(west + size, south, east, north)
    assert window(con, name, triangle) == (95, 127, 34, 34)
    assert window(con, name, beside) == (96, 127, 33, 34)
