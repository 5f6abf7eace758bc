"""The same scenes are found at the same places, whichever way they came into a collection and are asked for."""

import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.errors import StacError, TableError
from tests.sampling import some

WEST, EAST = 179.27, -178.11


def box_ring(west, east, south=-17.5, north=-16.5):
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


RINGS = {
    "across": ([WEST, -17.5, EAST, -16.5], box_ring(WEST, EAST)),
    "minmax": ([EAST, -17.5, WEST, -16.5], box_ring(EAST, WEST)),
    "turn": ([-180, -17.5, 180, -16.5], box_ring(WEST, EAST)),
    "beyond": ([WEST, -17.5, EAST + 360, -16.5], box_ring(WEST, EAST + 360)),
    "brazil": ([-50, -17.5, -48, -16.5], box_ring(-50, -48)),
    "wide": ([-100, -17.5, 100, -16.5], box_ring(-100, 100)),
}
"""Scene → its box, and its one ring. Four of them are one place in four writings."""
FIJI = {"across", "minmax", "turn", "beyond"}
ASKED = {
    (179.3, -17, 179.9, -16.9): FIJI,
    (-179.9, -17, -178.2, -16.9): FIJI,
    (178, -17, -178, -16.9): FIJI,
    (178, -17, 182, -16.9): FIJI,
    (181, -17, 181.5, -16.9): FIJI,
    (-182, -17, -178.5, -16.9): FIJI,
    (-49.5, -17, -49, -16.9): {"brazil", "wide"},
    (20, -17, 21, -16.9): {"wide"},
    (120, -17, 121, -16.9): set(),
    (178, -17, 179.2, -16.9): set(),
    (-178, -17, -177, -16.9): set(),
}


def write_tif(path, image):
    crs, west, north, resolution, width, height = image
    transform = from_origin(west, north, resolution, resolution)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "tiled": True, "blockxsize": 16, "blockysize": 16}
    with rasterio.open(path, "w", width=width, height=height, crs=crs, transform=transform, **profile) as file:
        file.write(np.ones((1, height, width), np.uint8))
    return path


def make_item(name, href, *, geometry=None, bbox=None, collection=None):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": geometry,
        **({"bbox": bbox} if bbox else {}),
        **({"collection": collection} if collection else {}),
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "links": [],
        "assets": {"b": {"href": str(href), "type": "image/tiff; application=geotiff"}},
    }


