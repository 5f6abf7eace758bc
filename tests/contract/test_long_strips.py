"""What a point costs in an image that is one uncompressed strip, also of more than 2 GiB; the files are sparse."""

import sys
from pathlib import Path

import numpy as np
import pytest

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.warning import RasteretWarning
from tests.contract.scenes import item, write_items
from tests.servers.range_server import RangeServer

sys.path.append(str(Path(__file__).parents[1] / "tiff"))
from craft import DOUBLE, LONG8, SHORT, image_tags, tiff

from tests.sampling import some

IN_UTM = "geom_crs := 'EPSG:32632'"
PLACE = {
    33550: (DOUBLE, [10.0, 10.0, 0.0]), 33922: (DOUBLE, [0.0, 0.0, 0.0, 600_000.0, 5_100_000.0, 0.0]),
    34735: (SHORT, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632]),
}  # fmt: skip
FIRST = 8192
SIDES = {"wide": (20_000, 1), "colour": (9_000, 3), "huge": (47_000, 1)}
ROW, COL = 6543, 8765


def write_strip(path, side, samples):
    """An image of zeros in one strip, its pixels behind 8 KiB, with 7, 8, ... at (ROW, COL)."""
    size = side * side * samples
    tags = image_tags(side, side, samples=samples, bits=(SHORT, [8] * samples), photometric=2 if samples == 3 else 1)
    tags |= PLACE | {273: (LONG8, [FIRST]), 279: (LONG8, [size])}
    with path.open("wb") as file:
        file.write(tiff((tags, []), big=True))
        file.truncate(FIRST + size)
        file.seek(FIRST + (ROW * side + COL) * samples)
        file.write(bytes(range(7, 7 + samples)))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strips")
    for name, (side, samples) in SIDES.items():
        write_strip(folder / f"{name}.tif", side, samples)
        assert (folder / f"{name}.tif").stat().st_blocks * 512 < 1 << 20, "the file system writes no sparse files"
    write_items(folder / "items.json", [item(name, **{name: f"{name}.tif"}) for name in SIDES])
    with RangeServer(folder) as running:
        yield running
    for name in SIDES:
        (folder / f"{name}.tif").unlink()


@pytest.mark.parametrize("name", some(SIDES, 3))
def test_a_point_in_one_long_strip_reads_a_few_rows(server, tmp_path, name):
    band = f"{name}_1" if SIDES[name][1] > 1 else name
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        server.reset()
        con.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
        assert server.counts()["requests"] == 1 + len(SIDES)
        for reopened in (False, True):
            session_for(con).engine.cache.clear()
            server.reset()
            for row, col in ((ROW, COL), (ROW, COL - 1)):
                point = f"POINT ({600_005 + 10 * col} {5_099_995 - 10 * row})"
                (value,) = con.execute(
                    f"SELECT sample_point(id, '{band}', '{point}', {IN_UTM}) FROM rasteret.w WHERE id = '{name}'"
                ).fetchone()
                assert value == (7 if col == COL else 0), reopened
            counts = server.counts()
            assert counts["requests"] == 1
            assert counts["bytes"] <= 64 * 1024


def test_a_zone_in_one_long_strip_reads_its_rows_alone(server, tmp_path):
    side, _ = SIDES["huge"]
    left, top = 600_000 + 10 * (COL - 50), 5_100_000 - 10 * (ROW - 50)
    zone = (
        f"POLYGON (({left} {top}, {left + 1000} {top}, {left + 1000} {top - 1000}, {left} {top - 1000}, {left} {top}))"
    )
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
        server.reset()
        (stats,) = con.execute(
            f"SELECT zonal_stats(id, 'huge', '{zone}', {IN_UTM}) FROM rasteret.w WHERE id = 'huge'"
        ).fetchone()
        assert (stats["count"], stats["max"], stats["mean"]) == (10_000, 7.0, pytest.approx(7e-4))
        assert server.counts()["bytes"] <= 102 * side
        assert server.counts()["requests"] <= 5


def test_the_headers_of_long_strips_take_little_room(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
    stored = sum(path.stat().st_size for path in (tmp_path / "ws").rglob("*.parquet"))
    assert stored < 100_000


def test_pixels_placed_by_ground_control_points_are_read_without_a_place(tmp_path):
    image = np.arange(128, dtype=np.uint8).reshape(8, 16)
    points = [0.0, 0.0, 0.0, 10.0, 50.0, 0.0, 16.0, 8.0, 0.0, 11.0, 49.0, 0.0]
    (tmp_path / "gcp.tif").write_bytes(tiff((image_tags(16, 8) | {33922: (DOUBLE, points)}, [image.tobytes()])))
    write_items(tmp_path / "items.json", [item("gcp", b="gcp.tif")])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        with pytest.warns(RasteretWarning, match="only whole images of it can be read: gcp"):
            con.execute(f"FROM rasteret_build_from_stac('w', '{tmp_path / 'items.json'}')").fetchall()
        chip = con.execute("SELECT read_chip(id, 'b') FROM rasteret.w").fetchone()[0]
        assert chip["data"] == image.tobytes()
