"""One scene in the words of STAC 0.8 to 1.1, from an API and from a catalog: the same bands, place, time and pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import some, some_tuples
from tests.servers.stac_api import StacApiServer
from tests.stac.stac_items import TIFF

BOX = shapely.box(9.0, 45.152, 9.002, 45.154)
AREA = (9.0003, 45.1526, 9.0009, 45.1534)
COMMON = {"datetime": "2024-05-01T10:30:00Z", "eo:cloud_cover": 7}
NAMES = [{"name": "B04", "common_name": "red"}, {"name": "B08", "common_name": "nir"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of each band, and one with both."""
    folder = tmp_path_factory.mktemp("versions")
    grid = from_origin(500000, 5000050, 10, 10)
    for name, count, first in (("B04", 1, 4), ("B08", 1, 8), ("both", 2, 4)):
        size = {"width": 16, "height": 16, "count": count, "dtype": "uint8"}
        with rasterio.open(folder / f"{name}.tif", "w", driver="GTiff", crs=32632, transform=grid, **size) as out:
            out.write(np.stack([np.full((16, 16), first + 4 * n, "uint8") for n in range(count)]))
    return folder


def item(folder, version, properties, assets, **more):
    assets = {key: {"href": (folder / one["file"]).as_uri(), "type": TIFF, **one} for key, one in assets.items()}
    return {
        "type": "Feature", "stac_version": version, "id": f"scene-{version}", "collection": "c", "links": [],
        "geometry": shapely.geometry.mapping(BOX), "bbox": list(BOX.bounds),
        "properties": COMMON | properties, "assets": assets, **more,
    }  # fmt: skip


def scenes(folder):
    """Version → the scene with its bands in files of their own, and in one file."""
    one, other = ({"file": f"{band}.tif"} for band in ("B04", "B08"))
    # 0.8: bands stand in the properties, assets say their numbers.
    yield (
        item(folder, "0.8.1", {"proj:epsg": 32632, "eo:bands": NAMES}, {"B04": one | {"eo:bands": [0]}, "B08": other}),
        item(
            folder, "0.8.1", {"proj:epsg": 32632, "eo:bands": NAMES}, {"data": {"file": "both.tif", "eo:bands": [0, 1]}}
        ),
    )
    # 0.9 and 1.0: in the assets.
    for version, key in (
        ("0.9.0", "eo:bands"),
        ("1.0.0-beta.2", "eo:bands"),
        ("1.0.0", "eo:bands"),
        ("1.0.1", "eo:bands"),
    ):
        apart = {"B04": one | {key: NAMES[:1], "roles": ["data"]}, "B08": other | {key: NAMES[1:], "roles": ["data"]}}
        together = {"data": {"file": "both.tif", key: NAMES, "raster:bands": [{"data_type": "uint8"}] * 2}}
        yield item(folder, version, {"proj:epsg": 32632}, apart), item(folder, version, {"proj:epsg": 32632}, together)
    # 1.1: one list for all extensions, and a code with its authority.
    bands = [{"name": one["name"], "eo:common_name": one["common_name"], "data_type": "uint8"} for one in NAMES]
    yield (
        item(
            folder,
            "1.1.0",
            {"proj:code": "EPSG:32632"},
            {"B04": one | {"bands": bands[:1]}, "B08": other | {"bands": bands[1:]}},
        ),
        item(folder, "1.1.0", {"proj:code": "EPSG:32632"}, {"data": {"file": "both.tif", "bands": bands}}),
    )


VERSIONS = ("0.8.1", "0.9.0", "1.0.0-beta.2", "1.0.0", "1.0.1", "1.1.0")


def check(built, count=1):
    assert built.bands == ["B04", "B08"]
    rows = built.to_table(["datetime", "proj:epsg", "eo:cloud_cover", "collection", "status"]).to_pylist()
    assert len(rows) == count
    for row in rows:
        assert (row["datetime"].isoformat(), row["proj:epsg"]) == ("2024-05-01T10:30:00", 32632)
        assert (row["eo:cloud_cover"], row["collection"], row["status"]) == (7, "c", "ok")
    pixels = built.get_numpy(AREA, ["B08", "B04"])
    assert pixels.shape[:2] == (count, 2)
    assert [np.unique(band[band > 0]).tolist() for band in pixels.swapaxes(0, 1)] == [[8], [4]]


@pytest.mark.parametrize("together", some([False, True], 40), ids=["files apart", "one file"])
@pytest.mark.parametrize("version", some(VERSIONS, 2))
def test_each_version_from_an_api_and_from_a_file(folder, tmp_path, version, together):
    found = {pair[0]["stac_version"]: pair[together] for pair in scenes(folder)}
    assert list(found) == list(VERSIONS)
    with StacApiServer([found[version]]) as api:
        check(rasteret_sql.build_from_stac(name="api", stac_api=api.url, collection="c", workspace_dir=tmp_path))
    (tmp_path / "scene.json").write_text(json.dumps(found[version]))
    check(rasteret_sql.build_from_stac(name="file", stac_api=tmp_path / "scene.json", workspace_dir=tmp_path))


def test_all_versions_in_one_catalog(folder, tmp_path):
    """Each document in the version of its time, as archives have grown."""
    links = []
    for number, (apart, _) in enumerate(scenes(folder)):
        (tmp_path / f"{number}.json").write_text(json.dumps(apart))
        links.append({"rel": "item", "href": f"{number}.json"})
    collection = {"id": "c", "stac_version": "0.9.0", "extent": {}, "links": links}
    (tmp_path / "collection.json").write_text(json.dumps(collection))
    root = {
        "id": "root",
        "stac_version": "1.1.0",
        "type": "Catalog",
        "links": [{"rel": "child", "href": "collection.json"}],
    }
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    check(rasteret_sql.build_from_stac(name="all", stac_api=tmp_path / "catalog.json", workspace_dir=tmp_path), 6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("across", some_tuples([(179.5, -20, -179.5, -10), (179.5, -20, 180.5, -10)], 2))
def test_a_build_across_the_antimeridian(folder, tmp_path, across):
    """From an API and from a file, in Python and in SQL: what lies on either side, and nothing in between."""
    made = []
    for name, west, east in (("east", 179.2, 179.8), ("west", -179.9, -179.4), ("greenwich", -0.5, 0.5)):
        box = shapely.box(west, -16, east, -15)
        one = item(folder, "1.0.0", {"proj:epsg": 32632}, {"B04": {"file": "B04.tif"}})
        made.append(one | {"id": name, "bbox": list(box.bounds), "geometry": shapely.geometry.mapping(box)})
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": made}))
    with StacApiServer(made) as api:
        for address in (api.url, str(tmp_path / "items.json")):
            built = rasteret_sql.build_from_stac(name="x", stac_api=address, bbox=across, workspace_dir=tmp_path)
            assert sorted(built.to_table(["id"])["id"].to_pylist()) == ["east", "west"]
            with rasteret_sql.connect(workspace_dir=tmp_path / "sql") as con:
                sql = "SELECT id FROM rasteret_build_from_stac('x', $1, bbox := $2) ORDER BY id"
                assert con.execute(sql, [address, list(across)]).fetchall() == [("east",), ("west",)]
        sent = [one.parameters["bbox"] for one in api.seen if one.path == "/search"]
        assert sent[:2] == [[179.5, -20, 180, -10], [-180, -20, -179.5, -10]]