def save(path, items):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A catalog and tables of the same scenes."""
    folder = tmp_path_factory.mktemp("places")
    image = write_tif(folder / "one.tif", ("EPSG:32760", 700000, 8200000, 1000, 32, 32))
    rings = {name: {"type": "Polygon", "coordinates": [ring]} for name, (_, ring) in RINGS.items()}
    save(folder / "items.json", [make_item(n, image, geometry=rings[n], bbox=RINGS[n][0]) for n in RINGS])
    save(folder / "bare.json", [make_item(n, image, geometry=rings[n]) for n in RINGS])
    table = pa.table(
        {
            "id": list(RINGS),
            "datetime": ["2024-01-01"] * len(RINGS),
            "geometry": [shapely.Polygon(ring).wkb for _, ring in RINGS.values()],
            "assets": [{"b": {"href": str(image)}}] * len(RINGS),
        }
    )
    sides = ("xmin", "ymin", "xmax", "ymax")
    boxes = pa.array([dict(zip(sides, map(float, box), strict=True)) for box, _ in RINGS.values()])
    pq.write_table(table.append_column("bbox", boxes), folder / "boxes.parquet")
    pq.write_table(table, folder / "geometry.parquet")
    with rasteret_sql.connect(workspace_dir=folder / "ws") as con:
        con.execute(f"CREATE TABLE kept AS FROM '{folder}/boxes.parquet'")
        yield con, folder


SOURCES = {
    "catalog": "rasteret_build_from_stac('{name}', '{folder}/items.json'{more})",
    "catalog without boxes": "rasteret_build_from_stac('{name}', '{folder}/bare.json'{more})",
    "parquet": "rasteret_build_from_table('{folder}/geometry.parquet', name := '{name}'{more})",
    "parquet with boxes": "rasteret_build_from_table('{folder}/boxes.parquet', name := '{name}'{more})",
    "duckdb": "rasteret_build_from_table('kept', name := '{name}'{more})",
}


@pytest.mark.parametrize("source", some(SOURCES, 5))
def test_one_place_in_all_its_writings(world, source):
    con, folder = world
    name = source.replace(" ", "_")
    con.execute(f"FROM {SOURCES[source].format(name=name, folder=folder, more='')}").fetchall()
    con.execute(f"FROM rasteret_export('{name}', '{folder}/{name}')").fetchall()
    collection = rasteret_sql.load(folder / name)
    for number, (box, expected) in enumerate(ASKED.items()):
        some = SOURCES[source].format(name=f"{name}_{number}", folder=folder, more=f", bbox := {list(box)}")
        if expected:
            assert {one for (one,) in con.execute(f"SELECT id FROM {some}").fetchall()} == expected, box
        west, south, east, north = box
        area = shapely.box(west, south, east + 360 * (east < west), north)
        found = con.execute("SELECT id FROM rasteret_scenes($1, $2)", [name, area.wkt]).fetchall()
        assert {one for (one,) in found} == expected, box
        assert set(collection.subset(bbox=box).to_table(["id"])["id"].to_pylist()) == expected, box
        assert set(collection.subset(geometries=area).to_table(["id"])["id"].to_pylist()) == expected, box


def test_a_collection_has_footprints_that_others_can_use(world):
    """Cut at 180 degrees, as RFC 7946 asks for: their area is that of the image."""
    con, folder = world
    con.execute(f"FROM {SOURCES['catalog'].format(name='cut', folder=folder, more='')}").fetchall()
    rows = con.execute(
        "SELECT id, st_aswkb(geometry), bbox.xmin, bbox.xmax FROM rasteret.cut "
        "WHERE id IN ('across', 'minmax', 'turn') ORDER BY id"
    ).fetchall()
    assert [(name, west, east) for name, _, west, east in rows] == [
        (name, -180, 180) for name in ("across", "minmax", "turn")
    ]
    for name, wkb, _, _ in rows:
        assert shapely.from_wkb(wkb).area == pytest.approx(2.62), name


IMAGES = {
    "antarctica": ("EPSG:3031", -3e6, 3e6, 1e5, 60, 60),
    "arctic": ("EPSG:3413", -3e6, 3e6, 1e5, 60, 60),
    "equal_earth": ("EPSG:8857", -17243959, 8392927, 172439.59, 200, 97),
    "ease": ("EPSG:6933", -17367530, 7314540, 173675.3, 200, 84),
    "mollweide": ("ESRI:54009", -18040095, 9020047, 180400.95, 200, 100),
    "fiji": ("EPSG:32760", 700000, 8200000, 1000, 200, 100),
    "from_0_to_360": ("EPSG:4326", 0, 90, 3.6, 100, 50),
}
PLACES = [
    (0, -89.5),
    (45, -80),
    (0, 89.5),
    (-100, 80),
    (179.99, 10),
    (-179.99, 10),
    (0, 0),
    (-73, 40),
    (179.9, -17),
    (-179.9, -17),
]


def shown(image, lon, lat):
    """True where the place, moved with pyproj, lies on the image."""
    crs, west, north, resolution, width, height = image
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    turns = (0, 360) if crs == "EPSG:4326" else (0,)
    inside = [0 <= x + turn - west <= width * resolution for turn in turns]
    return bool(np.isfinite(x) and any(inside) and 0 <= north - y <= height * resolution)


@pytest.mark.exhaustive
def test_files_of_poles_and_of_the_globe_give_footprints(tmp_path):
    items = [make_item(name, write_tif(tmp_path / f"{name}.tif", image)) for name, image in IMAGES.items()]
    items.append(make_item("nowhere", write_tif(tmp_path / "nowhere.tif", ("EPSG:32633", 1e9, 1e9, 10, 32, 32))))
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con, pytest.warns(match="without geometry"):
        con.execute(f"FROM rasteret_build_from_stac('x', '{save(tmp_path / 'items.json', items)}')").fetchall()
        for lon, lat in PLACES:
            found = con.execute("SELECT id FROM rasteret_scenes('x', $1)", [f"POINT ({lon} {lat})"]).fetchall()
            expected = {name for name, image in IMAGES.items() if shown(image, lon, lat)}
            assert {one for (one,) in found} == expected, (lon, lat)
        row = con.execute("SELECT geometry, bbox, status FROM rasteret.x WHERE id = 'nowhere'").fetchall()
        assert row == [(None, None, "geometry: its files lie nowhere on Earth in their CRS, so they give no footprint")]
        assert con.execute("SELECT count(*) FROM rasteret.x WHERE status = 'ok'").fetchone() == (len(IMAGES),)


def test_a_table_of_a_polar_projection(tmp_path):
    """Footprints in EPSG:3031: one around the pole, one in a corner, and one that lies nowhere."""
    image = write_tif(tmp_path / "a.tif", IMAGES["antarctica"])
    squares = [shapely.box(-1e6, -1e6, 1e6, 1e6), shapely.box(1e6, 1e6, 2e6, 2e6), shapely.box(1e30, 1e30, 2e30, 2e30)]
    crs = pyproj.CRS("EPSG:3031").to_json_dict()
    field = pa.field("geometry", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb",
                     "ARROW:extension:metadata": json.dumps({"crs": crs})})  # fmt: skip
    columns = {"id": ["pole", "corner", "lost"], "datetime": ["2024-01-01"] * 3}
    table = pa.table({**columns, "assets": [{"b": {"href": str(image)}}] * 3})
    table = table.append_column(field, pa.array([one.wkb for one in squares]))
    pq.write_table(table, tmp_path / "t.parquet")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con, pytest.warns(match="without geometry"):
        con.execute(f"FROM rasteret_build_from_table('{tmp_path}/t.parquet', name := 't')").fetchall()

        def at(lon, lat):
            query = "SELECT id FROM rasteret_scenes('t', $1) WHERE id <> 'lost'"
            return {one for (one,) in con.execute(query, [f"POINT ({lon} {lat})"]).fetchall()}

        assert at(0, -90) == at(120, -85) == at(-179, -82) == {"pole"}
        assert at(45, -71) == {"corner"}
        assert at(-135, -71) == at(0, -75) == set()
        status = con.execute("SELECT status FROM rasteret.t WHERE id = 'lost'").fetchone()[0]
        assert status == "geometry: it lies nowhere on Earth in EPSG:3031"


def test_one_id_in_two_collections(tmp_path):
    """Scenes are read by their id, so neither takes the other's place unsaid; each can be built."""
    one, two = (write_tif(tmp_path / f"{n}.tif", ("EPSG:32633", 500000, 5e6, 10, 32, 32)) for n in "ab")
    items = [make_item("s", one, collection="first"), make_item("s", two, collection="second")]
    path = save(tmp_path / "items.json", items)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con, pytest.warns(match="without geometry"):
        with pytest.raises(StacError, match=r"of two items .* \"first\" and \"second\".* collection := 'first'"):
            rasteret_sql.build_from_stac(name="both", stac_api=path, workspace_dir=tmp_path / "ws")
        with pytest.raises(duckdb.Error, match='"first" and "second"'):
            con.execute(f"FROM rasteret_build_from_stac('both', '{path}')").fetchall()
        for collection, file in (("first", one), ("second", two)):
            con.execute(f"FROM rasteret_build_from_stac('{collection}', '{path}', '{collection}')").fetchall()
            found = con.execute(f"SELECT id, collection, assets::VARCHAR FROM rasteret.{collection}").fetchall()
            assert [row[:2] for row in found] == [("s", collection)]
            assert str(file) in found[0][2]
        assert con.execute("SELECT zonal_stats('s', 'b', NULL, collection := 'first')").fetchone() == (None,)
        same = [items[0], {**items[1], "assets": items[0]["assets"]}]
        con.execute(f"FROM rasteret_build_from_stac('same', '{save(tmp_path / 'same.json', same)}')").fetchall()
        assert con.execute("SELECT count(*) FROM rasteret.same").fetchone() == (1,)
        rows = {"id": ["s", "s"], "datetime": ["2024-01-01"] * 2, "geometry": [shapely.Point(15, 45).wkb] * 2}
        more = {"assets": [{"b": {"href": str(f)}} for f in (one, two)], "collection": ["first", "second"]}
        dated = pa.table({**rows, **more, "updated": ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]})
        with pytest.raises(TableError, match='different files of the collections "first" and "second"'):
            rasteret_sql.build_from_table(dated, name="rows", workspace_dir=tmp_path / "ws")


def test_an_append_does_not_take_an_id_of_another_collection_for_a_scene_that_it_has(tmp_path):
    one, two = (write_tif(tmp_path / f"{n}.tif", ("EPSG:32633", 500000, 5e6, 10, 32, 32)) for n in "ab")
    items = [make_item("s", one, collection="first"), make_item("t", one, collection="first")]
    path = save(tmp_path / "items.json", items)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con, pytest.warns(match="without geometry"):
        con.execute(f"FROM rasteret_build_from_stac('c', '{path}')").fetchall()
        save(tmp_path / "items.json", [*items, make_item("u", two, collection="second")])
        assert con.execute("SELECT added FROM rasteret_append('c')").fetchone() == (1,)
        save(tmp_path / "items.json", [*items, make_item("s", two, collection="second")])
        with pytest.raises(duckdb.Error, match='"first" and "second"'):
            con.execute("FROM rasteret_append('c')").fetchall()
        save(tmp_path / "items.json", [*items, make_item("s", one, collection="second")])
        assert con.execute("SELECT added FROM rasteret_append('c')").fetchone() == (0,)
        assert con.execute("SELECT count(*) FROM rasteret.c").fetchone() == (3,)
