"""A file whose EPSG code is newer than PROJ's database: read as it is, placed by its own CRS or by its item's."""

from __future__ import annotations

import json
import struct

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.transform import Affine

import rasteret_sql
from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import crs_or_code
from tests.sampling import some

UNKNOWN = 32765
"""Within EPSG's range, and given to no CRS."""
IMAGE = Affine(10, 0, 300_000, 0, -10, 5_300_000)
ZONE = "POLYGON ((300000 5300000, 300040 5300000, 300040 5299980, 300000 5299980, 300000 5300000))"
LONLAT_ZONE = "POLYGON ((12 47, 13 47, 13 48, 12 48, 12 47))"


@pytest.fixture(autouse=True)
def unknown():
    with pytest.raises(pyproj.exceptions.CRSError):
        pyproj.CRS.from_epsg(UNKNOWN)


def build(folder, **properties):
    path = folder / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8", crs="EPSG:32633", transform=IMAGE
    ) as image:
        image.write(np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
    data = bytearray(path.read_bytes())
    at = bytes(data).index(struct.pack("<HHHH", 3072, 0, 1, 32633))
    data[at + 6 : at + 8] = struct.pack("<H", UNKNOWN)
    path.write_bytes(data)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "s",
        "geometry": {"type": "Point", "coordinates": [12.3, 47.8]},
        "bbox": [12.3, 47.8, 12.3, 47.8],
        "properties": {"datetime": "2024-05-01T00:00:00Z", **properties},
        "links": [],
        "assets": {"b": {"href": str(path), "type": "image/tiff; application=geotiff", "roles": ["data"]}},
    }
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    return rasteret_sql.build_from_stac(
        name="new", stac_api=folder / "items.json", workspace_dir=folder / "w", static_catalog=True
    )


@pytest.mark.exhaustive
def test_geometries_in_the_same_crs_are_placed_without_proj(tmp_path):
    collection = build(tmp_path)
    code = f"EPSG:{UNKNOWN}"
    call = f"zonal_stats(id, 'b', '{ZONE}', geom_crs := '{code}')"
    assert collection.sql(f"SELECT {call}.sum FROM scenes").fetchall() == [(0 + 1 + 2 + 3 + 8 + 9 + 10 + 11,)]
    assert collection.get_numpy(ZONE, ["b"], geometry_crs=code).sum() == 44
    assert collection.sql("SELECT read_chip(id, 'b').crs FROM scenes").fetchall() == [(code,)]


def test_other_geometries_fail_row_by_row(tmp_path):
    collection = build(tmp_path)
    call = f"zonal_stats(id, 'b', '{LONLAT_ZONE}', on_error := '%s')"
    with pytest.raises(Exception, match=rf"scene \"s\", band b: the CRS 'EPSG:{UNKNOWN}' is not known"):
        collection.sql(f"SELECT {call % 'raise'} FROM scenes").fetchall()
    assert collection.sql(f"SELECT {call % 'null'} FROM scenes").fetchall() == [(None,)]
    told = collection.sql("SELECT message FROM rasteret_failures()").fetchall()
    assert any(f"EPSG:{UNKNOWN}" in message for (message,) in told)


def test_an_item_that_says_the_crs_in_words_helps(tmp_path):
    collection = build(tmp_path, **{"proj:wkt2": pyproj.CRS("EPSG:32633").to_wkt()})
    lonlat = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    point = "POINT ({} {})".format(*lonlat.transform(300_015, 5_299_985))
    assert collection.sql(f"SELECT sample_point(id, 'b', '{point}') FROM scenes").fetchall() == [(9.0,)]


@pytest.mark.parametrize("text", ["EPSG:32765", "32765", "epsg:32765", "urn:ogc:def:crs:EPSG::32765"])
def test_a_code_in_any_spelling_is_one_code(text):
    assert crs_or_code(text) == "EPSG:32765"


@pytest.mark.parametrize("text", some(["EPSG:99999", "nonsense", "EPSG:12", "32765 metres"], 4))
def test_what_cannot_be_a_code_is_refused(text):
    with pytest.raises(InvalidCrsError, match="is not known"):
        crs_or_code(text)
