"""The error table of the reference, row by row: the documented class in Python, one readable line in SQL.

Each row has the words of its condition. Rows where ours does better than documented are in `BETTER`, each with what is
given instead; rows on calls that are not there yet in `LATER`, with a test that they are not.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql as rasteret
from rasteret_sql import Collection, DatasetDescriptor, DatasetRegistry, catalog
from tests.promises.conftest import Site, area
from tests.sampling import some, some_tuples

S2 = "earthsearch/sentinel-2-l2a"
DATES = ("2024-01-01", "2024-03-31")
BAY = (-122.5, 37.5, -122.0, 38.0)
BAY_SQL = "bbox := [-122.5, 37.5, -122, 38]"
DATES_SQL = "date_range := ['2024-01-01', '2024-03-31']"
STAC_SQL = "rasteret_build_from_stac('x', $api, collection := 'sentinel-2-l2a'"


@dataclass(frozen=True)
class World:
    """What the rows work with."""

    site: Site
    home: Path
    bay: Collection
    """Two scenes of January and March."""

    def stac(self, **given: Any) -> Collection:
        given = {"collection": "sentinel-2-l2a", "bbox": BAY, "date_range": DATES} | given
        return rasteret.build_from_stac(name="x", stac_api=self.site.url, **given)

    def table(self, **columns: Any) -> pa.Table:
        """A table of one scene, its columns replaced or, where they are None, left out."""
        square = shapely.to_wkb(shapely.box(0, 0, 1, 1))
        assets = pa.array([{"B": {"href": "b.tif"}}])
        whole = {"id": ["a"], "datetime": [2024], "geometry": [square], "assets": assets} | columns
        return pa.table({name: column for name, column in whole.items() if column is not None})

    def file(self, **columns: Any) -> Path:
        pq.write_table(self.table(**columns), self.home / "t.parquet")
        return self.home / "t.parquet"

    def export(self, change: Callable[[pa.Table], pa.Table]) -> Path:
        """A collection as one file, changed."""
        pq.write_table(change(self.bay.to_table(headers=True)), self.home / "changed.parquet")
        return self.home / "changed.parquet"


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    condition: str
    call: Callable[[World], object]
    error: type[Exception]
    says: str
    """In both languages."""
    sql: str = ""
    """The same call, where SQL has one; `$api` and `$home` stand for addresses."""


def build_bay(site: Site, workspace: Path) -> Collection:
    return rasteret.build_from_stac(
        name="bay", stac_api=site.url, collection="sentinel-2-l2a", bbox=BAY, date_range=DATES, workspace_dir=workspace
    )


@pytest.fixture(scope="module")
def built(site, tmp_path_factory):
    """A workspace in which `bay` was built."""
    workspace = tmp_path_factory.mktemp("built")
    build_bay(site, workspace)
    return workspace


@pytest.fixture
def world(site, home, built):
    shutil.copytree(built, home, dirs_exist_ok=True)
    asked = site.requests()
    bay = build_bay(site, home)
    assert site.requests() == asked  # it is there
    rasteret.register(DatasetDescriptor(id="acme/none"))
    rasteret.register(
        DatasetDescriptor(id="acme/secret", stac_api=site.url, stac_collection="naip", requires_auth=True,
                          s3_credentials_url="https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials")
    )  # fmt: skip
    rasteret.register(
        DatasetDescriptor(id="acme/words", stac_api=f"{home}/words.json", band_map={"A": "a"}, static_catalog=True)
    )
    item = {"type": "Feature", "id": "w", "geometry": None, "properties": {"datetime": "2024-01-01T00:00:00Z"}}
    (home / "words.json").write_text(json.dumps(item | {"assets": {"text": {"href": "t.txt", "type": "text/plain"}}}))
    columns = {"when": "datetime"}
    rasteret.register(DatasetDescriptor(id="acme/table", record_table_uri=f"{home}/t.parquet", column_map=columns))
    return World(site, home, bay)


def without(*names: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns(list(names))


def headless(table: pa.Table) -> pa.Table:
    """A table whose bands have no headers at all."""
    return table.drop_columns([name for name in table.column_names if name.endswith(("_metadata", "_header"))])


def incomplete(table: pa.Table) -> pa.Table:
    """A header that lacks where its tiles are."""
    return headless(table).append_column("B04_metadata", pa.array([{"dtype": "uint16"}] * len(table)))


def boxed_as_text(table: pa.Table) -> pa.Table:
    return table.set_column(table.column_names.index("bbox"), "bbox", pa.array(["0,0,1,1"] * len(table)))


def build_table(world: World, **columns: Any) -> object:
    world.file(**columns)
    return rasteret.build("acme/table", name="x", date_range=DATES)


BUILDS = [
    Row("unknown id", lambda w: rasteret.build("no/such", name="x"), KeyError, "no/such.*Known",
        "rasteret_build('no/such')"),
    Row("STAC dataset without bbox", lambda w: rasteret.build(S2, name="x", date_range=DATES), ValueError, "bbox",
        f"rasteret_build('{S2}', {DATES_SQL})"),
    Row("STAC dataset without date_range", lambda w: rasteret.build(S2, name="x", bbox=BAY), ValueError, "date_range",
        f"rasteret_build('{S2}', {BAY_SQL})"),
    Row("build: west of east", lambda w: rasteret.build(S2, name="x", bbox=(1, 2, 1, 4), date_range=DATES), ValueError,
        "west", f"rasteret_build('{S2}', bbox := [1, 2, 1, 4], {DATES_SQL})"),
    Row("west >= east", lambda w: w.stac(bbox=(1, 2, 1, 4)), ValueError, "west",
        "rasteret_build_from_stac('x', $api, bbox := [1, 2, 1, 4])"),
    Row("south >= north", lambda w: w.stac(bbox=(1, 4, 3, 2)), ValueError, "south",
        "rasteret_build_from_stac('x', $api, bbox := [1, 4, 3, 2])"),
    Row("start after end", lambda w: w.stac(date_range=("2024-02-01", "2024-01-01")), ValueError, "2024-02-01",
        "rasteret_build_from_stac('x', $api, date_range := ['2024-02-01', '2024-01-01'])"),
    Row("build: start after end",
        lambda w: rasteret.build(S2, name="x", bbox=BAY, date_range=("2024-02-01", "2024-01-01")), ValueError,
        "2024-02-01", f"rasteret_build('{S2}', {BAY_SQL}, date_range := ['2024-02-01', '2024-01-01'])"),
    Row("no access path", lambda w: rasteret.build("acme/none", name="x"), ValueError, "acme/none.*stac_api",
        "rasteret_build('acme/none')"),
    Row("s3_credentials_url set, requires_auth, no backend can be made",
        lambda w: rasteret.build("acme/secret", name="x", bbox=BAY, date_range=DATES), ValueError,
        r"backend=.*|netrc.*earthdata", f"rasteret_build('acme/secret', {BAY_SQL}, {DATES_SQL})"),
    Row("build (table): datetime source column missing, with date_range", build_table, ValueError, "when",
        f"rasteret_build('acme/table', {DATES_SQL})"),
    Row("build (table): datetime of the wrong type, with date_range", lambda w: build_table(w, when=[1.5]), ValueError,
        '"when" is of type double', f"rasteret_build('acme/table', {DATES_SQL})"),
    Row("zero items", lambda w: w.stac(bbox=(0, 0, 1, 1)), ValueError, "found no items",
        f"{STAC_SQL}, bbox := [0, 0, 1, 1], {DATES_SQL})"),
    Row("explicit band_map with assets absent from all items", lambda w: w.stac(band_map={"B": "nope"}), ValueError,
        "nope", f"{STAC_SQL}, {BAY_SQL}, band_map := {{'B': 'nope'}})"),
    Row("registered map with no match, and inference finds nothing", lambda w: rasteret.build("acme/words", name="x"),
        ValueError, r"no.* TIFF asset.*text \(text/plain\)", "rasteret_build('acme/words')"),
    Row("two bands on one asset, no band_index_map",
        lambda w: w.stac(collection="naip", bbox=None, date_range=None, band_map={"R": "image", "G": "image"}),
        NotImplementedError, "band_index_map",
        "rasteret_build_from_stac('x', $api, collection := 'naip', band_map := {'R': 'image', 'G': 'image'})"),
    Row("build_from_table: required columns missing after mapping",
        lambda w: rasteret.build_from_table(w.file(assets=None), name="x", column_map={"id": "name"}), ValueError,
        "lacks the column.* assets", "rasteret_build_from_table('$home/t.parquet', column_map := {'id': 'name'})"),
    Row("href_column absent",
        lambda w: rasteret.build_from_table(w.file(), name="x", href_column="nope", band_index_map={"B": 0}),
        ValueError, "nope",
        "rasteret_build_from_table('$home/t.parquet', href_column := 'nope', band_index_map := {'B': 0})"),
    Row("unreadable path", lambda w: rasteret.build_from_table("no.parquet", name="x"), FileNotFoundError,
        "no.parquet", "rasteret_build_from_table('no.parquet', name := 'x')"),
]  # fmt: skip

LOADS = [
    Row("load: path missing", lambda w: rasteret.load("nowhere"), FileNotFoundError, "nowhere",
        "rasteret_load('nowhere')"),
    Row("from_parquet: path missing", lambda w: Collection.from_parquet("nowhere"), FileNotFoundError, "nowhere"),
    Row("load: missing columns", lambda w: rasteret.load(w.export(without("datetime", "assets"))), ValueError,
        "lacks the columns datetime, assets", "rasteret_load('$home/changed.parquet')"),
    Row("from_parquet: missing columns", lambda w: Collection.from_parquet(w.export(without("geometry"))), ValueError,
        "lacks the columns geometry", "rasteret_load('$home/changed.parquet')"),
    Row("load: bbox not a struct", lambda w: rasteret.load(w.export(boxed_as_text)), ValueError,
        "column bbox is string, not a struct", "rasteret_load('$home/changed.parquet')"),
    Row("from_parquet: bbox not a struct", lambda w: Collection.from_parquet(w.export(boxed_as_text)), ValueError,
        "column bbox is string, not a struct"),
    Row("load: empty directory", lambda w: rasteret.load(made(w.home / "empty")), ValueError, "no Parquet files",
        "rasteret_load('$home/empty')"),
    Row("from_parquet: empty directory", lambda w: Collection.from_parquet(made(w.home / "empty")), ValueError,
        "no Parquet files"),
    Row("as_collection: missing columns", lambda w: rasteret.as_collection(w.table(assets=None)), ValueError,
        "lacks bbox, assets|lacks assets, bbox"),
    Row("as_collection: no metadata columns",
        lambda w: rasteret.as_collection(headless(w.bay.to_table(headers=True))), ValueError, "_metadata"),
    Row("as_collection: incomplete metadata struct",
        lambda w: rasteret.as_collection(incomplete(w.bay.to_table(headers=True))), ValueError,
        "B04_metadata .*lacks .*tile_offsets"),
    Row("as_collection: wrong input type", lambda w: rasteret.as_collection(7), TypeError, "7|int"),
    Row("as_collection: a path", lambda w: rasteret.as_collection("t.parquet"), TypeError, "open a path with load"),
    Row("as_collection: start not datetime",
        lambda w: rasteret.as_collection(w.bay.to_table(headers=True), start_date="2024-01-01"), TypeError,
        "datetimes, not '2024-01-01'"),
    Row("as_collection: end not datetime",
        lambda w: rasteret.as_collection(w.bay.to_table(headers=True), end_date=dt.date(2024, 1, 1)), TypeError,
        "datetimes, not datetime.date"),
]  # fmt: skip

POINT = (-122.3, 37.7)
# In SQL an unknown column or argument is DuckDB's own error, which shows what there is.
SCENES = "rasteret_scenes('bay', 'POINT (0 0)'"
CALLS = [
    Row("subset: nothing given", lambda w: w.bay.subset(), ValueError, "No filters provided"),
    Row("subset: cloud_cover_lt above 100", lambda w: w.bay.subset(cloud_cover_lt=101), ValueError,
        "0 to 100, not 101"),
    Row("subset: cloud_cover_lt below 0", lambda w: w.bay.subset(cloud_cover_lt=-1), ValueError, "0 to 100, not -1"),
    Row("subset: no cloud column", lambda w: bare(w).subset(cloud_cover_lt=5), ValueError, "'eo:cloud_cover', which"),
    Row("subset: date_range empty", lambda w: w.bay.subset(date_range=()), ValueError, r"date_range \(\)"),
    Row("subset: date_range without ends", lambda w: w.bay.subset(date_range=(None, None)), ValueError, "neither"),
    Row("subset: date_range reversed", lambda w: w.bay.subset(date_range=("2024-02-01", "2024-01-01")), ValueError,
        "starts after it ends", f"{SCENES}, date_range := ['2024-02-01', '2024-01-01'])"),
    Row("subset: no datetime column", lambda w: rasteret.load(w.export(without("datetime"))).subset(date_range=DATES),
        ValueError, "datetime", "rasteret_load('$home/changed.parquet')"),
    Row("subset: bbox not 4 long", lambda w: w.bay.subset(bbox=(1, 2, 3)), ValueError, "west, south, east, north",
        "rasteret_build_from_stac('x', $api, bbox := [1, 2, 3])"),
    Row("subset: bbox min > max", lambda w: w.bay.subset(bbox=(3, 2, 1, 4)), ValueError, "minimum above its maximum"),
    Row("subset: no struct bbox", lambda w: rasteret.load(w.export(boxed_as_text)).subset(bbox=BAY), ValueError,
        "bbox is string", "rasteret_load('$home/changed.parquet')"),
    Row("subset: split column missing", lambda w: w.bay.subset(split="train"), ValueError, "'split', which collection"),
    Row("subset: another split column missing", lambda w: w.bay.subset(split="train", split_column="fold"), ValueError,
        "'fold', which collection"),
    Row("subset: bad split value", lambda w: w.bay.subset(split=7), ValueError, "not 7"),
    Row("subset: empty split value", lambda w: w.bay.subset(split=[]), ValueError, r"not \[\]"),
    Row("subset: bad value among the splits", lambda w: w.bay.subset(split=["train", ""]), ValueError, "'train', ''"),
    Row("select_split: bad split value", lambda w: w.bay.select_split(None), ValueError, "not None"),
    Row("subset: unknown keyword", lambda w: w.bay.subset(cloudy=1), TypeError, "cloudy"),
    Row("get_numpy: unknown keyword", lambda w: w.bay.get_numpy(area("sf-jan"), ["B04"], cloudy=1), TypeError,
        "cloudy"),
    Row("get_xarray: unknown band", lambda w: w.bay.get_xarray(area("sf-jan"), ["B99"]), ValueError,
        "B99.*Known: coastal"),
    Row("get_gdf: unknown band", lambda w: w.bay.get_gdf(area("sf-jan"), ["B99"]), ValueError, "B99.*Known: coastal"),
    Row("sample_points: unknown band", lambda w: w.bay.sample_points(POINT, ["B99"]), ValueError,
        "B99.*Known: coastal"),
    Row("sample_points: bad match", lambda w: w.bay.sample_points(POINT, ["red"], match="best"), ValueError,
        "match='best'"),
    Row("sample_points: negative distance", lambda w: w.bay.sample_points(POINT, ["red"], max_distance_pixels=-1),
        ValueError, "max_distance_pixels=-1"),
    Row("sample_points: bad neighbourhood", lambda w: w.bay.sample_points(POINT, ["red"], return_neighbourhood="some"),
        ValueError, "return_neighbourhood='some'"),
    Row("sample_points: inconsistent neighbourhood",
        lambda w: w.bay.sample_points(POINT, ["red"], return_neighbourhood="always"), ValueError,
        "needs max_distance_pixels above 0"),
    Row("head: n < 0", lambda w: w.bay.head(-1), ValueError, "0 or more"),
    Row("get_*: unknown band", lambda w: w.bay.get_numpy(area("sf-jan"), ["B99"]), ValueError, "B99.*Known: coastal",
        "(SELECT read_chip(id, 'B99', 'POINT (0 0)') FROM rasteret.bay)"),
    Row("compare_to_catalog: no descriptor", lambda w: w.bay.compare_to_catalog(), ValueError, "registered"),
]  # fmt: skip

REGISTRY = [
    Row("export_local_descriptor: id not found", lambda w: catalog.export_local_descriptor("no/such", w.home / "x"),
        KeyError, "no/such", "rasteret_export_descriptor('no/such', '$home/x')"),
    Row("DatasetDescriptor: unknown keyword", lambda w: DatasetDescriptor(id="a/b", colour="red"), TypeError, "colour",
        """rasteret_register('{"id": "a/b", "colour": "red"}')"""),
    Row("DatasetDescriptor: empty field_roles key", lambda w: DatasetDescriptor(id="a/b", field_roles={"": "fid"}),
        ValueError, "field_roles", """rasteret_register('{"id": "a/b", "field_roles": {"": "fid"}}')"""),
    Row("DatasetDescriptor: empty field_roles value", lambda w: DatasetDescriptor(id="a/b", field_roles={"id": ""}),
        ValueError, "field_roles", """rasteret_register('{"id": "a/b", "field_roles": {"id": ""}}')"""),
    Row("DatasetDescriptor: field_roles of no text", lambda w: DatasetDescriptor(id="a/b", field_roles={"id": 1}),
        ValueError, "field_roles", """rasteret_register('{"id": "a/b", "field_roles": {"id": 1}}')"""),
    Row("DatasetDescriptor: field_roles no mapping", lambda w: DatasetDescriptor(id="a/b", field_roles=["id"]),
        ValueError, "field_roles", """rasteret_register('{"id": "a/b", "field_roles": ["id"]}')"""),
    Row("DatasetDescriptor: surface of surface_fields",
        lambda w: DatasetDescriptor(id="a/b", surface_fields={"sky": []}), ValueError, "sky.*record_table",
        """rasteret_register('{"id": "a/b", "surface_fields": {"sky": []}}')"""),
    Row("DatasetDescriptor: surface of filter_capabilities",
        lambda w: DatasetDescriptor(id="a/b", filter_capabilities={"sky": ["bbox"]}), ValueError, "sky.*record_table",
        """rasteret_register('{"id": "a/b", "filter_capabilities": {"sky": ["bbox"]}}')"""),
]  # fmt: skip


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def bare(world: World) -> Collection:
    """A collection whose scenes say nothing but where and when they are."""
    return rasteret.build_from_table(world.table(), name="bare", workspace_dir=world.home / "rasteret_workspace")


@pytest.mark.parametrize("row", some([*BUILDS, *LOADS, *CALLS, *REGISTRY], 8), ids=lambda row: row.condition)
def test_every_row(world, row):
    """C3, C4, C5, C9, D5, E12, E16, E31 among them."""
    with pytest.raises(row.error, match=row.says):
        row.call(world)
    if row.sql:
        assert_one_line(world, f"FROM {row.sql}", row.says)


def assert_one_line(world: World, sql: str, says: str) -> None:
    sql = sql.replace("$home", str(world.home))
    with rasteret.connect() as con:
        if "'bay'" in sql or ".bay" in sql:
            con.execute("FROM rasteret_load(?)", [str(world.bay.path)]).fetchall()
        with pytest.raises(duckdb.Error, match=says) as told:
            con.execute(sql, {"api": world.site.url} if "$api" in sql else None).fetchall()
    # DuckDB itself adds after an empty line: 2.0 the place in the statement, 1.5 that in Python.
    message, _, added = str(told.value).strip().partition("\n\n")
    assert "\n" not in message
    assert not added or added.startswith(("LINE 1:", "At:"))


@pytest.mark.parametrize("call", [DatasetRegistry.get, DatasetRegistry.unregister, catalog.unregister_local_descriptor])
def test_an_unknown_id_is_none(home, call):
    """D23, D25, D26."""
    assert call("no/such") is None


@pytest.mark.parametrize("workspace", [str, Path])
def test_e30_listing_takes_text_and_a_missing_directory_is_empty(home, workspace):
    """Better: text is an AttributeError in rasteret."""
    assert Collection.list_collections(workspace(home / "gone")) == []
    with rasteret.connect() as con:
        sql = "FROM rasteret_collections(workspace_dir := ?)"
        assert con.execute(sql, [str(home / "gone")]).fetchall() == []


@pytest.mark.parametrize(
    "given", some_tuples([("soon", "later"), ("2024-13-01", "2024-13-02"), ("2024-01-01", "2024-01-32")], 3)
)
def test_better_dates_that_are_none_are_refused(world, given):
    """The reference lets them pass."""
    with pytest.raises(ValueError, match=given[0] if given[0] != "2024-01-01" else given[1]):
        world.stac(date_range=given)
    assert_one_line(world, f"FROM {STAC_SQL}, date_range := {list(given)!r})", "is not an ISO date")


# CRS. In the reference a whole build fails where one item does not say its CRS, or its assets disagree. Ours takes each
# band's CRS from its own file and keeps the scene, as it keeps one with an unreadable file: a build of a year is not
# lost by one item. The same ValueError comes where pixels would need what is not known.


@pytest.fixture
def askew(home):
    """Scenes with files in two CRS (`two`), in none (`none`), and as they should be (`one`)."""
    for name, crs, corner in (("utm", 32632, (500000, 5000000, 10)), ("degrees", 4326, (9, 45.155, 0.0001)),
                              ("loose", None, (9, 45, 10))):  # fmt: skip
        x, y, step = corner
        placed = {"crs": crs, "transform": from_origin(x, y, step, step)}
        shape = {"width": 16, "height": 16, "count": 1, "dtype": "uint16"}
        with rasterio.open(home / f"{name}.tif", "w", driver="GTiff", **shape, **placed) as out:
            out.write(np.arange(256, dtype="uint16").reshape(1, 16, 16))
    files = {"one": ("utm", "utm"), "two": ("utm", "degrees"), "none": ("loose", "loose")}
    codes = {"utm": {"proj:epsg": 32632}, "degrees": {"proj:epsg": 4326}, "loose": {}}
    items = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "c", "links": [],
            "bbox": [9, 45.15, 9.002, 45.16], "geometry": shapely.geometry.mapping(shapely.box(9, 45.15, 9.002, 45.16)),
            "properties": {"datetime": "2024-01-01T00:00:00Z"},
            "assets": {band: {"href": f"{home}/{of}.tif", "type": "image/tiff", **codes[of]}
                       for band, of in zip("AB", pair, strict=True)},
        }
        for name, pair in files.items()
    ]  # fmt: skip
    (home / "askew.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return home / "askew.json"


AREA = (9.0, 45.1525, 9.001, 45.1535)


def test_crs_unresolved_or_conflicting(askew, home):
    with pytest.warns(RuntimeWarning, match="CRS") as told:
        built = rasteret.build_from_stac(name="askew", stac_api=askew, workspace_dir=home)
    texts = "\n".join(str(one.message) for one in told)
    assert "1 scene whose files are in several CRS, each band is read in its own: two" in texts
    assert "1 scene of which neither files nor item say the CRS, so only whole images of it can be read: none" in texts
    rows = built.to_table(["id", "proj:epsg", "status"]).to_pylist()
    assert {row["id"]: row["proj:epsg"] for row in rows} == {"one": 32632, "two": None, "none": None}
    assert {row["status"] for row in rows} == {"ok"}

    assert built.where("id = 'two'").get_numpy(AREA, ["A"]).any()
    assert built.where("id = 'two'").get_numpy(AREA, ["B"]).any()
    with pytest.raises(ValueError, match=r"different grids \(A 16 × 16 in EPSG:32632, B 16 × 16 in EPSG:4326\)"):
        built.where("id = 'two'").get_numpy(AREA, ["A", "B"])
    with pytest.raises(ValueError, match=r'scene "none".*no georeference'):
        built.where("id = 'none'").get_numpy(AREA, ["A"])
    point = "POLYGON ((9 45.153, 9.001 45.153, 9.001 45.152, 9 45.153))"
    with rasteret.connect(workspace_dir=home) as con:
        con.execute("FROM rasteret.askew").fetchall()
        for read, says in (
            ("read_chip('two', ['A', 'B'], $1)", "different grids"),
            ("zonal_stats('none', 'A', $1)", "no georeference"),
        ):
            with pytest.raises(duckdb.Error, match=says) as error:
                con.execute(f"SELECT {read}", [point]).fetchall()
            assert "\n" not in str(error.value).strip().partition("\n\n")[0]
        assert con.execute("SELECT len(chip_values(read_chip('none', 'A')))").fetchone() == (256,)


INSTEAD = {
    "get_first_raster": r"use head\(1\) for its row",
    "iterate_rasters": r"use to_batches\(\) for rows",
    "from_arrow": "use rasteret_sql.as_collection",
}
"""Calls that are not there say what to use. Nor are there streaming collections (`hf://`) and signing by Planetary
Computer's package. No collection without a dataset can be made, so that none can be exported."""


@pytest.mark.parametrize("name", INSTEAD)
def test_calls_that_are_not_there_say_what_to_use(world, name):
    with pytest.raises(AttributeError, match=f"Collection has no attribute '{name}'; {INSTEAD[name]}"):
        getattr(world.bay, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
        world.bay.nothing  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'set_options'; give progress=True to a call"):
        rasteret.set_options  # noqa: B018
