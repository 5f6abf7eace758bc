"""`get_numpy`: areas in every form of Arrow, filters, scenes that fail, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import threading
import warnings

import duckdb
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely

import rasteret_sql
from rasteret_sql.errors import MemoryLimitError
from rasteret_sql.selection.areas import Kinds, read_areas
from rasteret_sql.session.session import new_session
from tests.collection_world import make_world
from tests.sampling import some

NATIVE = (600_000, 5_099_840, 600_160, 5_100_000)
"""Scene 0 as a whole, in EPSG:32632."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world):
    return world[0]


@pytest.fixture(scope="module")
def scenes(world):
    return world[1]


@pytest.fixture
def broken(tmp_path):
    """Scene 1 lost its file, and scene 4 its end."""
    collection, scenes = make_world(tmp_path)
    (tmp_path / "s01.tif").unlink()
    whole = (tmp_path / "s04.tif").read_bytes()
    (tmp_path / "s04.tif").write_bytes(whole[:150])
    return collection, scenes


def geoarrow(values, name="geoarrow.wkb", crs=None, **more):
    said = json.dumps({**({} if crs is None else {"crs": crs}), **more})
    metadata = {b"ARROW:extension:name": name.encode(), b"ARROW:extension:metadata": said.encode()}
    return pa.field("geom", values.type, metadata=metadata), values


def a_table(*columns, **plain):
    schema = pa.schema([field for field, _ in columns] + [pa.field(n, v.type) for n, v in plain.items()])
    return pa.Table.from_arrays([values for _, values in columns] + list(plain.values()), schema=schema)


AREA = shapely.Polygon([(600_010, 5_099_850), (600_150, 5_099_860), (600_100, 5_099_990)])
WKB = pa.array([AREA.wkb])
UTM = pyproj.CRS(32632).to_json_dict()
NESTED = [[[list(xy) for xy in AREA.exterior.coords]]]


