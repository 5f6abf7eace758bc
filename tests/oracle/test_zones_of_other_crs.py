"""Zones in another CRS than the raster: counts equal those of pixel centres moved to the zone's CRS by pyproj."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import from_bounds

import rasteret_sql
from tests.sampling import some

GEOS = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84"
HOMOLOSINE = "+proj=igh +ellps=WGS84"
MERCATOR = 20037508.342789244
EASE = (-17367530.44516138, -7314540.830638, 17367530.44516138, 7314540.830638)
GRIDS = {
    "antarctic": ("EPSG:3031", (-3333000, -3333000, 3333000, 3333000), 606, 606),
    "antarctic_10km": ("EPSG:3031", (-3333000, -3337000, 3337000, 3333000), 667, 667),
    "antarctic_centred": ("EPSG:3031", (-3050000, -3050000, 3050000, 3050000), 305, 305),
    "arctic": ("EPSG:3413", (-3850000, -5350000, 3750000, 5850000), 304, 448),
    "conus": ("EPSG:5070", (-2356095, 276915, 2258235, 3172605), 461, 290),
    "conus_1km": ("EPSG:5070", (-2356095, 272605, 2243905, 3172605), 4600, 2900),
    "tile": ("EPSG:32633", (399960, 5190240, 509760, 5300040), 549, 549),
    "small_tile": ("EPSG:32633", (399960, 5190240, 403960, 5194240), 200, 200),
    "europe": ("EPSG:3035", (2500000, 1400000, 7400000, 5500000), 245, 205),
    "ease": ("EPSG:6933", EASE, 964, 406),
    "web": ("EPSG:3857", (-MERCATOR, -MERCATOR, MERCATOR, MERCATOR), 800, 800),
    "mollweide": ("ESRI:54009", (-18040096, -9020048, 18040096, 9020048), 900, 450),
    "equal_earth": ("EPSG:8857", (-17243959.06, -8392927.6, 17243959.06, 8392927.6), 700, 340),
    "homolosine": (HOMOLOSINE, (-20037508, -8673000, 20037508, 8673000), 900, 390),
    "disc": (GEOS, (-5570000, -5570000, 5570000, 5570000), 464, 464),
    "disc_3km": (GEOS, (-5570248.477, -5570248.477, 5567248.074, 5567248.074), 3712, 3712),
    "turn": ("EPSG:4326", (0, -90, 360, 90), 360, 180),
    "degrees": ("EPSG:4326", (-180, -90, 180, 90), 360, 180),
    "dateline": ("EPSG:4326", (170, -30, 200, 0), 120, 120),
    "fiji": ("EPSG:3460", (1800000, 3500000, 2300000, 4200000), 250, 350),
    "ease_to_its_ends": ("EPSG:6933", (-1.05 * EASE[2], -0.3 * EASE[2], 1.05 * EASE[2], 0.3 * EASE[2]), 21, 6),
    "mercator_to_its_ends": ("EPSG:3395", (-1.05 * MERCATOR, -0.3 * MERCATOR, 1.05 * MERCATOR, 0.3 * MERCATOR), 21, 6),
    "plate_to_its_ends": ("EPSG:4087", (-1.05 * MERCATOR, -0.3 * MERCATOR, 1.05 * MERCATOR, 0.3 * MERCATOR), 21, 6),
    "mars": ("+proj=longlat +a=3396190 +b=3376200 +no_defs", (0, -10, 20, 10), 20, 20),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One raster of ones for each grid, in one collection."""
    directory = tmp_path_factory.mktemp("grids")
    features = []
    for name, (crs, bounds, width, height) in GRIDS.items():
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "tiled": True, "compress": "deflate"}
        profile |= {"width": width, "height": height, "crs": pyproj.CRS(crs).to_wkt()}
        with rasterio.open(
            directory / f"{name}.tif", "w", transform=from_bounds(*bounds, width, height), **profile
        ) as file:
            file.write(np.ones((1, height, width), "uint8"))
        box = shapely.geometry.mapping(shapely.box(-180, -90, 180, 90))
        features.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": name,
                "collection": "grids",
                "links": [],
                "geometry": box,
                "bbox": [-180, -90, 180, 90],
                "properties": {"datetime": "2024-01-01T00:00:00Z"},
                "assets": {"b": {"href": f"{name}.tif", "type": "image/tiff"}},
            }
        )
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return rasteret_sql.build_from_stac(
        name="grids", stac_api=directory / "items.json", data_source="demo/grids", workspace_dir=directory / "ws"
    ), directory


