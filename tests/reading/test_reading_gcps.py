"""Reads of images that ground control points place: what is on which grid, what is refused, what an index keeps."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.rpc import RPC

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError
from tests.gcp_files import lattice, places, write_grd
from tests.sampling import some
from tests.servers.range_server import RangeServer

ROOT = Path(__file__).parents[2]
SIZE = 300, 200
ZONE = "POLYGON ((10.99 45.995, 11.004 45.995, 11.004 46.004, 10.99 46.004, 10.99 45.995))"


def pixels(seed, dtype=np.uint16):
    return np.random.default_rng(seed).integers(1, 200, SIZE[::-1]).astype(dtype)


@pytest.fixture(scope="module")
def radar(tmp_path_factory):
    """Two passes of a radar, one of which is turned a little further, on a server."""
    folder = tmp_path_factory.mktemp("radar")
    for number in range(2):
        points = lattice(SIZE, angle=192 + number)
        write_grd(folder / f"pass{number}_2024010{number + 1}.tif", pixels(number), points)
    with RangeServer(folder) as server, rasteret_sql.connect(workspace_dir=folder / "ws") as con:
        paths = [f"{server.url}/pass{number}_2024010{number + 1}.tif" for number in range(2)]
        con.execute("FROM rasteret_build_from_files($1, name := 'radar', datetime := '_(\\d{8})')", [paths]).fetchall()
        yield con, server, folder


def one(con, expression, *values):
    return con.execute(f"SELECT {expression} FROM rasteret.radar ORDER BY id LIMIT 1", [*values]).fetchone()[0]


def test_no_header_is_read_twice(radar):
    con, server, folder = radar
    with rasteret_sql.connect(workspace_dir=folder / "ws") as later:
        server.reset()
        later.execute("SELECT zonal_stats(id, 1, $1).mean FROM rasteret.radar", [ZONE]).fetchall()
        asked = server.counts()
    con.execute("CREATE OR REPLACE TABLE zones AS SELECT $1 AS wkt", [ZONE])
    (cost,) = con.execute("SELECT sum(requests) FROM rasteret_explain_table(rasteret.radar, zones, 1)").fetchone()
    assert asked["requests"] == cost > 0


def test_footprints_are_those_of_the_map(radar):
    con, _, _ = radar
    footprint, bbox, code = con.execute(
        'SELECT geometry::VARCHAR, bbox, "proj:epsg" FROM rasteret.radar ORDER BY id LIMIT 1'
    ).fetchone()
    along = np.linspace(0, 1, 50)
    cols = np.concatenate([along, 0 * along + 1, 1 - along, 0 * along]) * SIZE[0]
    rows = np.concatenate([0 * along, along, 0 * along + 1, 1 - along]) * SIZE[1]
    true = shapely.Polygon(np.column_stack(places(cols, rows, SIZE)))
    found = shapely.from_wkt(footprint)
    assert found.symmetric_difference(true).area < 1e-3 * true.area
    assert tuple(bbox.values()) == pytest.approx(true.bounds, abs=2e-5)
    assert code == 4326


def test_a_whole_image_has_the_pixels_of_the_file(radar):
    con, _, _ = radar
    chip = one(con, "read_chip(id, 1)")
    assert (chip["data"], chip["transform"], chip["crs"]) == (pixels(0).tobytes(), None, "EPSG:4326")
    placed = one(con, "read_chip(id, 1, gcp := 'polynomial')")
    assert placed["transform"][0] == pytest.approx(10 / 111194.93, rel=1e-6)  # metres of a pixel, rounded to 10.0
    assert (placed["transform"][2] / placed["transform"][0]) % 1 == pytest.approx(0, abs=1e-6)
    rows = con.execute("SELECT count(*), count(x), max(row), max(col) FROM read_pixels(rasteret.radar, 1)").fetchone()
    assert rows == (2 * SIZE[0] * SIZE[1], 0, SIZE[1] - 1, SIZE[0] - 1)


def test_rows_of_pixels_are_those_of_the_chip(radar):
    con, _, _ = radar
    chip = one(con, "read_chip(id, 1, $1, clip := false)", ZONE)
    con.execute("CREATE OR REPLACE VIEW earliest AS FROM rasteret.radar ORDER BY id LIMIT 1")
    found = con.execute(
        'SELECT x, y, "1" FROM read_pixels(earliest, 1, geom := $1, clip := false) ORDER BY y DESC, x', [ZONE]
    ).fetchnumpy()
    a, _, c, _, e, f = chip["transform"]
    np.testing.assert_array_equal(found["1"], np.frombuffer(chip["data"], np.uint16))
    assert found["x"][0] == pytest.approx(c + a / 2, abs=1e-12)
    assert found["y"][-1] == pytest.approx(f + (chip["height"] - 0.5) * e, abs=1e-12)


def test_an_explanation_tells_the_grid_of_the_chip(radar):
    con, _, _ = radar
    chip, said = one(con, "[read_chip(id, 1, $1).transform, rasteret_explain(id, 1, $1).grid.transform]", ZONE)
    assert chip == said


@pytest.mark.parametrize("named", some(["", ", weighted := true", ", gcp := 'tps'"], 3))
def test_zones_together_are_as_zones_apart(radar, named):
    con, _, _ = radar
    con.execute(
        "CREATE OR REPLACE TABLE many AS SELECT i, 10.98 + 0.0013 * i AS w, w + 0.0013 AS e, "
        "format('POLYGON (({0} 46, {1} 46, {1} 46.002, {0} 46.002, {0} 46))', w, e) AS wkt FROM range(30) t(i)"
    )
    together = con.execute(
        "SELECT scene_id, i, count, mean "
        f"FROM zonal_stats_table(rasteret.radar, many, 1, stats := ['count', 'mean'] {named}) ORDER BY ALL"
    ).fetchall()
    apart = con.execute(
        f"SELECT id, i, got.count, got.mean FROM (SELECT id, i, zonal_stats(id, 1, wkt {named}) AS got "
        "FROM rasteret.radar, many) WHERE got IS NOT NULL ORDER BY ALL"
    ).fetchall()
    assert [row[:2] for row in together] == [row[:2] for row in apart]
    assert len(apart) > 40
    np.testing.assert_allclose([row[2:] for row in together], [row[2:] for row in apart], rtol=1e-9)


@pytest.mark.exhaustive  # loads xarray and geopandas
def test_arrays_and_composites_are_on_one_grid(radar, tmp_path):
    con, _, folder = radar
    collection = rasteret_sql.load("radar", workspace_dir=folder / "ws")
    band = collection.bands[0]
    cube = collection.get_xarray(ZONE, bands=[band])
    assert cube.sizes["time"] == 2
    assert collection.get_xarray(ZONE, bands=[band], gcp="tps")[band].shape == cube[band].shape
    chip = one(con, "read_chip(id, 1, $1)", ZONE)
    np.testing.assert_array_equal(
        cube[band].to_numpy()[0, 0], np.frombuffer(chip["data"], np.uint16).reshape(chip["height"], -1)
    )
    assert collection.native_res()[0] == chip["transform"][0]
    outlines = collection.footprints()
    assert outlines.crs == "EPSG:4326"
    assert outlines.geometry[0].contains(shapely.Point(11, 46))
    scenes, mean = con.execute(
        "SELECT scenes, chip FROM read_mosaic(rasteret.radar, 1, $1, method := 'mean')", [ZONE]
    ).fetchone()
    assert (scenes, mean["transform"]) == (2, chip["transform"])
    window = collection.read_window(
        record_ids=[con.execute("SELECT min(id) FROM rasteret.radar").fetchone()[0]],
        bounds=(10.99, 45.995, 11.004, 46.004), res=1e-4, bands=[band],
    )  # fmt: skip
    assert window.shape == (1, 90, 140)
    assert (window > 0).all()


@pytest.mark.exhaustive
def test_an_export_places_pixels_as_well(radar, tmp_path):
    con, _, _ = radar
    con.execute(f"FROM rasteret_export('radar', '{tmp_path}/export')").fetchall()
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as other:
        other.execute(f"FROM rasteret_load('{tmp_path}/export', name := 'radar')").fetchall()
        assert one(other, "zonal_stats(id, 1, $1)", ZONE) == one(con, "zonal_stats(id, 1, $1)", ZONE)


def test_across_180_degrees(tmp_path):
    points = lattice(SIZE, at=(180, -17))
    assert points[:, 2].min() < -179
    data = pixels(5)
    write_grd(tmp_path / "a.tif", data, points)
    with rasteret_sql.connect() as con:
        boxes = [
            f"POLYGON (({west} -17.004, {east} -17.004, {east} -16.996, {west} -16.996, {west} -17.004))"
            for west, east in ((179.995, 180.003), (-180.005, -179.997), (179.995, 180), (-180, -179.997))
        ]
        counts = [
            con.execute(f"SELECT zonal_stat('{tmp_path}/a.tif', 1, $1, 'count')", [box]).fetchone()[0] for box in boxes
        ]
        assert counts[0] == counts[1] == counts[2] + counts[3]
        assert counts[0] > 5_000
        (bbox,) = con.execute(f"SELECT bbox FROM rasteret_files('{tmp_path}/a.tif')").fetchone()
        assert (bbox["xmin"], bbox["xmax"]) == (-180, 180)
        chip = con.execute(f"SELECT read_chip('{tmp_path}/a.tif', 1, crs := 'EPSG:3832')").fetchone()[0]
        assert np.count_nonzero(np.frombuffer(chip["data"], np.uint16)) == pytest.approx(data.size, rel=0.1)


BAD = {
    "one": (lambda grid: grid[:1], "has 1 ground control point, and a polynomial of order 1 needs 3 or more"),
    "line": (lambda grid: grid[:21], "the pixels of the 21 ground control points of the file lie on one line"),
    "lines": (
        lambda grid: grid[[*range(21), *range(-21, 0)]],
        "two lines, .* no polynomial of order 2; use gcp := 'tps'",
    ),
    "twice": (lambda grid: np.repeat(grid[[0, 20, 100]], 3, 0), "9 ground control points, of which 3 differ"),
    "no homography": (lambda grid: grid[[0, 10, 20, -1]], "determine no homography: three of four lie on one line"),
    "not finite": (lambda grid: np.where(grid == grid[5, 2], np.nan, grid), "values that are not finite"),
}


@pytest.mark.parametrize("name", some(BAD, 2))
def test_layouts_that_place_nothing_are_refused(tmp_path, name):
    change, message = BAD[name]
    write_grd(tmp_path / "a.tif", pixels(0), change(lattice(SIZE)))
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        for call in (f"zonal_stats(id, 1, '{ZONE}')", f"read_chip(id, 1, '{ZONE}')", "read_chip(id, 1, crs := 3857)"):
            with pytest.raises(Exception, match=message):
                con.execute("SELECT " + call.replace("id", f"'{tmp_path}/a.tif'", 1)).fetchall()
        assert con.execute(f"SELECT read_chip('{tmp_path}/a.tif', 1)").fetchone()[0]["data"] == pixels(0).tobytes()
        status, bbox = con.execute(
            f"SELECT status, bbox FROM rasteret_build_from_files('{tmp_path}/a.tif', name := 'bad')"
        ).fetchone()
        assert re.search(message, status)
        assert bbox is None
        given = con.execute("SELECT zonal_stats(id, 1, $1, on_error := 'null') FROM rasteret.bad", [ZONE]).fetchone()
        assert given == (None,)


def test_splines_are_refused_where_a_pixel_has_two_places(tmp_path):
    points = lattice(SIZE)
    points[5, :2] = points[4, :2]
    write_grd(tmp_path / "a.tif", pixels(0), np.concatenate([points, points[:3]]))
    with rasteret_sql.connect() as con, pytest.raises(Exception, match=r"pixel \(60, 0\) and different places"):
        con.execute(f"SELECT zonal_stats('{tmp_path}/a.tif', 1, '{ZONE}', gcp := 'tps')").fetchall()


def rpcs():
    names = ("height", "lat", "line", "long", "samp")
    numbers = {f"{name}_{part}": 1.0 for name in names for part in ("off", "scale")}
    lists = {f"{name}_{part}_coeff": [1.0] * 20 for name in ("line", "samp") for part in ("num", "den")}
    return RPC(**numbers, **lists, err_bias=None, err_rand=None)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_has_no_points_says_so(tmp_path):
    profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "placed.tif", "w", crs="EPSG:32632", transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5.1e6), **profile
    ):
        pass
    with rasterio.open(tmp_path / "rpc.tif", "w", **profile) as file:
        file.rpcs = rpcs()
    write_grd(tmp_path / "no_crs.tif", pixels(0), lattice(SIZE), keys=None)
    write_grd(tmp_path / "ok.tif", pixels(0), lattice(SIZE))
    expected = {
        ("placed", "gcp := 'tps'"): "gcp := 'tps' cannot be used: .* has a transform and no ground control points",
        ("rpc", "gcp := 'tps'"): "has RPCs and no ground control points",
        ("rpc", "all_touched := true"): r"placed by RPCs .*not supported.* orthorectify it first, .*gdalwarp -rpc",
        ("no_crs", "all_touched := true"): "ground control points, and neither it nor the item says their CRS",
        ("ok", "gcp := 'spline'"): "gcp := 'spline' cannot be used; expected one of polynomial, tps, homography",
        ("ok", "gcp := 2"): "gcp := 2 cannot be used; expected text",
    }
    with rasteret_sql.connect() as con:
        for (name, named), message in expected.items():
            with pytest.raises(Exception, match=message):
                con.execute(f"SELECT zonal_stats('{tmp_path}/{name}.tif', 1, '{ZONE}', {named})").fetchall()
        assert con.execute(f"SELECT read_chip('{tmp_path}/rpc.tif', 1).width").fetchone() == (30,)
        with pytest.raises(Exception, match=r"orthorectify it first, .* or leave crs, resolution, shape and align out"):
            con.execute(f"SELECT read_chip('{tmp_path}/rpc.tif', 1, resolution := 5)").fetchall()
    collection = rasteret_sql.build_from_files(f"{tmp_path}/ok.tif", name="ok", workspace_dir=tmp_path / "ws")
    with pytest.raises(InvalidArgumentError, match="expected one of polynomial, tps, homography"):
        collection.get_numpy(ZONE, bands=collection.bands, gcp="affine")


def test_the_statements_of_the_page(tmp_path, monkeypatch):
    (tmp_path / "radar").mkdir()
    for number in range(2):
        write_grd(tmp_path / "radar" / f"pass_2024010{number + 1}.tif", pixels(number), lattice(SIZE))
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "grids.md").read_text("utf-8")
    (block,) = re.findall(r"<!-- test: sql -->\n```sql\n(.*?)```", page, re.DOTALL)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con, warnings.catch_warnings():
        warnings.simplefilter("error")
        scenes, means, chips = (con.execute(text).fetchall() for text in block.split(";") if text.strip())
    assert [name for name, *_ in scenes] == [name for name, _ in means] == [name for name, _ in chips]
    assert all(abs(mean - 100) < 2 for _, mean in means)
    assert {(chip["crs"], chip["transform"][0]) for _, chip in chips} == {("EPSG:32632", 20)}
