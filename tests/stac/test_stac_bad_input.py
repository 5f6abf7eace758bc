"""What bad input gets: each row of the table in docs/search.md, from the search to the pixels, in both languages."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import duckdb
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import geometry_window
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import rasteret_sql
from rasteret_sql import DatasetDescriptor, DatasetRegistry
from rasteret_sql.errors import CorruptTiffError, InvalidArgumentError, MissingObjectError, StacError, StorageError
from rasteret_sql.stac import http_json as documents
from tests.sampling import some
from tests.servers.stac_api import Faults, StacApiServer
from tests.stac.stac_items import TIFF, make_item

PAGE = Path(__file__).parents[2] / "docs" / "search.md"
AREA = (9.0003, 45.1526, 9.0009, 45.1534)
"""Within all images."""
BOX = shapely.box(9.0, 45.15, 9.002, 45.16)
POLYGON = f"'{shapely.box(*AREA).wkt}'"


@pytest.fixture
def files(tmp_path):
    """Images at one place: in metres, in degrees, in metres without a CRS, and no TIFF at all."""
    size = {"width": 16, "height": 16, "count": 1, "dtype": "uint16"}
    for name, crs, grid in (
        ("metres", 32632, from_origin(500000, 5000050, 10, 10)),
        ("degrees", 4326, from_origin(9.0, 45.154, 0.0001, 0.0001)),
        ("loose", None, from_origin(500000, 5000050, 10, 10)),
    ):
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", crs=crs, transform=grid, **size) as out:
            out.write(np.arange(1, 257, dtype="uint16").reshape(1, 16, 16))
    (tmp_path / "page.tif").write_text("<html>sign in</html>")
    return tmp_path


def item(name="odd", properties=None, **changes):
    made = make_item(name, properties={"proj:epsg": 32632} | (properties or {}), collection="c")
    made |= {"geometry": shapely.geometry.mapping(BOX), "bbox": list(BOX.bounds), "assets": {"a": asset("metres.tif")}}
    return made | changes


def asset(href, **more):
    return {"href": href, "type": TIFF, **more}


def build(files, *items, expect=(), **given):
    """A collection of these items; each text of `expect` is in a warning, and there is no other warning."""
    (files / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        built = rasteret_sql.build_from_stac(
            name="bad", stac_api=files / "items.json", workspace_dir=files / "ws", force=True, **given
        )
    said = [str(one.message) for one in told]
    assert len(said) == len(expect), said
    for text in expect:
        assert any(text in one for one in said), (text, said)
    return built


def sql(files, query):
    """Rows of a query to the collection, in a session of its own."""
    with rasteret_sql.connect(workspace_dir=files / "ws") as con:
        con.execute("FROM rasteret.bad").fetchall()
        return con.execute(query).fetchall()


def refused(files, error, says, *items, **given):
    """The build fails in Python and in SQL, with one line."""
    with pytest.raises(error, match=says):
        build(files, *items, **given)
    with rasteret_sql.connect(workspace_dir=files / "ws") as con, pytest.raises(duckdb.Error, match=says) as told:
        con.execute("FROM rasteret_build_from_stac('bad', $1, force := true)", [str(files / "items.json")]).fetchall()
    assert "\n" not in str(told.value).strip().partition("\n\n")[0]


def row(collection):
    (one,) = collection.to_table(["id", "datetime", "geometry", "bbox", "proj:epsg", "crs", "status"]).to_pylist()
    return one


# Descriptors


@pytest.mark.parametrize(
    ("text", "says"),
    some(
        [
            ("{", "is not JSON|not a JSON"),
            ("[]", "object such as"),
            ("{}", "dataset id"),
            ('{"id": ""}', "dataset id"),
            ('{"id": 7}', "dataset id"),
            ('{"id": "a/b", "stac_ap": "https://x"}', 'no field "stac_ap": did you mean "stac_api"'),
            ('{"id": "a/b", "band_map": ["B04"]}', "band_map has to map names"),
            ('{"id": "a/b", "band_map": {"B04": ""}}', "band_map has to map names"),
            ('{"id": "a/b", "band_index_map": {"R": "first"}}', "band_index_map has to map names to int"),
            ('{"id": "a/b", "example_bbox": [1, 2, 3]}', "example_bbox has to be"),
            ('{"id": "a/b", "requires_auth": "yes"}', "requires_auth has to be true or false"),
            ('{"id": "a/b", "cloud_config": {"region": "x"}}', "lacks its provider"),
            ('{"id": "a/b", "bbox_columns": {"left": "w"}}', "bbox_columns names"),
        ],
        20,
    ),
)
def test_malformed_descriptors(text, says):
    with rasteret_sql.connect() as con, pytest.raises(duckdb.Error, match=says) as told:
        con.execute("FROM rasteret_register($1)", [text]).fetchall()
    assert "\n" not in str(told.value).strip().partition("\n\n")[0]
    try:
        value = json.loads(text)
    except ValueError:
        return
    with pytest.raises(ValueError, match=says):
        DatasetDescriptor.from_dict(value)
    assert DatasetRegistry.get("a/b") is None


# Documents


@pytest.mark.exhaustive
def test_cyclic_catalogs(files):
    """Catalogs that link to each other, to themselves, and to one item by several ways."""
    here = {"rel": "item", "href": "odd.json"}
    both = [{"rel": "child", "href": "a.json"}, {"rel": "child", "href": "./b.json"}, here, here]
    for name in "ab":
        (files / f"{name}.json").write_text(json.dumps({"type": "Catalog", "id": name, "links": both}))
    (files / "odd.json").write_text(json.dumps(item()))
    built = rasteret_sql.build_from_stac(name="bad", stac_api=files / "a.json", workspace_dir=files / "ws")
    assert len(built) == 1
    assert built.get_numpy(AREA, ["a"]).any()
    assert sql(files, "SELECT id FROM rasteret.bad") == [("odd",)]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    some(
        [
            ("{", StacError, "is not JSON"),
            ("[]", StacError, "holds a JSON list"),
            ('{"type": "Topology"}', StacError, "is no STAC document"),
            (
                '{"type": "Catalog", "id": "x", "links": [{"rel": "item", "href": "gone.json"}]}',
                MissingObjectError,
                "gone",
            ),
            ('{"type": "FeatureCollection", "features": [{"type": "Feature"}]}', StacError, "Feature with an id"),
            ('{"type": "FeatureCollection", "features": [{"id": "x", "properties": 7}]}', StacError, "no JSON object"),
        ],
        9,
    ),
)
def test_documents_that_are_none(files, text, error, says):
    (files / "items.json").write_text(text)
    with pytest.raises(error, match=says):
        rasteret_sql.build_from_stac(name="bad", stac_api=files / "items.json", workspace_dir=files / "ws")
    with rasteret_sql.connect(workspace_dir=files / "ws") as con, pytest.raises(duckdb.Error, match=says):
        con.execute("FROM rasteret_build_from_stac('bad', $1)", [str(files / "items.json")]).fetchall()
    assert rasteret_sql.Collection.list_collections(files / "ws") == []


@pytest.mark.parametrize(
    ("faults", "counted", "says"),
    some(
        [
            (Faults(cap=100), True, "250 items match but gave 100"),
            (Faults(cap=100), False, "neither counts what matches nor offers further pages"),
            (Faults(stop_after=2), True, "250 items match but gave"),
            (Faults(stop_after=2), False, "ended after .* items although it has more|neither counts"),
            (Faults(circle=True), False, "pages in a circle"),
            (Faults(503, 999), True, "answered 503 again after retries"),
        ],
        20,
    ),
)
def test_a_server_that_gives_a_part_makes_no_collection(files, monkeypatch, faults, counted, says):
    """Issue 3: one that stops early or caps silently is an error, never a short collection."""
    monkeypatch.setattr(documents, "BACKOFF", 0.01)
    image = {"a": asset((files / "metres.tif").as_uri())}
    # Long enough that larger pages are not asked for.
    many = [item(f"s{n}", {"note": "x" * 6000}, assets=image) for n in range(250)]
    with StacApiServer(many, counted=counted, faults=faults) as api:
        with pytest.raises((StacError, StorageError), match=says):
            rasteret_sql.build_from_stac(name="bad", stac_api=api.url, collection="c", workspace_dir=files / "ws")
        with rasteret_sql.connect(workspace_dir=files / "ws") as con:
            for query in (
                "FROM rasteret_build_from_stac('bad', $1, collection := 'c')",
                "SELECT count(*) FROM rasteret_stac_search($1, 'c')",
            ):
                with pytest.raises(duckdb.Error, match=says) as told:
                    con.execute(query, [api.url]).fetchall()
                assert "\n" not in str(told.value).strip().partition("\n\n")[0]
    assert rasteret_sql.Collection.list_collections(files / "ws") == []


# Items


@pytest.mark.parametrize(
    ("changes", "warning"),
    some(
        [
            ({"geometry": None, "bbox": None}, "1 item without geometry: odd"),
            ({"geometry": None}, "1 item without geometry: odd"),
            ({"geometry": {"type": "Blob"}, "bbox": None}, "geometry that is not GeoJSON, which is left out: odd"),
        ],
        3,
    ),
)
def test_items_without_geometry(files, changes, warning):
    """The extent of the file stands for it, so that the scene is found."""
    built = build(files, item(**changes), expect=[warning])
    (found,) = built.to_table(["geometry", "bbox"]).to_pylist()
    extent = shapely.from_wkb(found["geometry"])
    with rasterio.open(files / "metres.tif") as image:
        wanted = transform_bounds(image.crs, 4326, *image.bounds)
    assert np.allclose(extent.bounds, wanted, atol=1e-6)
    box = tuple(found["bbox"].values())
    assert np.allclose(box, wanted if changes.get("bbox", 1) is None else BOX.bounds, atol=1e-6)
    assert built.get_numpy(AREA, ["a"]).any()
    assert len(built.subset(geometries=AREA)) == 1
    assert sql(files, f"SELECT id FROM rasteret_scenes('bad', {POLYGON})") == [("odd",)]


def test_items_without_geometry_and_without_a_place(files):
    """Nothing says where it is: it is kept, can be read by its id, and no area finds it."""
    bare = item(geometry=None, bbox=None, properties={"proj:epsg": None}, assets={"a": asset("loose.tif")})
    built = build(files, bare, expect=["without geometry: odd", "neither files nor item say the CRS"])
    assert row(built)["geometry"] is None
    assert row(built)["bbox"] is None
    assert built.bounds is None
    with pytest.raises(ValueError, match="no scene of"):
        built.get_numpy(AREA, ["a"])
    assert sql(files, "SELECT len(chip_values(read_chip('odd', 'a')))") == [(256,)]


def test_the_extent_of_a_file_across_the_antimeridian(files):
    grid = from_origin(490000, 5000000, 1000, 1000)
    size = {"width": 400, "height": 16, "count": 1, "dtype": "uint8"}
    with rasterio.open(files / "far.tif", "w", driver="GTiff", crs=32660, transform=grid, **size) as out:
        out.write(np.ones((1, 16, 400), "uint8"))
    far = item(geometry=None, bbox=None, assets={"a": asset("far.tif")}, properties={"proj:epsg": 32660})
    built = build(files, far, expect=["without geometry"])
    (found,) = built.to_table(["geometry", "bbox"]).to_pylist()
    extent = shapely.from_wkb(found["geometry"])
    assert extent.geom_type == "MultiPolygon"
    assert extent.is_valid
    assert (found["bbox"]["xmin"], found["bbox"]["xmax"]) == (-180, 180)
    for x, there in ((179.5, True), (-179.5, True), (0, False)):
        area = (x, 45.05, x + 0.1, 45.1)
        assert len(built.subset(geometries=area)) == there


@pytest.mark.parametrize(
    ("when", "warning"),
    some(
        [
            ({"datetime": None}, "1 item without datetime: odd"),
            ({"datetime": "May"}, "not RFC 3339, which is left out: odd"),
        ],
        2,
    ),
)
def test_items_without_datetime(files, when, warning):
    built = build(files, item(properties=when), item("good"), expect=[warning])
    assert [one["datetime"] is None for one in built.to_table(["datetime"]).to_pylist()] == [False, True]
    assert len(built.get_numpy(AREA, ["a"])) == 2
    assert built.subset(date_range=("1900", "2100")).to_table(["id"])["id"].to_pylist() == ["good"]
    assert sql(files, "SELECT id FROM rasteret.bad WHERE datetime IS NULL") == [("odd",)]
    (only,) = (
        build(files, item(properties=when), item("good"), date_range=("1900", "2100")).to_table(["id"]).to_pylist()
    )
    assert only == {"id": "good"}


def test_start_datetime_stands_for_datetime(files):
    span = {"datetime": None, "start_datetime": "2024-05-01T00:00:00Z", "end_datetime": "2024-05-31T00:00:00Z"}
    assert row(build(files, item(properties=span)))["datetime"].isoformat() == "2024-05-01T00:00:00"


@pytest.mark.parametrize("said", some([{}, {"proj:epsg": None}, {"proj:epsg": 32633}, {"proj:code": "EPSG:3857"}], 9))
def test_items_without_or_with_wrong_proj_fields(files, said):
    """The file has the last word."""
    odd = item()
    odd["properties"].pop("proj:epsg")
    odd["properties"] |= said
    built = build(files, odd)
    assert (row(built)["proj:epsg"], row(built)["crs"]) == (32632, "EPSG:32632")
    assert built.get_numpy(AREA, ["a"]).any()


def test_a_file_without_crs_has_that_of_its_item(files):
    built = build(files, item(assets={"a": asset("loose.tif")}))
    assert row(built)["proj:epsg"] == 32632
    assert np.array_equal(built.get_numpy(AREA, ["a"]), build(files, item()).get_numpy(AREA, ["a"]))


def test_a_crs_that_nobody_says(files):
    loose = item(properties={"proj:epsg": None}, assets={"a": asset("loose.tif")})
    built = build(files, loose, expect=["1 scene of which neither files nor item say the CRS, so only whole images"])
    assert row(built)["status"] == "ok"
    with pytest.raises(ValueError, match="no georeference"):
        built.get_numpy(AREA, ["a"])
    assert sql(files, "SELECT len(chip_values(read_chip('odd', 'a')))") == [(256,)]


def test_an_id_twice(files):
    """The same item once; of two the one that was updated later, else the first."""
    assert len(build(files, item(), item())) == 1
    newer = item(properties={"updated": "2024-05-02T00:00:00Z"}, assets={"a": asset("degrees.tif")})
    older = item(properties={"updated": "2024-05-01T00:00:00Z"})
    told = "1 item given twice with different files, the one updated last is used: odd"
    for pair in ((newer, older), (older, newer)):
        assert row(build(files, *pair, expect=[told]))["proj:epsg"] == 4326
    assert row(build(files, item(), item(assets={"a": asset("degrees.tif")}), expect=[told]))["proj:epsg"] == 32632


@pytest.mark.exhaustive
def test_several_crs_in_a_collection(files):
    """Each scene in its own; arrays of two sizes are no one array, and are not reprojected unsaid."""
    other = item("other", assets={"a": asset("degrees.tif")}, properties={"proj:epsg": 4326})
    built = build(files, item(), other)
    assert built.epsg == [4326, 32632]
    assert sorted(built.to_table(["proj:epsg"])["proj:epsg"].to_pylist()) == [4326, 32632]
    with pytest.raises(ValueError, match="ragged shapes"):
        built.get_numpy(AREA, ["a"])
    assert len(built.where('"proj:epsg" = 4326').get_numpy(AREA, ["a"])) == 1
    means = dict(sql(files, f"SELECT id, zonal_stats(id, 'a', {POLYGON}).mean FROM rasteret.bad"))
    assert all(mean > 0 for mean in means.values())


@pytest.mark.exhaustive
def test_several_crs_among_the_assets_of_an_item(files):
    """Each band in that of its file; the scene's own is unknown, unless the item says one."""
    assets = {"a": asset("metres.tif", **{"proj:epsg": 32632}), "b": asset("degrees.tif", **{"proj:epsg": 4326})}
    told = "1 scene whose files are in several CRS, each band is read in its own: odd"
    built = build(files, item(properties={"proj:epsg": None}, assets=assets), expect=[told])
    assert (row(built)["proj:epsg"], row(built)["crs"], row(built)["status"]) == (None, None, "ok")
    assert row(build(files, item(assets=assets), expect=[told]))["proj:epsg"] == 32632
    with rasterio.open(files / "degrees.tif") as image:
        pixels = image.read(1, window=geometry_window(image, [shapely.box(*AREA)]))
        got = built.get_numpy(AREA, ["b"])[0]
        assert got.shape == pixels.shape
        assert np.array_equal(got[got > 0], pixels[got > 0])
    assert built.get_numpy(AREA, ["a"]).any()
    with pytest.raises(ValueError, match=r"different grids \(a 16 × 16 in EPSG:32632, b 16 × 16 in EPSG:4326\)"):
        built.get_numpy(AREA, ["a", "b"])