@pytest.fixture(scope="module")
def con(world):
    connection = rasteret_sql.connect(workspace_dir=world[1] / "ws")
    connection.execute("SELECT * FROM rasteret_load('grids')")
    return connection


def centres(name, crs):
    """Pixel centres in `crs`: x, y; not finite where the image shows no place, or one that it shows elsewhere."""
    native, bounds, width, height = GRIDS[name]
    transform = from_bounds(*bounds, width, height)
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = transform.a * column.ravel() + transform.c, transform.e * row.ravel() + transform.f
    there = pyproj.Transformer.from_crs(native, crs, always_xy=True)
    lon, lat = there.transform(x, y)
    again = np.array(there.transform(lon, lat, direction="INVERSE")) - (x, y)
    if pyproj.CRS(native).is_geographic:
        again[0] -= 360 * np.round(np.where(np.isfinite(again[0]), again[0], 0) / 360)
    with np.errstate(invalid="ignore"):
        shown = (np.abs(again) < 1e-3 * (bounds[2] - bounds[0])).all(axis=0)
    return np.where(shown, lon, np.inf), np.where(shown, lat, np.inf)


def expected(name, box, crs="EPSG:4326"):
    """Pixels whose centre lies in a box of another CRS, in whatever turn; edges count, so that none is cut in two."""
    x, y = centres(name, crs)
    turns = (-360, 0, 360) if pyproj.CRS(crs).is_geographic else (0,)
    inside = [(x + turn >= box[0]) & (x + turn <= box[2]) for turn in turns]
    return int((np.logical_or.reduce(inside) & (y >= box[1]) & (y <= box[3])).sum())


def counted(con, name, geometry, crs="EPSG:4326", **more):
    options = "".join(f", {key} := {value}" for key, value in more.items())
    query = f"SELECT zonal_stats(?, 'b', ?, geom_crs := ?{options}).count"
    return con.execute(
        query, [name, shapely.to_wkt(geometry, rounding_precision=-1), pyproj.CRS(crs).to_wkt()]
    ).fetchone()[0]


LONLAT_BOXES = [
    ("antarctic", (-180, -90, 180, -60)),
    ("antarctic_centred", (-180, -90, 180, -65.01)),
    ("antarctic", (0, -90, 360, -60)),
    ("antarctic", (-250, -85, 60.3, -60)),
    ("antarctic", (20.3, -90, 91.7, -72.2)),
    ("arctic", (-180, 66.5, 180, 90)),
    ("conus", (-125, 40, -67, 49)),
    ("tile", (13.5003, 46.9003, 15.0003, 47.5003)),
    ("tile", (-180, -90, 180, 90)),
    ("europe", (-180, -90, 180, 90)),
    ("conus", (-180, -90, 180, 90)),
    ("small_tile", (-10, 5, 170, 75)),
    ("disc", (40, -30, 120, 30)),
    ("disc", (-180, -90, 180, 90)),
    ("disc", (-30, 20, 10, 90)),
    ("disc_3km", (40, -90, 120, 90)),
    ("ease", (177, -20, 182, -15)),
    ("ease", (-183, -20, -178, -15)),
    ("ease", (190, -50, 530, 50)),
    ("web", (177, -20, 182, -15)),
    ("web", (-20, 60, 30, 90)),
    ("mollweide", (177, -20, 182, -15)),
    ("mollweide", (-180, -90, 180, 90)),
    ("equal_earth", (170, -60, 200, 60)),
    ("homolosine", (-80, 20, 20, 70)),
    ("homolosine", (-110, -70, 90, 10)),
    ("turn", (-5, 40, 5, 50)),
    ("turn", (-180, -10, 180, 10)),
    ("dateline", (-179, -20, -170, -10)),
    ("dateline", (175, -20, 185, -10)),
    ("fiji", (177.01, -20.01, 182.01, -16.01)),
]


