"""Bands of several dtypes in one chip: the dtype that holds all exactly, or an error."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dtypes")
    assets = {}
    for name in ("uint8", "int8", "int16", "uint64", "float32"):
        path = folder / f"{name}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=4, height=3, count=1, dtype=name, crs="EPSG:32632",
            transform=from_origin(600_000, 5_100_000, 10, 10),
        ) as dataset:  # fmt: skip
            dataset.write(np.full((1, 3, 4), 7, name))
        assets[name] = {"href": str(path), "type": "image/tiff"}
    feature = {
        "type": "Feature", "stac_version": "1.0.0", "id": "s", "links": [], "assets": assets,
        "geometry": {"type": "Point", "coordinates": [10.3, 46.0]}, "bbox": [10.3, 46.0, 10.3, 46.0],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
    }  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with rasteret_sql.connect(workspace_dir=folder / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('d', '{folder / 'items.json'}')").fetchall()
        yield connection


@pytest.mark.parametrize(
    ("bands", "dtype"), [(["uint8", "int8"], "int16"), (["uint8", "int16"], "int16"), (["int16", "float32"], "float32")]
)
def test_the_common_dtype_holds_all(con, bands, dtype):
    chip = con.execute("SELECT read_chip('s', $bands)", {"bands": bands}).fetchone()[0]
    assert chip["dtype"] == dtype
    assert (np.frombuffer(chip["data"], dtype) == 7).all()


@pytest.mark.parametrize("bands", [["uint64", "int8"], ["uint64", "float32"]])
def test_where_none_does_it_is_an_error(con, bands):
    with pytest.raises(Exception, match="no dtype holds uint64 and the other bands exactly; read them apart"):
        con.execute("SELECT read_chip('s', $bands)", {"bands": bands}).fetchall()