# Files


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("href", "why"),
    some(
        [
            ("page.tif", "not a TIFF file: it starts with '<html"),
            ("gone.tif", "no such file"),
            ("ftp://h.example/a.tif", "no store is known"),
        ],
        3,
    ),
)
def test_hrefs_that_are_no_tiff(files, href, why):
    """One keeps its scene, with the reason; where none can be read, the build fails."""
    odd = item(assets={"a": asset("metres.tif"), "b": asset(href)})
    built = build(files, odd, item("good", assets={"a": asset("metres.tif"), "b": asset("metres.tif")}), expect=[why])
    status = dict(zip(*built.to_table(["id", "status"]).to_pydict().values(), strict=True))
    assert status["good"] == "ok"
    assert status["odd"].startswith("b: ")
    assert why in status["odd"]
    assert len(built.get_numpy(AREA, ["a"])) == 2
    with pytest.warns(RuntimeWarning, match="1 of 2 scenes could not be read"):
        assert len(built.get_numpy(AREA, ["b"])) == 1
    assert sql(files, "SELECT id FROM rasteret.bad WHERE status = 'ok'") == [("good",)]
    errors = (CorruptTiffError, MissingObjectError, InvalidArgumentError)
    refused(files, errors, "none of the 1 files could be read", item(assets={"b": asset(href)}))


