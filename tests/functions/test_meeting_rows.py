"""Rows that surely miss their image are left out before they are read: the answers are those of reading all."""

import json
import re
import warnings

import duckdb
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import Affine, from_bounds

import rasteret_sql
from rasteret_sql.functions.calls import pixels
from tests.contract.scenes import write_items
from tests.sampling import some

SIZE = 32
GRIDS = {
    "alps": ("EPSG:32632", (600_000, 5_100_000, 640_000, 5_140_000)),
    "next": ("EPSG:32633", (240_000, 5_100_000, 280_000, 5_140_000)),
    "small": ("EPSG:32632", (600_000, 5_100_000, 600_320, 5_100_320)),
    "south": ("EPSG:32719", (300_000, 6_100_000, 410_000, 6_210_000)),
    "arctic": ("EPSG:3413", (-400_000, -400_000, 400_000, 400_000)),
    "beside_the_pole": ("EPSG:3413", (300_000, -900_000, 500_000, -700_000)),
    "dateline": ("EPSG:4326", (179.2, -20, 180.8, -18)),
    "dateline_below": ("EPSG:4326", (-181, -20, -179, -18)),
    "fiji": ("EPSG:3460", (1_800_000, 3_500_000, 2_300_000, 4_200_000)),
    "degrees": ("EPSG:4258", (10, 45, 11, 46)),
    "globe": ("EPSG:4326", (0, -90, 360, 90)),
    "web": ("EPSG:3857", (1_100_000, 5_700_000, 1_200_000, 5_800_000)),
    "europe": ("EPSG:3035", (4_300_000, 2_600_000, 4_400_000, 2_700_000)),
    "sinusoidal": ("ESRI:54008", (700_000, 5_000_000, 1_800_000, 6_100_000)),
    "turned": ("EPSG:32632", None),
}
CRS = ("EPSG:4326", "EPSG:32632", "EPSG:32633", "EPSG:3857", "EPSG:3413", "EPSG:3035", "ESRI:54008", "OGC:CRS84")


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    directory = tmp_path_factory.mktemp("grids")
    items = []
    for number, (name, (crs, bounds)) in enumerate(GRIDS.items()):
        turned = Affine.translation(650_000, 5_150_000) * Affine.rotation(30) * Affine.scale(300, -300)
        place = turned if bounds is None else from_bounds(*bounds, SIZE, SIZE)
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": SIZE, "height": SIZE, "transform": place}
        with rasterio.open(directory / f"{name}.tif", "w", crs=crs, **profile) as file:
            file.write(np.random.default_rng(number).integers(0, 99, (1, SIZE, SIZE), dtype="uint8"))
        asset = {"href": f"{name}.tif", "type": "image/tiff"}
        items.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [], "collection": "grids",
                "geometry": json.loads(shapely.to_geojson(shapely.box(-180, -90, 180, 90))),
                "bbox": [-180, -90, 180, 90], "properties": {"datetime": "2024-01-01T00:00:00Z"},
                "assets": {"b": asset},
            }
        )  # fmt: skip
    write_items(directory / "items.json", items)
    connection = rasteret_sql.connect(workspace_dir=directory / "ws")
    connection.execute(f"FROM rasteret_build_from_stac('grids', '{directory}/items.json', 'grids')").fetchall()
    connection.execute("SET threads = 1")
    yield connection
    connection.close()


def lonlat_centres(rng, count):
    """Places on images, around them, and anywhere."""
    names = [name for name, (_, bounds) in GRIDS.items() if bounds]
    found = []
    for _ in range(count):
        crs, (west, south, east, north) = GRIDS[names[rng.integers(len(names))]]
        x, y = rng.uniform(-1, 2, 2) if rng.random() < 0.7 else rng.uniform(0, 1, 2)
        there = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        place = there.transform(west + x * (east - west), south + y * (north - south))
        far = rng.random() < 0.4 or not np.isfinite(place).all()
        found.append((rng.uniform(-180, 180), rng.uniform(-89, 89)) if far else place)
    return np.array(found)


def shapes(rng, crs, count, points):
    """Geometries of many sizes in a CRS."""
    centre = lonlat_centres(rng, count)
    centre[:, 0] += 360 * rng.choice([-1, 0, 0, 0, 1], count)
    size = 10 ** rng.uniform(-4, 0.5, count)
    if crs not in {"EPSG:4326", "OGC:CRS84"}:
        centre = np.column_stack(pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*centre.T))
        size *= 100_000
        centre = np.where(np.isfinite(centre), centre, 0)
    if points:
        return shapely.points(centre)
    angle = np.sort(rng.uniform(0, 2 * np.pi, (count, 5)), axis=1)
    rings = centre[:, None] + size[:, None, None] * np.stack([np.cos(angle), rng.uniform(0.2, 1) * np.sin(angle)], -1)
    made = shapely.polygons(rings)
    several = rng.random(count) < 0.1
    made[several] = [shapely.multipolygons([one, shapely.affinity.translate(one, 3 * s)])
                     for one, s in zip(made[several], size[several], strict=True)]  # fmt: skip
    return made


