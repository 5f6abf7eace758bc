"""What an href means beside its document, after RFC 3986 and as pystac and GDAL have it."""

import json

import numpy as np
import pytest
import rasterio

import rasteret_sql
from rasteret_sql.stac.address import absolute, file_name, resolve
from tests.sampling import some
from tests.stac.stac_items import make_asset, make_item

WEB, BUCKET = "https://example.com/cat/items/a.json", "s3://bucket/cat/items/a.json"


@pytest.mark.parametrize(
    ("base", "href", "address"),
    [
        (WEB, "B04.tif", "https://example.com/cat/items/B04.tif"),
        (WEB, "./B04.tif", "https://example.com/cat/items/B04.tif"),
        (WEB, "../x/B04.tif", "https://example.com/cat/x/B04.tif"),
        (WEB, "../../../../B04.tif", "https://example.com/B04.tif"),
        (WEB, "/B04.tif", "https://example.com/B04.tif"),
        (WEB, "//other.org/B04.tif", "https://other.org/B04.tif"),
        (WEB, "S2:B04.tif", "https://example.com/cat/items/S2:B04.tif"),
        (WEB, "x/urn:B04.tif", "https://example.com/cat/items/x/urn:B04.tif"),
        (WEB, "x//B04.tif", "https://example.com/cat/items/x//B04.tif"),
        (WEB, "a%20b.tif", "https://example.com/cat/items/a%20b.tif"),
        (WEB, "a b+c.tif", "https://example.com/cat/items/a b+c.tif"),
        (WEB, "höhe.tif", "https://example.com/cat/items/höhe.tif"),
        (WEB, "B04.tif?v=2/3", "https://example.com/cat/items/B04.tif?v=2/3"),
        (WEB, "B04.tif#part", "https://example.com/cat/items/B04.tif"),
        (WEB, "?page=2", "https://example.com/cat/items/a.json?page=2"),
        (WEB, "..", "https://example.com/cat/"),
        (WEB + "?token=a/b", "B04.tif", "https://example.com/cat/items/B04.tif"),
        ("https://example.com", "B04.tif", "https://example.com/B04.tif"),
        (BUCKET, "B04.tif", "s3://bucket/cat/items/B04.tif"),
        (BUCKET, "../B04.tif", "s3://bucket/cat/B04.tif"),
        (BUCKET, "S2:B04.tif", "s3://bucket/cat/items/S2:B04.tif"),
        (BUCKET, "x//B04.tif", "s3://bucket/cat/items/x//B04.tif"),
        (BUCKET, "a#b?c.tif", "s3://bucket/cat/items/a#b?c.tif"),
        ("s3://bucket/cat//items/a.json", "B04.tif", "s3://bucket/cat//items/B04.tif"),
        ("/data/cat/a.json", "B04.tif", "/data/cat/B04.tif"),
        ("/data/cat/a.json", "../S2:B04.tif", "/data/S2:B04.tif"),
        ("file:///data/a%20b/a.json", "B04.tif", "/data/a b/B04.tif"),
        (WEB, "file:///data/a%20b.tif", "/data/a b.tif"),
        (WEB, "C:/data/B04.tif", "C:/data/B04.tif"),
        (WEB, "s3://other/a//b.tif", "s3://other/a//b.tif"),
        (WEB, "/vsicurl/http://other.org/a//b.tif", "http://other.org/a//b.tif"),
        (WEB, "/vsicurl_streaming/https://other.org/b.tif?x=1", "https://other.org/b.tif?x=1"),
        (WEB, "/vsicurl?max_retry=2&url=https%3A%2F%2Fother.org%2Fb.tif", "https://other.org/b.tif"),
        (WEB, "/vsis3/other/a//b.tif", "s3://other/a//b.tif"),
        ("/data/a.json", "/vsigs/other/b.tif", "gs://other/b.tif"),
        ("/data/a.json", "/vsiaz/container/b.tif", "az://container/b.tif"),
    ],
)
def test_an_href_beside_its_document(base, href, address):
    assert resolve(base, href) == address
    assert absolute(address) == address or address.startswith("C:")


def test_gdals_paths_of_the_network_are_the_addresses_inside():
    assert absolute("/vsis3/bucket/a.tif") == "s3://bucket/a.tif"
    assert file_name("/vsicurl?url=https%3A%2F%2Fother.org%2Fb.tif") == "b.tif"


def write_tiff(path, value):
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **profile) as out:
        out.write(np.full((1, 4, 4), value, "u1"))


@pytest.mark.parametrize(
    ("href", "files", "value"),
    some(
        [
            ("a%20b.tif", {"a b.tif": 1}, 1),
            ("a%20b.tif", {"a b.tif": 1, "a%20b.tif": 2}, 2),
            ("./S2:B04.tif", {"S2:B04.tif": 3, "B04.tif": 4}, 3),
            ("a b+c.tif", {"a b+c.tif": 5}, 5),
            ("x.tif?version=3", {"x.tif": 6}, 6),
            ("h%C3%B6he.tif", {"höhe.tif": 7}, 7),
        ],
        3,
    ),
)
def test_a_local_mirror_of_a_web_catalog(tmp_path, href, files, value):
    for name, one in files.items():
        write_tiff(tmp_path / name, one)
    path = tmp_path / "item.json"
    path.write_text(json.dumps(make_item("a", west=14.5, south=44.5, assets={"B04": make_asset(href)})))
    built = rasteret_sql.build_from_stac(name="mirror", stac_api=str(path), workspace_dir=tmp_path / "workspace")
    assert built.get_numpy((500000, 4999960, 500040, 5000000), ["B04"], geometry_crs=32633).max() == value
