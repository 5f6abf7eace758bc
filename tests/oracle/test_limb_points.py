"""Zones at the point that a world map shows all along its end: the same pixels as their centres, moved by pyproj."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import from_bounds

import rasteret_sql
from tests.sampling import some

HALF = 20037508.0
EQUAL = 2.02 * 6371007.0
MAPS = {
    # name: CRS, its point, half of its size, pixels along a side
    "oblique": ("+proj=aeqd +lat_0=50 +lon_0=8 +datum=WGS84", (-172, -50), HALF, 400),
    "sphere": ("+proj=aeqd +lat_0=50 +lon_0=8 +R=6371000", (-172, -50), HALF, 1001),
    "equator": ("+proj=aeqd +lat_0=0 +lon_0=30 +datum=WGS84", (-150, 0), HALF, 400),
    "dateline": ("+proj=aeqd +lat_0=0 +lon_0=0 +R=6371000", (180, 0), HALF, 400),
    "bessel": ("+proj=aeqd +lat_0=-33.3 +lon_0=151.1 +ellps=bessel", (-28.9, 33.3), HALF, 101),
    "equal_area": ("+proj=laea +lat_0=50 +lon_0=8 +datum=WGS84", (-172, -50), EQUAL, 400),
    "equal_area_equator": ("+proj=laea +lat_0=0 +lon_0=8 +datum=WGS84", (-172, 0), EQUAL, 400),
    "stereographic": ("+proj=stere +lat_0=50 +lon_0=8 +datum=WGS84", (-172, -50), 4e7, 401),
    "orthographic": ("+proj=ortho +lat_0=50 +lon_0=8 +R=6371000", (-172, -50), 6.38e6, 401),
    "gnomonic": ("+proj=gnom +lat_0=50 +lon_0=8 +R=6371000", (-172, -50), 3e7, 401),
    "grinten": ("+proj=vandg +R=6371000", (-172, -50), 2.01e7, 400),
    "fan": ("+proj=aea +lat_1=30 +lat_2=60 +lat_0=45 +lon_0=8 +datum=WGS84", (-172, -50), 1.6e7, 401),
}
SHAPES = {
    "around": lambda x, y: shapely.box(x - 5.003, y - 5.003, x + 5.003, y + 5.003),
    "closely_around": lambda x, y: shapely.box(x - 0.7, y - 0.5, x + 0.5, y + 0.4),
    "just_around": lambda x, y: shapely.box(x - 0.001, y - 0.001, x + 0.001, y + 0.001),
    "at_a_corner": lambda x, y: shapely.box(x + 1e-7, y + 1e-7, x + 7.3, y + 6.2),
    "edge_beside": lambda x, y: shapely.box(x - 4.3, y - 0.013, x + 6.1, y + 8.003),
    "vertex_beside": lambda x, y: shapely.Polygon(
        [(x - 9, y - 3), (x + 0.01, y + 0.02), (x + 7, y - 8), (x + 8, y + 9)]
    ),
    "beside": lambda x, y: shapely.box(x + 0.04, y + 0.03, x + 9, y + 9.003),
    "hole_around": lambda x, y: shapely.box(x - 8.003, y - 8, x + 7, y + 6) - shapely.box(x - 1, y - 1, x + 1, y + 1),
    "all_else": lambda x, y: shapely.box(x - 180, -90, x + 180, 90) - shapely.box(x - 8.003, y - 8, x + 7, y + 6.003),
    "world": lambda x, y: shapely.box(-180, -90, 180, 90),
}


def grid_of(name: str) -> tuple[tuple[float, float, float, float], int, int]:
    """Bounds, width and height; of half a map where its name says so."""
    _, _, size, pixels = MAPS[name.removesuffix("_half")]
    if name.endswith("_half"):
        return (0.0, -size, size, size), pixels // 2, pixels
    return (-size, -size, size, size), pixels, pixels


NAMES = [*MAPS, "oblique_half", "equator_half", "equal_area_half"]


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    """A connection with one collection: a raster of ones for each map."""
    directory = tmp_path_factory.mktemp("limbs")
    features = []
    for name in NAMES:
        bounds, width, height = grid_of(name)
        crs = pyproj.CRS(MAPS[name.removesuffix("_half")][0]).to_wkt()
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "tiled": True, "compress": "deflate", "crs": crs}
        with rasterio.open(
            directory / f"{name}.tif",
            "w",
            transform=from_bounds(*bounds, width, height),
            width=width,
            height=height,
            **profile,
        ) as file:
            file.write(np.ones((1, height, width), "uint8"))
        features.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": name,
                "collection": "limbs",
                "links": [],
                "geometry": shapely.geometry.mapping(shapely.box(-180, -90, 180, 90)),
                "bbox": [-180, -90, 180, 90],
                "properties": {"datetime": "2024-01-01T00:00:00Z"},
                "assets": {"b": {"href": f"{name}.tif", "type": "image/tiff"}},
            }
        )
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    rasteret_sql.build_from_stac(
        name="limbs", stac_api=directory / "items.json", data_source="demo/limbs", workspace_dir=directory / "ws"
    )
    connection = rasteret_sql.connect(workspace_dir=directory / "ws")
    connection.execute("FROM rasteret_load('limbs')")
    return connection


def inside(name: str, zone: shapely.Geometry) -> tuple[int, int]:
    """Pixels with their centre in a zone, and how many more there may be: those on its edge by 1e-5 degrees or less."""
    bounds, width, height = grid_of(name)
    transform = from_bounds(*bounds, width, height)
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = transform.a * column.ravel() + transform.c, transform.e * row.ravel() + transform.f
    native = pyproj.CRS(MAPS[name.removesuffix("_half")][0])
    there = pyproj.Transformer.from_crs(native, "EPSG:4326", always_xy=True)
    lon, lat = there.transform(x, y)
    off = np.hypot(*(np.array(there.transform(lon, lat, direction="INVERSE")) - (x, y)))
    shown = np.nan_to_num(off, nan=np.inf) < 1000
    counts = []
    for sure in (zone.buffer(-1e-5), zone.buffer(1e-5)):
        shapely.prepare(sure)
        turned = [shapely.contains_xy(sure, lon[shown] + turn, lat[shown]) for turn in (-360, 0, 360)]
        counts.append(int(np.logical_or.reduce(turned).sum()))
    return counts[0], counts[1] - counts[0]


CASES = [(name, shape) for name in NAMES for shape in SHAPES]


@pytest.mark.parametrize(("name", "shape"), some(CASES, 75), ids=str)
def test_zone_at_the_point_of_a_map(con, name: str, shape: str) -> None:
    point = MAPS[name.removesuffix("_half")][1]
    zone = SHAPES[shape](*point)
    sure, doubtful = inside(name, zone)
    count = con.execute("SELECT zonal_stats(?, 'b', ?).count", [name, shapely.to_wkt(zone, -1)]).fetchone()[0] or 0
    assert sure <= count <= sure + doubtful
    # Edges along the meridian of a centre, or beside what all centres there lie close to.
    assert doubtful <= 0.01 * sure + 8


@pytest.mark.parametrize("name", some(["equal_area_equator", "equal_area", "equal_area_half"], 3))
def test_weighted_sum_on_an_equal_area_map_is_the_area_on_the_globe(con, name: str) -> None:
    x, y = MAPS[name.removesuffix("_half")][1]
    # Half a map shows what lies on one side of its point.
    zone = (
        shapely.box(x - 4, y - 4, x - 0.5, y + 3) if name.endswith("_half") else shapely.box(x - 5, y - 4, x + 4, y + 3)
    )
    dense = shapely.segmentize(zone, 0.001)
    area = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(dense)[0])
    bounds, width, height = grid_of(name)
    pixel = (bounds[2] - bounds[0]) / width * (bounds[3] - bounds[1]) / height
    total = con.execute("SELECT zonal_stats(?, 'b', ?, weighted := true).sum", [name, zone.wkt]).fetchone()[0]
    assert total * pixel == pytest.approx(area, rel=2e-4)


def built(directory, crs: str, bounds: tuple[float, float, float, float], width: int, height: int):
    """A connection with a collection `c` of one scene of ones, which has no geometry of its own."""
    path = directory / "ones.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": crs, "width": width, "height": height}
    with rasterio.open(path, "w", transform=from_bounds(*bounds, width, height), **profile) as file:
        file.write(np.ones((1, height, width), "uint8"))
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "ones",
        "collection": "c",
        "links": [],
        "geometry": None,
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {"b": {"href": str(path), "type": "image/tiff"}},
    }
    (directory / "item.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    con = rasteret_sql.connect(workspace_dir=directory / "ws")
    with pytest.warns(match="without geometry"):
        rasteret_sql.build_from_stac(
            name="c", stac_api=directory / "item.json", data_source="demo/c", workspace_dir=directory / "ws"
        )
    con.execute("FROM rasteret_load('c')")
    return con


@pytest.mark.parametrize(
    "crs", some(["+proj=laea +lat_0=50 +lon_0=8", "+proj=aeqd +lat_0=50 +lon_0=8 +datum=WGS84"], 2)
)
def test_whole_map_as_a_zone_is_the_whole_globe(tmp_path, crs: str) -> None:
    """A square around the map, in its CRS, on a raster in degrees: all pixels, those at the point included."""
    con = built(tmp_path, "EPSG:4326", (-180, -90, 180, 90), 720, 360)
    query = "SELECT zonal_stats('ones', 'b', ?, geom_crs := ?).count"
    zone = shapely.box(-3e7, -3e7, 3e7, 3e7)
    assert con.execute(query, [zone.wkt, pyproj.CRS(crs).to_wkt()]).fetchone()[0] == 720 * 360


@pytest.mark.exhaustive
def test_search_beside_the_point_finds_the_map(tmp_path) -> None:
    """A footprint made of a file that shows the whole globe has no hole at the point of its map."""
    con = built(tmp_path, pyproj.CRS(MAPS["oblique"][0]).to_wkt(), (-HALF, -HALF, HALF, HALF), 400, 400)
    x, y = MAPS["oblique"][1]
    box = shapely.box(x - 0.01, y - 0.01, x + 0.01, y + 0.01).wkt
    assert con.execute("SELECT id FROM rasteret_scenes('c', ?)", [box]).fetchall() == [("ones",)]