class Stream:
    """Nothing but an Arrow stream."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Array:
    """Nothing but an Arrow array, with what its field says."""

    def __init__(self, field, values):
        self.field, self.values = field, values

    def __arrow_c_schema__(self):
        return self.field.__arrow_c_schema__()

    def __arrow_c_array__(self, requested_schema=None):
        return self.field.__arrow_c_schema__(), self.values.__arrow_c_array__()[1]


class Frame:
    """As geopandas has it: geometries and their CRS."""

    def __init__(self, geometry, crs):
        self.geometry, self.crs = geometry, crs

    def __arrow_c_stream__(self, requested_schema=None):
        raise pa.ArrowTypeError("Did not pass numpy.dtype object")


FORMS = {
    "wkb with crs": lambda: (a_table(geoarrow(WKB, crs=UTM)), {}),
    "crs as text": lambda: (a_table(geoarrow(WKB, crs="EPSG:32632")), {}),
    "large wkb": lambda: (a_table(geoarrow(WKB.cast(pa.large_binary()), crs=UTM)), {}),
    "wkt": lambda: (a_table(geoarrow(pa.array([AREA.wkt]), "geoarrow.wkt", crs=UTM)), {}),
    "crs given": lambda: (a_table(geoarrow(WKB)), {"geometry_crs": 32632}),
    "crs given in place of its own": lambda: (a_table(geoarrow(WKB, crs="OGC:CRS84")), {"geometry_crs": "EPSG:32632"}),
    "column": lambda: (a_table(shape=WKB), {"geometry_column": "shape", "geometry_crs": 32632}),
    "one of two": lambda: (
        a_table(geoarrow(WKB, crs=UTM), geoarrow(pa.array([b""]))).rename_columns(["geom", "other"]),
        {"geometry_column": "geom"},
    ),
    "polygon": lambda: (
        a_table(
            geoarrow(pa.array(NESTED[0:1], pa.list_(pa.list_(pa.list_(pa.float64(), 2)))), "geoarrow.polygon", crs=UTM)
        ),
        {},
    ),
    "multipolygon": lambda: (
        a_table(
            geoarrow(
                pa.array([NESTED], pa.list_(pa.list_(pa.list_(pa.list_(pa.float64(), 2))))),
                "geoarrow.multipolygon",
                crs=UTM,
            )
        ),
        {},
    ),
    "batch": lambda: (a_table(geoarrow(WKB, crs=UTM)).to_batches()[0], {}),
    "reader": lambda: (a_table(geoarrow(WKB, crs=UTM)).to_reader(), {}),
    "stream": lambda: (Stream(a_table(geoarrow(WKB, crs=UTM))), {}),
    "geoparquet": lambda: (
        a_table(geometry=WKB).replace_schema_metadata(
            {"geo": json.dumps({"primary_column": "geometry", "columns": {"geometry": {"crs": UTM}}})}
        ),
        {},
    ),
    "array": lambda: (WKB, {"geometry_crs": 32632}),
    "chunks": lambda: (pa.chunked_array([WKB]), {"geometry_crs": "epsg:32632"}),
    "array that says its crs": lambda: (Array(*geoarrow(WKB, crs=UTM)), {}),
    "stream of arrays": lambda: (Stream(pa.chunked_array([WKB])), {"geometry_crs": UTM}),
    "frame": lambda: (Frame([AREA], pyproj.CRS(32632)), {}),
    "frame of collections": lambda: (
        Frame([shapely.GeometryCollection([AREA, shapely.Point(AREA.exterior.coords[0])])], pyproj.CRS(32632)),
        {},
    ),
    "ewkt": lambda: (f"SRID=32632;{AREA.wkt}", {}),
    "tuple of geometries": lambda: ((AREA,), {"geometry_crs": pyproj.CRS(32632).to_wkt()}),
    "auto": lambda: (shapely.set_srid(AREA, 32632), {"geometry_crs": "auto"}),
}


@pytest.mark.parametrize("form", some(FORMS, 2))
def test_areas_of_every_form(whole, form):
    areas, options = FORMS[form]()
    expected = whole.get_numpy(AREA, ["a"], geometry_crs=32632)
    assert expected.shape == (1, 14, 14)
    np.testing.assert_array_equal(whole.get_numpy(areas, ["a"], **options), expected)


def test_lon_lat_is_the_default(whole, scenes):
    area = shapely.box(*scenes[0].bounds)
    expected = whole.get_numpy(area, "a")
    crs84 = pyproj.CRS("OGC:CRS84").to_json_dict()
    plain = pa.array([area.wkb])
    for form in (
        plain,
        pa.array([area.wkt]),
        a_table(geoarrow(plain, crs=crs84)),
        Array(*geoarrow(plain)),
        Frame([area], None),
    ):
        np.testing.assert_array_equal(whole.get_numpy(form, "a"), expected)


def test_a_collection_and_a_relation_are_areas(whole):
    part = whole.subset(split="val").where("id = 's01'")
    expected = whole.get_numpy(shapely.from_wkb(part.to_table(["geometry"])["geometry"][0].as_py()), "a")
    np.testing.assert_array_equal(whole.get_numpy(part, "a"), expected)
    np.testing.assert_array_equal(whole.get_numpy(part.scenes().project("geometry"), "a"), expected)
    without = duckdb.sql("SELECT 'POINT (1 2)'::GEOMETRY AS g")
    with pytest.raises(ValueError, match="give geometry_crs="):
        whole.get_numpy(without, "a")


@pytest.mark.parametrize(
    ("areas", "options", "error", "says"),
    [
        (a_table(geoarrow(WKB)), {}, ValueError, "does not say the CRS.*geometry_crs="),
        (a_table(shape=WKB), {}, TypeError, "no geometry column.*shape"),
        (a_table(shape=WKB), {"geometry_column": "shap"}, ValueError, "no column 'shap'.*did you mean \"shape\""),
        (
            a_table(geoarrow(WKB, crs=UTM), geoarrow(WKB, crs=UTM)).rename_columns(["one", "two"]),
            {},
            ValueError,
            "several geometry columns .one, two.",
        ),
        (a_table(geoarrow(WKB, crs=UTM, edges="spherical")), {}, ValueError, "spherical edges"),
        (a_table(geoarrow(WKB, crs={"nothing": 1})), {}, ValueError, "not known"),
        (
            a_table(geoarrow(pa.array([1]), crs=UTM)),
            {},
            ValueError,
            "cannot be made of the column .geom. of type int64",
        ),
        (a_table(geoarrow(pa.array([None], pa.binary()), crs=UTM)), {}, ValueError, "not nothing"),
        (a_table(geoarrow(pa.array([shapely.Point(1, 2).wkb]), crs=UTM)), {}, ValueError, "not a Point"),
        (a_table(geoarrow(pa.array([], pa.binary()), crs=UTM)), {}, ValueError, "no area is given"),
        (AREA, {"geometry_column": "geom"}, TypeError, "geometry_column names a column of a table"),
        (pa.array([1, 2]), {}, ValueError, "of type int64"),
        ([shapely.set_srid(AREA, 32632), AREA], {}, ValueError, "different SRIDs"),
        ((), {}, ValueError, "not four finite numbers"),
    ],
)
def test_areas_that_are_refused(whole, areas, options, error, says):
    with pytest.raises(error, match=says):
        whole.get_numpy(areas, ["a"], **options)


def test_filters(whole, scenes):
    """What get_numpy reads is what the filters, and the subset that it is called on, leave."""
    everywhere = shapely.box(9, 45, 16, 47)

    def read(collection, **filters):
        return collection.get_numpy(everywhere, "a", geometry_crs=4326, **filters)[:, 0, 0].tolist()

    first = [int(scene.pixels[0, 0]) for scene in scenes]
    assert read(whole) == first
    assert read(whole, split="val", date_range=("2024-01-11", "2024-01-14")) == [first[1], first[4]]
    assert read(whole, split=None, bbox=None, cloud_cover_lt=10) == first[:2]
    assert read(whole, split_column="split") == first
    assert read(whole.subset(split="val"), cloud_cover_lt=40) == [first[1], first[4]]
    assert read(whole.where("id = 's03'")) == [first[3]]
    with pytest.raises(TypeError, match="get_numpy has no argument 'cloud_cover'; did you mean \"cloud_cover_lt\""):
        read(whole, cloud_cover=10)
    with pytest.raises(TypeError, match="no argument 'resoluton'; did you mean \"resolution\""):
        read(whole, resoluton=10)
    with pytest.raises(ValueError, match="from 0 to 100"):
        read(whole, cloud_cover_lt=110)


class Counting:
    """A backend that counts what is asked of it."""

    def __init__(self, backend):
        self.backend, self.asked, self.lock = backend, 0, threading.Lock()

    async def get_range(self, url, start, length):
        with self.lock:
            self.asked += 1
        return await self.backend.get_range(url, start, length)

    async def get_ranges(self, url, ranges):
        return [await self.get_range(url, *one) for one in ranges]


def test_a_bbox_elsewhere_costs_no_request(whole):
    backend = Counting(whole._session.backend)
    with pytest.raises(ValueError, match="no valid data found"):
        whole.get_numpy(NATIVE, "a", geometry_crs=32632, bbox=(-10, -10, -9, -9), backend=backend)
    assert backend.asked == 0


def test_scenes_that_fail_are_told(broken):
    collection, scenes = broken
    everywhere = shapely.box(9, 45, 16, 47)
    with pytest.warns(RuntimeWarning, match=r'2 of 12 scenes could not be read, first "s01": .*s01\.tif'):
        pixels = collection.get_numpy(everywhere, "a")
    good = [scene for scene in scenes if scene.id not in ("s01", "s04")]
    np.testing.assert_array_equal(pixels, np.stack([scene.pixels for scene in good]))
    # With two areas a failing scene is left out with both.
    areas = [everywhere, everywhere]
    with pytest.warns(RuntimeWarning, match="2 of 12"):
        assert len(collection.get_numpy(areas, "a")) == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(collection.get_numpy(everywhere, "a", split="test")) == 4


def test_all_scenes_fail(broken):
    collection, _ = broken
    with pytest.raises(
        ValueError, match=r'no valid data found: 2 of 2 scenes could not be read, first "s01"'
    ) as raised:
        collection.where("id IN ('s01', 's04')").get_numpy(shapely.box(9, 45, 16, 47), "a")
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_scenes_that_lack_a_band_are_told(tmp_path):
    """One scene was built without its file: it is known to fail before anything is fetched."""
    collection, scenes = make_world(tmp_path)
    items = json.loads((tmp_path / "items.json").read_text())
    (tmp_path / "s03.tif").write_bytes(b"no TIFF")
    (tmp_path / "items.json").write_text(json.dumps(items))
    with pytest.warns(RuntimeWarning):
        again = rasteret_sql.build_from_stac(
            name="again", stac_api=tmp_path / "items.json", workspace_dir=collection.path.parent
        )
    with pytest.warns(RuntimeWarning, match='1 of 12 scenes could not be read, first "s03": .*could not be indexed'):
        pixels = again.get_numpy(shapely.box(9, 45, 16, 47), "a")
    np.testing.assert_array_equal(pixels[3], scenes[4].pixels)


def test_too_many_pixels_are_refused_at_once(whole):
    session = new_session(max_call_bytes=600)
    small = rasteret_sql.Collection(whole._index, session)
    assert small.get_numpy(NATIVE, "a", geometry_crs=32632).shape == (1, 16, 16)
    with pytest.raises(MemoryLimitError, match="max_call_bytes = 600"):
        small.get_numpy(shapely.box(9, 45, 16, 47), "a")


def test_progress(whole, capsys):
    told = []
    whole.get_numpy(NATIVE, "a", geometry_crs=32632, progress=lambda *step: told.append(step))
    assert told[-1] == (1, 1, "rows")
    whole.get_numpy(NATIVE, "a", geometry_crs=32632, progress=True, max_concurrent=5)
    assert capsys.readouterr().err.endswith("1/1 rows\n")
    whole.get_numpy(NATIVE, "a", geometry_crs=32632, progress=False)
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="max_concurrent"):
        whole.get_numpy(NATIVE, "a", max_concurrent=0)


def test_an_index_that_went_away_is_told(tmp_path):
    collection, _ = make_world(tmp_path)
    part = collection.subset(split="val")
    assert len(part) == 4
    shutil.rmtree(collection.path)
    with pytest.raises(FileNotFoundError, match="changed since it was opened"):
        len(part)


def test_points_and_lines_are_areas_of_subset_only():
    line = shapely.LineString([(0, 0), (1, 1)])
    assert read_areas(line, kinds=Kinds.ANY).geometries[0].equals(line)
    with pytest.raises(ValueError, match=re.escape("areas are polygons and multipolygons, not a LineString")):
        read_areas(line)


def test_areas_that_no_scene_meets_say_what_may_be_wrong(whole, scenes):
    west, south, east, north = scenes[0].bounds
    for area, named, says in (
        ((south, west, north, east), {}, r"with x and y swapped some would: .* would be \(10\.2925, 46\.0463\)"),
        (NATIVE, {}, r"no longitudes and latitudes in degrees, as EPSG:4326 has them: give geometry_crs="),
        ((37.7, -122.5, 37.9, -122.3), {}, "swap x and y, or give geometry_crs="),
        ((11.0, 48.0, 11.5, 48.5), {}, r"the scenes lie within \(10\.2925, 46\.0437, 13\.8517, 46\.0478\)"),
        ((0, 0, 10, 10), {"geometry_crs": 32632}, "the scenes lie within"),
        (NATIVE, {"geometry_crs": 32632, "split": "none"}, "the filters leave none"),
    ):
        with pytest.raises(ValueError, match=says):
            whole.get_numpy(area, ["a"], **named)