@pytest.mark.exhaustive
def test_assets_that_do_not_claim_to_be_tiffs(files):
    """They are no bands; a band map that names one makes it one."""
    words = {"href": "page.txt", "type": "text/plain"}
    assert build(files, item(assets={"a": asset("metres.tif"), "words": words})).bands == ["a"]
    refused(files, StacError, r"none of 1 items has a TIFF asset.*words \(text/plain\)", item(assets={"words": words}))
    refused(files, StacError, "none of 1 items has a TIFF asset.*none", item(assets={}))
    bare = item("bare", assets={})
    built = build(files, item(), bare, expect=["1 item without an asset for any band: bare"])
    assert len(built) == 2
    unsaid = {"a": {"href": "metres.tif", "type": "application/octet-stream"}}
    assert build(files, item(assets=unsaid), band_map={"B1": "a"}).get_numpy(AREA, ["B1"]).any()


@pytest.mark.exhaustive
def test_alternate_hrefs(files):
    """`href` where there is one; else s3, aws, https, http, cloudfront, then any."""
    here, there = {"href": "metres.tif"}, {"href": "degrees.tif"}
    cases = [
        ({"href": "metres.tif", "alternate": {"s3": there}}, 32632),
        ({"alternate": {"mirror": there, "https": here}}, 32632),
        ({"href": None, "alternate": {"http": there, "s3": here, "aws": there}}, 32632),
        ({"href": "", "alternate": {"mirror": there}}, 4326),
    ]
    for odd, epsg in cases:
        assert row(build(files, item(assets={"a": {"type": TIFF, **odd}})))["proj:epsg"] == epsg
    nothing = {"a": asset("metres.tif"), "b": {"type": TIFF, "alternate": {"x": {}}}}
    assert build(files, item(assets=nothing)).bands == ["a"]


