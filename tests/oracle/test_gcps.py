"""Pixels that ground control points place lie where rasterio and GDAL take them from.

WarpedVRT with a grid of its own ignores ground control points, so warps are compared with `rasterio.warp.reproject`,
and places of single pixels with `GCPTransformer`, whose polynomials from places to pixels are those of a warp.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import GCPTransformer
from rasterio.warp import Resampling, reproject

import rasteret_sql
from rasteret_sql.geo.crs import transformer
from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.image_crs import PIXELS, image_crs
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.plan import plan_warp
from rasteret_sql.raster.warp.warp import warp
from tests.gcp_files import control_points, lattice, write_grd, write_pam
from tests.oracle.gdal_approximation import ApproximatingMap
from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
RECORDED = Path(__file__).parent / "recorded" / "homographies.json"
NUMBERS = (2, 3, 4, 5, 6, 7, 9, 10, 15, 25, 60)
CRSS = {"EPSG:32632": ("EPSG:32632", "EPSG:3857", "EPSG:4326"), "EPSG:4326": ("EPSG:4326", "EPSG:3857", "EPSG:32633")}


def random_points(rng, number, size, crs):
    """Points anywhere in an image that is turned, and bent by 0, 2 or 5 %."""
    pixels = rng.uniform(0, 1, (number, 2)) * size
    u, v = (pixels / size - 0.5).T
    bent = rng.uniform(-1, 1, (2, 6)) @ np.array([u * u, u * v, v * v, u**3, v**3, u * u * v])
    cols, rows = pixels.T + rng.choice([0, 0.02, 0.05]) * bent * size[0]
    turn, pixel = rng.uniform(0, 2 * np.pi), 9e-5 if crs == "EPSG:4326" else 10.0
    origin = (rng.uniform(4, 9), rng.uniform(40, 55)) if crs == "EPSG:4326" else (rng.uniform(3e5, 7e5), 5.2e6)
    x = origin[0] + pixel * (np.cos(turn) * cols + np.sin(turn) * rows)
    y = origin[1] + pixel * (np.sin(turn) * cols - np.cos(turn) * rows)
    return np.column_stack([pixels, x, y])


def target_inside(rng, size, crs, onto):
    """A grid of a part of the image: GDAL splits one that reaches beyond it, and each part has a kernel of its own."""
    width, height = size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height), (width / 2, height / 2)], float)
    x, y = transformer(crs, onto).transform(*corners.T)
    area = abs((x[1] - x[0]) * (y[3] - y[0]) - (x[3] - x[0]) * (y[1] - y[0]))
    zoom = rng.choice([0.4, 1, 2.7])
    side, count = np.sqrt(area / (width * height)) * zoom, int(min(size) * 0.6 / zoom)
    return Affine(side, 0, x[4] - side * count / 2, 0, -side, y[4] + side * count / 2), (count, count)


def warped(data, pixel_map, shape, method):
    plan = plan_warp(pixel_map, Window(0, 0, shape[1], shape[0]), data.shape[::-1], method)
    at = plan.source
    part = data[at.row_off : at.row_end, at.col_off : at.col_end]
    return warp(part, part != 0, plan, nodata=0)[0]


@pytest.mark.parametrize("method", ["polynomial", "tps"])
@pytest.mark.parametrize("seed", some(range(12), 12))
def test_warps_of_random_layouts(method, seed):
    """At the places where GDAL's approximation looks, so that nothing else differs."""
    rng = np.random.default_rng((seed, len(method)))
    compared = wrong = 0
    for number in NUMBERS if method == "polynomial" else NUMBERS[2:]:
        size = tuple(rng.integers(40, 110, 2))
        crs = str(rng.choice(list(CRSS)))
        onto = str(rng.choice(CRSS[crs]))
        points = random_points(rng, number, size, crs)
        image = image_crs(Gcps.of(points), crs, method)
        try:
            target, shape = target_inside(rng, size, image, onto)
        except rasteret_sql.RasteretError as error:
            assert number <= 7  # so few may lie too near to one line
            assert "ground control points" in str(error)
            continue
        if not np.isfinite(target).all():
            continue  # the middle of the image is beyond a fold
        if method == "tps" and max(np.corrcoef(each.T)[0, 1] ** 2 for each in np.hsplit(points, 2)) > 0.98:
            continue  # GDAL's spline of such a strip is a line
        data = rng.integers(1, 60_000, size[::-1]).astype(np.uint16)
        data[rng.random(data.shape) < 0.1] = 0
        resampling = str(rng.choice(["nearest", "nearest", "bilinear", "cubic"]))
        theirs = np.zeros(shape, np.uint16)
        reproject(
            data, theirs, gcps=control_points(points), src_crs=crs, dst_crs=onto,
            dst_transform=rasterio.Affine(*target), src_nodata=0, dst_nodata=0, resampling=Resampling[resampling],
            **({"SRC_METHOD": "GCP_TPS"} if method == "tps" else {}),
        )  # fmt: skip
        ours = warped(data, ApproximatingMap(target, onto, PIXELS, image, size), shape, resampling)
        off = np.abs(ours.astype(int) - theirs)
        assert off.max() <= 1 or resampling == "nearest", (number, crs, onto, resampling)  # halves round to either side
        compared += theirs.size
        wrong += np.count_nonzero(off) if resampling == "nearest" else 0
    assert compared > 5_000
    assert wrong <= compared / 2_000