@pytest.mark.parametrize(("name", "box"), some(LONLAT_BOXES, 13), ids=str)
def test_box_in_lonlat(con, name, box):
    want = expected(name, box)
    assert want > 0
    assert counted(con, name, shapely.box(*box)) == want


KNOWN = [
    ("antarctic_10km", (-180, -90, 180, -60), 349_033),
    ("arctic", (-180, 66.5, 180, 90), 33_468),
    ("conus_1km", (-125, 40, -67, 49), 4_544_449),
]


@pytest.mark.parametrize(("name", "box", "count"), some(KNOWN, 3), ids=str)
def test_known_counts(con, name, box, count):
    assert expected(name, box) == count
    assert counted(con, name, shapely.box(*box)) == count


PROJECTED_BOXES = [
    ("degrees", (-2e6, -2e6, 2.5e6, 3e6), "EPSG:3413"),
    ("turn", (-2e6, -2e6, 2.5e6, 3e6), "EPSG:3031"),
    ("turn", (2.5e6, 1.4e6, 7.4e6, 5.5e6), "EPSG:3035"),
    ("ease", (-2e6, -2e6, 2.5e6, 3e6), "EPSG:3031"),
    ("antarctic", (-17367530, -7.29e6, 17367530, -7e6), "EPSG:6933"),
    ("tile", (0.9e6, 5.2e6, 1.2e6, 5.25e6), "EPSG:32632"),
    ("ease", (1.8e6, 3.5e6, 2.3e6, 4.2e6), "EPSG:3460"),
]


@pytest.mark.parametrize(("name", "box", "crs"), some(PROJECTED_BOXES, 4), ids=str)
def test_box_of_a_projection(con, name, box, crs):
    want = expected(name, box, crs)
    assert want > 0
    assert counted(con, name, shapely.box(*box), crs) == pytest.approx(want, abs=want * 1e-4 + 1.1)


@pytest.mark.parametrize(
    ("name", "box"),
    some([("tile", (-170, -50, -160, -40)), ("europe", (-175, -60, -165, -40)), ("disc", (120, -30, 170, 30))], 3),
)
def test_sound_place_that_the_image_does_not_show(con, name, box):
    assert counted(con, name, shapely.box(*box)) is None


TO_ENDS = [
    # 21 columns of 18 degrees, the centres of the outer ones at -180 and 180, which are one place, counted by hand
    ((-180, -60, 180, 60), 21),
    ((-540, -60, -180, 60), 21),
    ((170, -60, 190, 60), 2),
    ((-190, -60, -170, 60), 2),
    ((1, -60, 180, 60), 10),
    ((-180, -60, -1, 60), 10),
    ((-179, -60, 179, 60), 19),
]


@pytest.mark.parametrize(("box", "columns"), TO_ENDS, ids=str)
@pytest.mark.parametrize("name", some(["ease_to_its_ends", "mercator_to_its_ends", "plate_to_its_ends"], 3))
def test_centres_exactly_on_the_ends_of_a_map(con, name, box, columns):
    native, bounds, _, height = GRIDS[name]
    _, limit = pyproj.Transformer.from_crs(4326, native, always_xy=True).transform(0, box[3])
    step = (bounds[3] - bounds[1]) / height
    rows = sum(abs(bounds[3] - (row + 0.5) * step) <= limit for row in range(height))
    assert counted(con, name, shapely.box(*box)) == columns * rows


