"""Files with several bands of which their items say nothing."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql


def catalog(tmp_path, counts, *, alpha=False):
    features = []
    for n, count in enumerate(counts):
        path = tmp_path / f"scene{n}.tif"
        options = {"photometric": "RGB", "alpha": "YES"} if alpha else {}
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=8,
            height=6,
            count=count,
            dtype="uint8",
            crs="EPSG:32632",
            transform=from_origin(500000, 5000000, 10, 10),
            **options,
        ) as dataset:
            for band in range(count):
                dataset.write(np.full((6, 8), 10 * n + band + 1, "uint8"), band + 1)
        features.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"scene{n}",
                "geometry": {"type": "Point", "coordinates": [9.0, 45.15]},
                "bbox": [9.0, 45.15, 9.0, 45.15],
                "properties": {"datetime": f"2024-01-0{n + 1}T00:00:00Z"},
                "links": [],
                "assets": {"visual": {"href": str(path), "type": "image/tiff"}},
            }
        )
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


@pytest.fixture
def connection(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        yield con


def build(con, address, **more):
    extra = "".join(f", {name} := {value}" for name, value in more.items())
    return con.execute(
        f"SELECT id, status FROM rasteret_build_from_stac(name := 'x', stac_api := ?{extra}) ORDER BY id", [address]
    ).fetchall()


def value(con, scene, band):
    return con.execute(
        f"SELECT zonal_stat('{scene}', '{band}', bbox_wkt, 'mean') FROM (SELECT 'POLYGON ((8 44, 10 44, "
        "10 46, 8 46, 8 44))' AS bbox_wkt)"
    ).fetchone()[0]


def test_each_sample_becomes_a_band(connection, tmp_path):
    assert build(connection, catalog(tmp_path, [3, 1])) == [("scene0", "ok"), ("scene1", "ok")]
    bands = connection.execute("SELECT bands FROM rasteret_collections() WHERE name = 'x'").fetchone()[0]
    assert bands == ["visual_1", "visual_2", "visual_3"]
    assert [value(connection, "scene0", f"visual_{n}") for n in (1, 2, 3)] == [1, 2, 3]
    assert value(connection, "scene1", "visual_1") == 11
    with pytest.raises(Exception, match='has no band "visual_2"'):
        value(connection, "scene1", "visual_2")


def test_alpha_is_no_band(connection, tmp_path):
    build(connection, catalog(tmp_path, [4], alpha=True))
    assert connection.execute("SELECT bands FROM rasteret_collections()").fetchone()[0] == [
        "visual_1",
        "visual_2",
        "visual_3",
    ]


@pytest.mark.filterwarnings("ignore:collection:RuntimeWarning")
def test_a_named_band_needs_its_index(connection, tmp_path):
    address = catalog(tmp_path, [3])
    [(_, status)] = build(connection, address, band_map="{'red': 'visual'}")
    assert "band_index_map" in status
    assert build(connection, address, band_map="{'red': 'visual'}", band_index_map="{'red': 2}") == [("scene0", "ok")]
    assert value(connection, "scene0", "red") == 3
