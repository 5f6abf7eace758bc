"""Ground control points of a file and of the .aux.xml beside it are those that rasterio tells."""

import numpy as np
import pytest
import rasterio
from craft import DOUBLE, SHORT, grey, tiff

from rasteret_sql.index.read.file_headers import read_header
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
IMAGE = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
POINTS = [[0, 0, 0, 10, 50, 0], [40, 0, 9, 11, 50.1, 7], [0, 30, 0, 10.1, 49, 0], [40, 30, 0, 11.2, 49.2, 0]]
MATRIX = [8, 3, 0, 5e5, 2, -9, 0, 4.6e6, 0, 0, 0, 0, 0, 0, 0, 1]
GRID = "<GeoTransform>1.0, 2.0, 0.0, 3.0, 0.0, -4.0</GeoTransform>"
WORLD = "2\n0\n0\n-3\n1001\n2001.5\n"


def keys(code=4326, *, point=False):
    model, key = (2, 2048) if code == 4326 else (1, 3072)
    return [1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 2 if point else 1, key, 0, 1, code]


def listed(crs="EPSG:32633", number=4, points=None):
    points = points or [
        f'<GCP Id="{at}" Info="" Pixel="{at}.5" Line="{at * at}" X="{500 + at}" Y="-{600 + 3 * at}.25"/>'
        for at in range(number)
    ]
    return f'<GCPList Projection="{crs}">{"".join(points)}</GCPList>'


CASES = {
    "tiepoints": {"tags": {33922: POINTS}},
    "of pixel centres": {"tags": {33922: POINTS}, "keys": keys(point=True)},
    "one tiepoint": {"tags": {33922: POINTS[:1]}},
    "no keys": {"tags": {33922: POINTS}, "keys": None},
    "projected": {"tags": {33922: POINTS}, "keys": keys(32633)},
    "with a scale": {"tags": {33922: POINTS, 33550: [10, 10, 0]}},
    "with a scale of 0": {"tags": {33922: POINTS, 33550: [0, 0, 0]}},
    "with a matrix": {"tags": {33922: POINTS, 34264: MATRIX}},
    "cut short": {"tags": {33922: np.ravel(POINTS)[:20]}},
    "world file": {"tags": {33922: POINTS}, "world": WORLD},
    "aux.xml": {"pam": listed(), "keys": None},
    "aux.xml and keys": {"pam": listed()},
    "aux.xml and tiepoints": {"tags": {33922: POINTS}, "pam": listed()},
    "aux.xml and a transform": {"tags": {33922: POINTS[:1], 33550: [10, 10, 0]}, "pam": listed(), "keys": keys(32633)},
    "aux.xml with both": {"pam": GRID + listed()},
    "aux.xml with a transform": {"tags": {33922: POINTS}, "pam": GRID},
    "aux.xml without a point": {"tags": {33922: POINTS}, "pam": listed(number=0)},
    "aux.xml with one point": {"tags": {33922: POINTS}, "pam": listed(number=1)},
    "aux.xml with a CRS": {"tags": {33922: POINTS}, "pam": "<SRS>EPSG:32632</SRS>"},
    "aux.xml with two CRS": {"pam": "<SRS>EPSG:32632</SRS>" + listed(), "keys": None},
    "aux.xml and world file": {"pam": listed(), "world": WORLD},
    "RPCs": {"tags": {50844: np.arange(92.0)}},
    "RPCs and tiepoints": {"tags": {50844: np.arange(92.0), 33922: POINTS}},
    "RPCs of an aux.xml": {"pam": '<Metadata domain="RPC"><MDI key="LINE_OFF">1</MDI></Metadata>'},
}


@pytest.mark.parametrize("name", CASES)
def test_as_rasterio_has_them(tmp_path, name):
    case = {"tags": {}, "keys": keys(), "pam": None, "world": None} | CASES[name]
    tags, tiles = grey(IMAGE)
    tags |= {tag: (DOUBLE, np.ravel(values).tolist()) for tag, values in case["tags"].items()}
    if case["keys"] is not None:
        tags |= {34735: (SHORT, case["keys"])}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff((tags, tiles)))
    if case["pam"] is not None:
        (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{case['pam']}</PAMDataset>")
    if case["world"] is not None:
        (tmp_path / "a.tfw").write_text(case["world"])
    found = run(read_header(str(path), default_backend())).header
    header = found.band(0)
    with rasterio.open(path) as file:
        theirs, crs = file.gcps
        has_transform = not file.transform.is_identity
        assert found.rpcs == ("RPC" in file.tag_namespaces())
        if has_transform:
            assert tuple(header.transform) == tuple(file.transform)[:6]
    if has_transform:
        assert header.gcps is None
        return
    assert header.transform is None
    ours = [] if header.gcps is None else header.gcps.points.tolist()
    assert ours == [[point.col, point.row, point.x, point.y] for point in theirs]
    if theirs:
        assert header.crs == (None if crs is None else f"EPSG:{crs.to_epsg()}")


def test_points_that_cannot_be_read(tmp_path):
    """GDAL makes 0 of text that is no number; here no pixel has a place."""
    tags, tiles = grey(IMAGE)
    (tmp_path / "a.tif").write_bytes(tiff((tags, tiles)))
    bad = listed("nonsense", points=['<GCP Pixel="1" Line="2" X="x" Y="nan"/>', '<GCP Pixel="5" X="7"/>'])
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{bad}</PAMDataset>")
    found = run(read_header(str(tmp_path / "a.tif"), default_backend()))
    assert found.header.band(0).crs is None
    assert "nonsense" in found.notes[0]
    np.testing.assert_array_equal(found.header.gcps.points, [[1, 2, np.nan, np.nan], [5, 0, 7, 0]])