def test_homographies_of_gdal_3_12():
    recorded = json.loads(RECORDED.read_text())
    assert recorded["gdal"].startswith("3.12")
    source = np.arange(1, 1201, dtype=np.uint16).reshape(30, 40)
    for case in recorded["cases"]:
        shape = tuple(case["shape"])
        theirs = np.frombuffer(zlib.decompress(base64.b64decode(case["pixels"])), "<u2").reshape(shape)
        image = image_crs(Gcps.of(case["points"]), case["crs"], case["method"])
        pixel_map = PixelMap(Affine(*case["transform"]), case["onto"], PIXELS, image, (40, 30))
        np.testing.assert_array_equal(warped(source, pixel_map, shape, "nearest"), theirs)
        assert np.count_nonzero(theirs) > 1_000


SIZE = 500, 400
GRD = lattice(SIZE)
ZONE = shapely.from_wkt("POLYGON ((10.98 45.99, 11.005 45.992, 11.01 46.008, 10.99 46.013, 10.98 45.99))")

SCANNED = shapely.from_wkt("POLYGON ((600200 5098600, 600900 5098700, 600700 5099700, 600200 5098600))")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Three images: of a radar, the same with its points in an .aux.xml, and a scanned map with five pins."""
    folder = tmp_path_factory.mktemp("gcps")
    rng = np.random.default_rng(8)
    data = {}
    data["grd"] = rng.integers(1, 60_000, SIZE[::-1]).astype(np.uint16)
    write_grd(folder / "grd.tif", data["grd"], GRD)
    data["pam"] = data["grd"][::-1].copy()
    with rasterio.open(folder / "pam.tif", "w", driver="GTiff", width=SIZE[0], height=SIZE[1], count=1,
                       dtype="uint16", tiled=True, blockxsize=64, blockysize=64) as file:  # fmt: skip
        file.write(data["pam"], 1)
    write_pam(folder / "pam.tif", GRD, "EPSG:4326")
    data["scan"] = rng.integers(1, 255, (300, 200)).astype(np.uint8)
    pins = np.array([(12, 9), (190, 14), (184, 287), (7, 292), (101, 140)], float)
    east, north = 6e5 + 5 * pins[:, 0] + 0.2 * pins[:, 1], 5.1e6 - 5 * pins[:, 1] + 0.1 * pins[:, 0]
    scan = np.column_stack([pins, east + rng.uniform(-9, 9, 5), north + rng.uniform(-9, 9, 5)])
    with rasterio.open(folder / "scan.tif", "w", driver="GTiff", width=200, height=300, count=1, dtype="uint8",
                       compress="lzw") as file:  # fmt: skip
        file.write(data["scan"], 1)
        file.gcps = control_points(scan), rasterio.CRS.from_epsg(32632)
    with rasteret_sql.connect(workspace_dir=folder / "ws") as con:
        con.execute(f"FROM rasteret_build_from_files('{folder}/*.tif', name := 'points')").fetchall()
        yield con, data, {"grd": GRD, "pam": GRD, "scan": scan}


def chip_of(con, scene, *, crs, named=""):
    zone = ZONE if crs == "EPSG:4326" else SCANNED
    (chip,) = con.execute(
        f"SELECT read_chip(id, 1, $1, geom_crs := '{crs}' {named}) FROM rasteret.points WHERE id = '{scene}'",
        [zone.wkt],
    ).fetchone()
    return np.frombuffer(chip["data"], chip["dtype"]).reshape(chip["height"], chip["width"]), chip


@pytest.mark.parametrize("crs", some([None, "EPSG:32632", "EPSG:3857"], 2))
@pytest.mark.parametrize("scene", ["grd", "pam", "scan"])
def test_chips_have_the_pixels_that_gdal_finds_under_their_centres(scenes, scene, crs):
    con, data, points = scenes
    base = "EPSG:32632" if scene == "scan" else "EPSG:4326"
    named = f", crs := '{crs}'" if crs else ""
    named += ", clip := false, gcp := 'polynomial', resampling := 'nearest'"
    chip, said = chip_of(con, scene, crs=base, named=named)
    assert said["crs"] == (crs or base)
    transform = rasterio.Affine(*said["transform"])
    assert transform.b == transform.d == 0
    if crs is None:
        metres = 5 if scene == "scan" else 10
        assert transform.a == -transform.e == pytest.approx(metres if scene == "scan" else metres / 111194.93, rel=1e-2)
    cols, rows = np.meshgrid(np.arange(chip.shape[1]) + 0.5, np.arange(chip.shape[0]) + 0.5)
    x, y = transformer(said["crs"], base).transform(*(transform @ (cols, rows)))
    with GCPTransformer(control_points(points[scene])) as gdal:
        under = [np.reshape(each, chip.shape) for each in gdal.rowcol(x.ravel(), y.ravel(), op=np.float64)]
    near = np.minimum(*(np.abs(each - np.round(each)) for each in under)) < 1e-5  # of a border: rounding decides
    row, col = (np.floor(each).astype(int) for each in under)
    height, width = data[scene].shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    expected = np.zeros(chip.shape, chip.dtype)
    expected[inside] = data[scene][row[inside], col[inside]]
    np.testing.assert_array_equal(np.where(near, 0, chip), np.where(near, 0, expected))
    assert inside.mean() > 0.5


@pytest.mark.parametrize("scene", ["grd", "scan"])
def test_zones_count_the_pixels_of_the_file(scenes, scene):
    """On the file's own pixels, whose centres lie in the zone as GDAL's polynomial takes it there."""
    con, data, points = scenes
    zone = ZONE if scene == "grd" else SCANNED
    crs = "EPSG:4326" if scene == "grd" else "EPSG:32632"
    stats, own = con.execute(
        f"SELECT zonal_stats(id, 1, $1, geom_crs := '{crs}', gcp := 'polynomial'), "
        f"zonal_stats(id, 1, $1, geom_crs := '{crs}') FROM rasteret.points WHERE id = '{scene}'",
        [zone.wkt],
    ).fetchone()
    outline = shapely.segmentize(zone, zone.length / 4000)
    with GCPTransformer(control_points(points[scene])) as gdal:
        row, col = gdal.rowcol(*shapely.get_coordinates(outline).T, op=np.float64)
    height, width = data[scene].shape
    outline = shapely.Polygon(np.column_stack([col, row]))
    inside = rasterize([outline], (height, width), transform=rasterio.Affine.identity())
    pixels = data[scene][inside == 1]
    assert stats["count"] == len(pixels) > 1_000
    assert stats["mean"] == pytest.approx(pixels.mean(), rel=1e-12)
    assert (own == stats) == (scene == "grd")  # five points give a homography


def test_points_have_the_pixel_that_holds_them(scenes):
    con, data, points = scenes
    rng = np.random.default_rng(3)
    xy = rng.uniform((10.975, 45.985), (11.02, 46.015), (300, 2))
    con.execute("CREATE OR REPLACE TABLE p AS SELECT unnest($1) AS lon, unnest($2) AS lat", [*xy.T.tolist()])
    con.execute("CREATE OR REPLACE VIEW radar AS FROM rasteret.points WHERE id = 'grd'")
    found = con.execute("FROM sample_points(radar, p, 1) ORDER BY lon").fetchall()
    alone = con.execute(
        "SELECT sample_point('grd', 1, format('POINT ({} {})', lon, lat), collection := 'points') FROM p ORDER BY lon"
    ).fetchall()
    with GCPTransformer(control_points(points["grd"])) as gdal:
        rows, cols = gdal.rowcol(*xy[np.argsort(xy[:, 0])].T, op=np.floor)
    expected = [
        int(data["grd"][row, col])
        for row, col in zip(map(int, rows), map(int, cols), strict=True)
        if 0 <= row < SIZE[1] and 0 <= col < SIZE[0]
    ]
    assert [row[-1] for row in found] == expected
    assert [value for (value,) in alone if value is not None] == expected
    assert len(expected) > 200
