"""A band is found without regard to case where that is unambiguous, exactly where it is not, wherever it is named."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.errors import name_meant

BANDS = {"B04": 4, "nir": 8, "Größe": 5}
BOX = (600_000, 5_099_960, 600_040, 5_100_000)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("B04", "B04"), ("b04", "B04"), ("nir", "nir"), ("NIR", "NIR"), ("Nir", None), ("GRÖSSE", "Größe"), ("B4", None)],
)
def test_the_name_that_is_meant(name, meant):
    assert name_meant(name, ["B04", "nir", "NIR", "Größe"]) == meant


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bands")
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": 32632}
    for value in BANDS.values():
        with rasterio.open(folder / f"{value}.tif", "w", transform=from_origin(*BOX[::3], 10, 10), **profile) as file:
            file.write(np.full((1, 4, 4), value, np.uint8))
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "s",
        "links": [],
        "geometry": shapely.geometry.mapping(shapely.box(10.2, 46.0, 10.4, 46.1)),
        "bbox": [10.2, 46.0, 10.4, 46.1],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {name: {"href": f"{value}.tif", "type": "image/tiff"} for name, value in BANDS.items()},
    }
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    return rasteret_sql.build_from_stac(
        name="bands", stac_api=folder / "items.json", data_source="demo/none", workspace_dir=folder / "ws"
    )


@pytest.fixture(scope="module")
def con(collection):
    with rasteret_sql.connect(workspace_dir=collection.path.parent) as connection:
        connection.execute("FROM rasteret.bands").fetchall()
        yield connection


ASKED = [("B04", 4), ("b04", 4), ("NIR", 8), ("GRÖSSE", 5)]


@pytest.mark.parametrize(("name", "value"), ASKED)
def test_in_sql(con, name, value):
    zone = shapely.box(*BOX).wkt
    for call in (
        f"zonal_stat('s', $1, '{zone}', 'mean', geom_crs := 32632)",
        f"zonal_stats('s', $1, '{zone}', geom_crs := 32632).max",
        "sample_point('s', $1, 'POINT (600015 5099985)', geom_crs := 32632)",
        "chip_values(read_chip('s', ['B04', 'nir', 'Größe']), $1)[1]",
        "chip_stats(read_chip('s', ['B04', 'nir', 'Größe']), $1).mean",
    ):
        assert con.execute(f"SELECT {call}", [name]).fetchone() == (value,)


def test_in_python(collection):
    pixels = collection.get_numpy(BOX, [name for name, _ in ASKED], geometry_crs=32632)
    assert pixels.shape == (1, 4, 4, 4)
    assert pixels[0, :, 0, 0].tolist() == [value for _, value in ASKED]


def test_bands_of_a_chip_have_the_names_of_the_collection(con):
    sql = "SELECT read_chip('s', ['b04', 'NIR']).bands, rasteret_explain('s', ['grÖßE']).bands"
    assert con.execute(sql).fetchone() == (["B04", "nir"], ["Größe"])