class Bucket:
    """A backend of one's own that has a bucket."""

    def __init__(self, directory):
        self.directory = directory
        self.read = []

    async def get_range(self, url, start, length):
        self.read.append(url)
        return (self.directory / url.rpartition("/")[2]).read_bytes()[start : start + length]

    async def get_ranges(self, url, ranges):
        return [await self.get_range(url, *one) for one in ranges]


@pytest.mark.exhaustive
def test_copies_in_buckets(files):
    """`s3_a` is no band of its own; a build with a backend reads it in place of `a`, as rasteret's does."""
    assets = {"a": asset("metres.tif"), "s3_a": asset("s3://private/degrees.tif"), "s3_b": asset("metres.tif")}
    plain = build(files, item(assets=assets))
    assert plain.bands == ["a", "s3_b"]
    assert row(plain)["proj:epsg"] == 32632
    bucket = Bucket(files)
    (files / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item(assets=assets)]}))
    given = {"name": "own", "stac_api": files / "items.json", "workspace_dir": files / "ws", "backend": bucket}
    with pytest.warns(RuntimeWarning, match="several CRS"):
        built = rasteret_sql.build_from_stac(**given)
    assert "s3://private/degrees.tif" in bucket.read
    hrefs = {name: one["href"] for name, one in built.to_table(["assets"])["assets"][0].as_py().items()}
    assert hrefs == {"a": "s3://private/degrees.tif", "s3_b": str(files / "metres.tif")}
    # A refresh asks for the same files; without a word on the backend it would else have changed all addresses.
    reads = len(bucket.read)
    built.refresh(backend=bucket)
    assert built.to_table(["assets"])["assets"][0].as_py()["a"]["href"] == "s3://private/degrees.tif"
    assert len(bucket.read) > reads
    with pytest.raises(InvalidArgumentError, match="s3_a"):
        build(files, item(assets=assets), band_map={"A": "s3_c"})


