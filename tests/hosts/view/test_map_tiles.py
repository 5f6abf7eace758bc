"""Tiles of a map: pixels against read_chip and GDAL's WarpedVRT, no seams, which scenes are read, what is refused."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import imagecodecs
import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.geo.web_mercator import HALF, MapTile, metres_a_pixel
from rasteret_sql.hosts.view.map_tiles import MapTiles
from rasteret_sql.hosts.view.tile_service import Asked, TileService, Token
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.receipt import Receipt
from tests.geo.tiles_of_places import tile_at
from tests.hosts.hosting import DATA, SAHARA, build

B04 = DATA / "sentinel-s2-l2a-cogs" / SAHARA / "B04.tif"
MIDDLE = -11.45, 24.85
"""Lies in the scene of `bay`."""
MEAN = "(B04 + B11) / 2"
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    con = rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("workspace"))
    for name, collection in (("bay", "sentinel-s2-l2a-cogs"), ("meadows", "sentinel2-eopatch-slovenia")):
        con.execute(build(name, collection)).fetchall()
    return con


@pytest.fixture(scope="module")
def tiles(con):
    return MapTiles(session_for(con))


@pytest.fixture(scope="module")
def service(tiles):
    return TileService(tiles, Token(TOKEN))


def asked(path, headers=None, **arguments):
    given = {name: [value] if isinstance(value, str) else value for name, value in arguments.items()}
    return Asked(path, {"token": [TOKEN], **given}, headers or {}, "http://127.0.0.1:1")


def style(**given):
    return TileStyle.of({name: value if isinstance(value, list) else [value] for name, value in given.items()})


def shown(png):
    """The image with its alpha, shape (height, width, samples)."""
    image = imagecodecs.png_decode(png)
    return image[..., None] if image.ndim == 2 else image


def pixels_of(chart, tile, given):
    found = chart._read(tile, given, Receipt())
    return found.pixels, found.valid


@pytest.mark.parametrize(("z", "overview", "off"), [(11, None, 1), (9, 0, 20)])
def test_pixels_are_those_of_gdal(tiles, z, overview, off):
    tile = tile_at(*MIDDLE, z)
    receipt = Receipt()
    found = tiles.of("bay")._read(tile, style(expr="B04"), receipt)
    options = {} if overview is None else {"overview_level": overview}
    # GDAL may take pixels from an eighth of a pixel beside their place, unless it is told not to.
    how = {"crs": "EPSG:3857", "width": 256, "height": 256, "resampling": Resampling.bilinear, "tolerance": 0.001}
    with rasterio.open(B04, **options) as file, WarpedVRT(file, transform=transform_of(tile), **how) as vrt:
        theirs, mask = vrt.read(1), vrt.dataset_mask() > 0
    assert (found.valid[0] == mask).all()
    assert mask.any()
    # A small zoom is read from an overview; there GDAL has a kernel of its own size for each half of the tile.
    different = np.abs(found.pixels[0].astype(int) - theirs)
    assert different.max() <= off
    assert different.mean() < 1
    assert receipt.tiles <= 12


def transform_of(tile):
    side = metres_a_pixel(tile.z)
    return from_origin(-HALF + tile.x * 256 * side, HALF - tile.y * 256 * side, side, side)


def test_pixels_are_those_of_read_chip(con, tiles):
    tile = tile_at(*MIDDLE, 11)
    pixels, valid = pixels_of(tiles.of("bay"), tile, style(expr=MEAN, mask="B04 > 3000", resampling="cubic"))
    west, south, east, north = tile.bounds
    side = metres_a_pixel(11)
    ring = f"{west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}"
    ((chip,),) = con.execute(
        f"SELECT read_chip(id, '(B04 + B11) / 2', 'POLYGON (({ring}))', geom_crs := 3857, crs := 3857, "
        f"resolution := {side!r}, align := [{-HALF!r}, {HALF!r}], mask := 'B04 > 3000', resampling := 'cubic', "
        "collection := 'bay') FROM rasteret.bay"
    ).fetchall()
    theirs = np.frombuffer(chip["data"], chip["dtype"]).reshape(1, chip["height"], chip["width"])
    assert theirs.shape == pixels.shape
    kept = np.frombuffer(chip["mask"], np.uint8).reshape(theirs.shape) > 0
    assert (kept == valid).all()
    assert 0 < kept.mean() < 1
    assert (pixels[valid] == theirs[valid]).all()


def test_neighbours_have_no_seams(con, tiles):
    """Four tiles are one chip of all of them, to a level of grey."""
    chart, given = tiles.of("bay"), style(expr="B04")
    first = tile_at(*MIDDLE, 10)
    corner = MapTile(10, first.x // 2 * 2, first.y // 2 * 2)
    rows = []
    for down in (0, 1):
        row = [chart.tile(MapTile(10, corner.x + across, corner.y + down), given).png for across in (0, 1)]
        rows.append(np.concatenate([_levels(png) for png in row], axis=1))
    together = np.concatenate(rows)
    west, north = corner.bounds[0], corner.bounds[3]
    side = metres_a_pixel(10)
    east, south = west + 512 * side, north - 512 * side
    ring = f"{west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}"
    ((low, high),) = chart.limits(given)
    ((png,),) = con.execute(
        f"SELECT chip_png(read_chip(id, 'B04', 'POLYGON (({ring}))', geom_crs := 3857, crs := 3857, "
        f"resolution := {side!r}, align := [{-HALF!r}, {HALF!r}]), stretch := [{low}, {high}]) FROM rasteret.bay"
    ).fetchall()
    whole = _levels(png)
    assert together.shape == whole.shape == (512, 512, 2)
    assert (together[..., 1] == whole[..., 1]).all()
    assert np.abs(together[..., 0].astype(int) - whole[..., 0]).max() <= 1
    assert np.ptp(whole[..., 0]) > 200


def _levels(png):
    """Grey and alpha."""
    image = shown(png)
    return image if image.shape[-1] == 2 else np.concatenate([image, np.full_like(image, 255)], axis=-1)


def test_limits_are_of_the_collection_and_not_of_the_tile(tiles):
    chart = tiles.of("meadows")
    assert chart.limits(style()) == chart.limits(style(date="2017-07", scene="x", size="512"))
    ((low, high),) = chart.limits(style())
    assert 0 < low < high < 1
    assert chart.limits(style(stretch="0,1")) == [(0, 1)]
    assert chart.limits(style(expr="clm")) == [(0, 255)]


def test_a_pixel_is_of_the_newest_scene_that_has_it(con, tiles):
    chart, tile = tiles.of("meadows"), tile_at(14.5578, 45.8705, 15)
    newest, before = (
        scene for (scene,) in con.execute("SELECT id FROM rasteret.meadows ORDER BY datetime DESC LIMIT 2").fetchall()
    )
    receipt = Receipt()
    found = chart._read(tile, style(), receipt)
    alone = chart._read(tile, style(scene=newest), Receipt())
    assert (found.pixels[found.valid] == alone.pixels[alone.valid]).all()
    assert (found.valid == alone.valid).all()
    assert receipt.tiles == 1  # of the newest one alone: it covers all that any of them reaches
    # Where it is masked, the one before it has its turn.
    value = float(np.median(alone.pixels[alone.valid]))
    mask = f"ndvi > {value!r}"
    masked = chart._read(tile, style(mask=mask), Receipt())
    second = chart._read(tile, style(scene=before, mask=mask), Receipt())
    open_ = alone.valid & ~chart._read(tile, style(scene=newest, mask=mask), Receipt()).valid
    assert 0.2 < open_.sum() / alone.valid.sum() < 0.8
    both = open_ & second.valid
    assert both.any()
    assert (masked.pixels[both] == second.pixels[both]).all()


@pytest.mark.parametrize("method", ["best", "median", "last"])
def test_other_methods_are_those_of_composites(con, tiles, method):
    tile = tile_at(14.5578, 45.8705, 15)
    best = {"best_by": "ndvi"} if method == "best" else {}
    given = style(expr="ndvi", date="2017-06/2017-08", method=method, **best)
    pixels, valid = pixels_of(tiles.of("meadows"), tile, given)
    west, south, east, north = tile.bounds
    side = metres_a_pixel(15)
    ring = f"{west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}"
    named = f", best_by := '{best['best_by']}'" if best else ""
    chip, scenes = con.execute(
        "WITH chosen AS (FROM rasteret.meadows WHERE datetime >= '2017-06-01' AND datetime < '2017-09-01') "
        f"SELECT chip, scenes FROM read_mosaic(chosen, 'ndvi', 'POLYGON (({ring}))', method := '{method}'{named}, "
        f"geom_crs := 3857, crs := 3857, resolution := {side!r}, align := [{-HALF!r}, {HALF!r}], "
        "order_by := 'datetime DESC')"
    ).fetchone()
    theirs = np.frombuffer(chip["data"], chip["dtype"]).reshape(pixels.shape)
    assert scenes >= 1
    assert (pixels[valid] == theirs[valid]).all()
    assert valid.any()


def test_a_tile_over_http_and_its_tag(service, tiles):
    tile = tile_at(14.5578, 45.8705, 15)
    path = f"/tiles/meadows/15/{tile.x}/{tile.y}.png"
    answer = service.answer(asked(path, colormap="ndvi", stretch="0,1"))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.headers["Cache-Control"] == "private, max-age=300"
    image = shown(answer.body)
    assert image.shape == (256, 256, 4)
    assert 0 < (image[..., 3] == 255).mean() < 1
    tag = answer.headers["ETag"]
    again = service.answer(asked(path, {"if-none-match": f'"x", {tag}'}, colormap="ndvi", stretch="0,1"))
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    other = service.answer(asked(path, {"if-none-match": tag}, colormap="viridis", stretch="0,1"))
    assert other.status == 200
    for_good = service.answer(asked(path, v=tiles.of("meadows").stamp))
    assert "immutable" in for_good.headers["Cache-Control"]
    by_header = Asked(path, {}, {"authorization": f"Bearer {TOKEN}"}, "")
    assert service.answer(by_header).status == 200


def test_three_bands_are_red_green_and_blue(service):
    tile = tile_at(*MIDDLE, 9)
    path = f"/tiles/bay/9/{tile.x}/{tile.y}.png"
    answer = service.answer(asked(path, expr="B11;B04;(B04 + B11) / 2", size="512", stretch="2000,7000"))
    image = shown(answer.body)
    assert image.shape == (512, 512, 3)
    assert len({image[256, 256, band] for band in range(3)}) == 3
    by_three = service.answer(
        asked(path, expr=["B11", "B04", "(B04 + B11) / 2"], size="512", stretch="2000,7000;2000,7000;2000,7000")
    )
    assert by_three.body == answer.body


def test_tile_json(service, tiles):
    answer = service.answer(asked("/tiles/meadows/tilejson.json", expr="ndvi", colormap="ndvi", where="id <> 'a&b'"))
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    said = json.loads(answer.body)
    assert {
        "tilejson": "2.2.0",
        "name": "meadows",
        "scheme": "xyz",
        "minzoom": 13,
        "maxzoom": 14,
    }.items() <= said.items()
    assert said["bounds"] == pytest.approx([14.5513, 45.8659, 14.5643, 45.8750], abs=1e-3)
    (address,) = said["tiles"]
    parts = urlsplit(address)
    assert (parts.netloc, parts.path) == ("127.0.0.1:1", "/tiles/meadows/{z}/{x}/{y}.png")
    arguments = parse_qs(parts.query)
    assert arguments == {
        "expr": ["ndvi"], "colormap": ["ndvi"], "where": ["id <> 'a&b'"], "token": [TOKEN],
        "v": [tiles.of("meadows").stamp],
    }  # fmt: skip
    x, y = tile_at(14.5578, 45.8705, 14).x, tile_at(14.5578, 45.8705, 14).y
    path = parts.path.replace("{z}/{x}/{y}", f"14/{x}/{y}")
    assert service.answer(Asked(path, arguments, {}, "")).status == 200


@pytest.mark.parametrize(
    ("path", "arguments", "status", "says"),
    [
        ("/tiles/nothing/1/0/0.png", {}, 404, 'no collection "nothing" is open or cached'),
        ("/tiles/meadows/1/2/0.png", {}, 404, "1/2/0 is no tile"),
        ("/tiles/meadows/30/2/0.png", {}, 404, "30/2/0 is no tile"),
        ("/tiles/meadows/1/0/-1.png", {}, 404, "1/0/-1 is no tile; expected whole numbers"),
        ("/tiles/meadows/1/0/0.jpg", {}, 404, "nothing is here; expected /tiles/"),
        ("/tiles/../../etc/passwd", {}, 404, "nothing is here"),
        ("/tiles/%2e%2e%2f%2e%2e/1/0/0.png", {}, 404, "no collection"),
        ("{tile}", {"expr": "ndvi +"}, 400, "cannot be read"),
        ("{tile}", {"expr": "nothing"}, 400, "nothing"),
        ("{tile}", {"expr": "ndvi;clm"}, 400, "expected one, or three"),
        ("{tile}", {"mask": "1 +"}, 400, "cannot be read"),
        ("{tile}", {"date": "2017-13"}, 400, "is not an ISO date"),
        ("{tile}", {"where": "id IN (SELECT 1)"}, 400, "has a subquery"),
        ("{tile}", {"where": "id = (FROM read_text('/etc/passwd'))"}, 400, ""),
        ("{tile}", {"where": "nothing > 1"}, 400, "nothing"),
        ("{tile}", {"scene": "nothing"}, 404, 'has no scene "nothing"'),
        ("{tile}", {"method": "newest"}, 400, "expected one of first, last"),
        ("{tile}", {"method": "best"}, 400, "with method=best"),
        ("{tile}", {"colormap": "nothing"}, 400, "nothing"),
        ("{tile}", {"colormap": "viridis", "expr": "ndvi;ndvi;ndvi"}, 400, "three bands are red, green and blue"),
        ("{tile}", {"stretch": "1,b"}, 400, "expected a number"),
        ("{tile}", {"stretch": "0,1;0,1"}, 400, "limits for 2 bands"),
        ("{tile}", {"stretch": "p98-p2"}, 400, "cannot be used"),
        ("{tile}", {"size": "1024"}, 400, "expected 256 or 512"),
        ("{tile}", {"scaled": "maybe"}, 400, "true or false"),
        ("{tile}", {"resampling": "soft"}, 400, "expected one of nearest"),
        ("{tile}", {"exprs": "ndvi"}, 400, 'did you mean "expr"?'),
        ("{tile}", {"expr": "1" * 9000}, 400, "longer than"),
    ],
)
def test_what_cannot_be_answered(service, path, arguments, status, says):
    tile = tile_at(14.5578, 45.8705, 15)
    answer = service.answer(asked(path.format(tile=f"/tiles/meadows/15/{tile.x}/{tile.y}.png"), **arguments))
    message = json.loads(answer.body)["error"]
    assert (answer.status, answer.headers["Cache-Control"]) == (status, "no-store"), message
    assert says in message


@pytest.mark.parametrize("arguments", [{}, {"token": ["wrong"]}, {"token": [TOKEN, "wrong"]}, {"token": [""]}])
def test_without_the_token_nothing_is_answered(service, arguments):
    answer = service.answer(Asked("/tiles/meadows/tilejson.json", arguments, {}, ""))
    assert answer.status == 403
    assert TOKEN not in answer.body.decode()
    assert (
        service.answer(Asked("/tiles/x/1/0/0.png", {"token": [TOKEN]}, {"authorization": "Bearer no"}, "")).status
        == 403
    )


def test_where_nothing_is_a_tile_is_transparent(service):
    for path, arguments in (
        ("/tiles/meadows/15/0/0.png", {}),
        ("/tiles/meadows/3/4/2.png", {}),  # too small to read the scenes for it
        ("{there}", {"date": "1999"}),
        ("{there}", {"mask": "ndvi < 9"}),
    ):
        tile = tile_at(14.5578, 45.8705, 15)
        answer = service.answer(asked(path.format(there=f"/tiles/meadows/15/{tile.x}/{tile.y}.png"), **arguments))
        assert answer.status == 200, answer.body
        assert not shown(answer.body)[..., -1].any()
        assert len(answer.body) < 500


def test_scenes_that_cannot_be_read_are_left_out_or_told(tmp_path):
    import shutil

    copy = tmp_path / "data"
    shutil.copytree(DATA / "sentinel2-eopatch-slovenia", copy / "sentinel2-eopatch-slovenia")
    shutil.copytree(DATA / "catalog", copy / "catalog")
    con = rasteret_sql.connect(workspace_dir=tmp_path / "workspace")
    con.execute(build("m", "sentinel2-eopatch-slovenia", copy / "catalog" / "catalog.json")).fetchall()
    newest = con.execute("SELECT id FROM rasteret.m ORDER BY datetime DESC LIMIT 1").fetchone()[0]
    service = TileService(MapTiles(session_for(con)), Token(TOKEN))
    tile = tile_at(14.5578, 45.8705, 15)
    path = f"/tiles/m/15/{tile.x}/{tile.y}.png"
    for file in copy.rglob(f"{newest}/*.tif"):
        file.unlink()
    answer = service.answer(asked(path, stretch="0,1"))
    assert (answer.status, answer.headers["X-Rasteret-Left-Out"], answer.headers["Cache-Control"]) == (
        200,
        "1",
        "no-store",
    )
    assert "ETag" not in answer.headers
    alone = service.answer(asked(path, scene=newest, stretch="0,1"))
    assert alone.status == 502
    assert newest in json.loads(alone.body)["error"]


def test_a_stopped_receipt_ends_a_tile(tiles):
    from rasteret_sql.errors import InterruptedQueryError

    receipt = Receipt()
    receipt.stop()
    tiles.of("meadows").limits(style())
    with pytest.raises(InterruptedQueryError):
        tiles.of("meadows").tile(tile_at(14.5578, 45.8705, 16), style(expr="ndvi + 1"), receipt)


def test_a_collection_that_is_built_again_has_other_tags(tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    con.execute(build("again")).fetchall()
    tiles = MapTiles(session_for(con))
    tile, given = tile_at(*MIDDLE, 9), style()
    before = tiles.of("again")
    assert tiles.of("again") is before
    con.execute(build("again").replace(", stac_api", ", force := true, stac_api")).fetchall()
    after = tiles.of("again")
    assert after is not before
    assert after.etag(tile, given) != before.etag(tile, given)