def test_weighted_sum_is_the_area(con):
    """Where meridians and parallels are straight, the zone is two rectangles of which pyproj gives the sides."""
    total = con.execute(
        "SELECT zonal_stats('ease', 'b', 'POLYGON((177 -20,182 -20,182 -15,177 -15,177 -20))', weighted := true).sum"
    ).fetchone()[0]
    moved = pyproj.Transformer.from_crs(4326, 6933, always_xy=True).transform([177, 182 - 360], [-20, -15])
    pixel = 2 * EASE[2] / 964, 2 * EASE[3] / 406
    width = (EASE[2] - moved[0][0]) + (moved[0][1] + EASE[2])
    assert total == pytest.approx(width * (moved[1][1] - moved[1][0]) / (pixel[0] * pixel[1]), rel=1e-6)


def test_chip_explain_and_numpy_share_the_place(con, world):
    zone = "POLYGON((-180 -90,180 -90,180 -60,-180 -60,-180 -90))"
    want = expected("antarctic", (-180, -90, 180, -60))
    explained, chip = con.execute(
        "SELECT [e.height, e.width], c.data "
        "FROM (SELECT rasteret_explain('antarctic', 'b', $1) e, read_chip('antarctic', 'b', $1, fill := 0) c)",
        [zone],
    ).fetchone()
    (pixels,) = world[0].where("id = 'antarctic'").get_numpy(zone, ["b"])
    assert list(pixels.shape) == explained
    assert pixels.sum() == np.frombuffer(chip, np.uint8).sum() == want


POINTS = [
    ("turn", -73.5, 40.5),
    ("turn", 286.5, 40.5),
    ("dateline", -175.2, -5.1),
    ("degrees", 186.5, 3.3),
    ("ease", 182, 3),
]


@pytest.mark.parametrize(("name", "lon", "lat"), POINTS)
def test_point_in_any_turn(con, name, lon, lat):
    assert con.execute(f"SELECT sample_point('{name}', 'b', 'POINT({lon} {lat})')").fetchone()[0] == 1


def test_lonlat_that_is_none_is_still_an_error(con):
    with pytest.raises(Exception, match="has no place"):
        counted(con, "tile", shapely.box(500000, 5e6, 500100, 5.1e6))


def test_image_of_another_globe(con, world):
    zone = shapely.box(2, -5, 8, 5)
    with pytest.raises(Exception, match="PROJ has no transform"):
        counted(con, "mars", zone)
    assert counted(con, "mars", zone, on_error="'null'") is None
    reported = con.execute("SELECT message FROM rasteret_failures() WHERE scene_id = 'mars'").fetchall()
    assert any("no transform" in text for (text,) in reported)
    mars = pyproj.CRS(GRIDS["mars"][0]).to_wkt()
    assert counted(con, "mars", zone, mars) == 60
    assert world[0].where("id = 'mars'").get_numpy(zone, ["b"], geometry_crs=mars).sum() == 60


def test_swapped_axes_are_told_once(con):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rows = con.execute(
            "SELECT sample_point('small_tile', 'b', 'POINT(' || lat || ' ' || lon || ')') "
            "FROM (SELECT 46.86 + i * 1e-7 lat, 13.7 lon FROM range(5000) r(i))"
        ).fetchall()
    assert {value for (value,) in rows} == {None}
    texts = [str(one.message) for one in told if "swapped" in str(one.message)]
    assert len(texts) == 1
    assert "longitude before latitude" in texts[0]


def test_rows_that_hit_are_not_warned_of(con):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        con.execute(
            "SELECT sample_point('small_tile', 'b', p) FROM (VALUES ('POINT(13.7 46.86)'), ('POINT(46.86 13.7)')) t(p)"
        ).fetchall()
        con.execute("SELECT sample_point('small_tile', 'b', 'POINT(-60 -40)')").fetchall()