ROWS = {
    "a descriptor with an unknown field, a value of the wrong kind, no id": [test_malformed_descriptors],
    "catalogs that link in a circle": [test_cyclic_catalogs],
    "a document that is not JSON, is not STAC, or does not exist": [test_documents_that_are_none],
    "an item without geometry, or with one that is not GeoJSON": [
        test_items_without_geometry, test_items_without_geometry_and_without_a_place,
        test_the_extent_of_a_file_across_the_antimeridian,
    ],
    "an item without datetime": [test_items_without_datetime, test_start_datetime_stands_for_datetime],
    "an item without `proj:` fields, or with wrong ones": [
        test_items_without_or_with_wrong_proj_fields, test_a_file_without_crs_has_that_of_its_item,
        test_a_crs_that_nobody_says,
    ],
    "an id that occurs twice": [test_an_id_twice],
    "several CRS in a collection": [test_several_crs_in_a_collection],
    "several CRS among the assets of an item": [test_several_crs_among_the_assets_of_an_item],
    "an href that is not a TIFF, or leads nowhere": [test_hrefs_that_are_no_tiff],
    "an asset that does not say that it is a TIFF": [test_assets_that_do_not_claim_to_be_tiffs],
    "`alternate` hrefs": [test_alternate_hrefs],
    "copies in buckets, `s3_x` beside `x`": [test_copies_in_buckets],
}  # fmt: skip


def test_the_page_has_just_these_rows():
    part = PAGE.read_text("utf-8").partition("## What bad input gets\n")[2].partition("\n## ")[0]
    rows = [found[1] for line in part.splitlines() if (found := re.match(r"\| (.+?) \| ", line))]
    assert rows[1:] == list(ROWS)