def answer(con, call):
    """Rows of a call over all pairs, and how many of them were read; or the error."""
    read = []
    run = pixels.run_rows

    def counted(kernel, request, *others):
        read.append(len(request))
        return run(kernel, request, *others)

    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of swapped axes
        patched.setattr(pixels, "run_rows", counted)
        patched.setattr(pixels, "measure_rows", lambda *_: None)  # of zones that are read together nothing is counted
        try:
            found = con.execute(f"SELECT id, n, {call} AS v FROM rasteret.grids, z ORDER BY id, n").fetchall()
        except duckdb.Error as error:
            return str(error).split("\n")[0], sum(read)  # below it DuckDB 1.5 says where the call is
    return found, sum(read)


def register(con, geometries, form="st_geomfromwkb(g)"):
    con.register("given", pa.table({"n": np.arange(len(geometries)), "g": shapely.to_wkb(geometries)}))
    con.execute(f"CREATE OR REPLACE TABLE z AS SELECT n, {form} AS g FROM given")


CALLS = {
    "zonal_stats(id, 'b', g{})": False,
    "zonal_stat(id, 'b', g, 'count', all_touched := true{})": False,
    "zonal_hist(id, 'b', g{})": False,
    "read_chip(id, 'b', g{})": False,
    "sample_point(id, 'b', g{})": True,
    "read_chip(id, ['b', 'b'], g{}).width": True,
}
"""Call → whether it is of points."""
ZONES, POINTS = 40, 400
FORMS = ("g", "st_geomfromwkb(g)", "st_astext(st_geomfromwkb(g))")


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(40))
def test_rows_that_miss_are_those_that_give_null(con, seed):
    rng = np.random.default_rng(seed)
    call, crs, form = (values[rng.integers(len(values))] for values in (list(CALLS), CRS, FORMS))
    count = POINTS if CALLS[call] else ZONES
    register(con, shapes(rng, crs, count, CALLS[call]), form)
    asked = call.format(f", geom_crs := '{crs}', on_error := 'null'")
    found, read = answer(con, asked)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pixels, "FEWEST", 10**9)
        expected, of_all = answer(con, asked)
    assert found == expected
    assert isinstance(found, list)
    assert of_all == count * len(GRIDS)
    assert (read < of_all) == (crs != "ESRI:54008")  # sinusoidal, where lengths are not those of the ground


def far_away(count=50):
    """Zones that are on none of the images."""
    return shapely.box(-40 - np.arange(count) / 100, -30, -39.995 - np.arange(count) / 100, -29.995)


@pytest.mark.parametrize("form", some(FORMS, 3))
def test_no_row_is_read_where_all_miss(con, form):
    register(con, far_away(), form)
    rows, read = answer(con, "zonal_stats(id, 'b', g)")
    assert {name for name, _, found in rows if found is not None} == {"globe"}
    assert read == 50 * len({"globe", "arctic"})  # what is all around a pole is placed exactly


WRONG = {
    "zonal_stats(id, 'c', g)": "c",
    "zonal_stats(id, 'b', g, overview := 3)": "overview",
    "zonal_stat(id, 'b', g, 'modus')": "modus",
    "zonal_stats('nowhere', 'b', g)": "nowhere",
    "sample_point(id, 'b', g)": "expected a point",
    "read_chip(id, 'b', g, fill := 3, geom_crs := 'EPSG:1')": "EPSG:1",
    "zonal_stats(id, 'b', CASE n WHEN 40 THEN 'POLYGON ((0 95, 1 95, 1 96, 0 95))' ELSE st_astext(g) END)": "no place",
    "zonal_stats(id, 'b', CASE WHEN n = 40 THEN 'POLYGON ((0 9' ELSE st_astext(g) END)": "cannot be read",
    "zonal_stats(id, 'b', CASE WHEN n = 40 THEN 'POINT (3 4)'::GEOMETRY ELSE g END)": "polygon",
    "zonal_stats(id, 'b', CASE WHEN n = 40 THEN unhex('01030000000100000001') ELSE st_aswkb(g) END)": "cannot be read",
}
"""Call over geometries that miss → what the error says."""


@pytest.mark.parametrize(("call", "said"), some(WRONG.items(), 3))
def test_what_is_wrong_is_said_although_no_row_meets_its_image(con, call, said):
    register(con, far_away())
    found, _ = answer(con, call)
    assert isinstance(found, str)
    assert said in found
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pixels, "FEWEST", 10**9)
        assert without_scene(found) == without_scene(answer(con, call)[0])


def without_scene(error):
    """An error that is that of the first of several scenes, of whichever."""
    return re.sub(r'scene "\w+"', "", error)
