"""What an export and a rebuild keep, number by number, on the scenes of examples/data."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import rasteret_sql as rasteret
from rasteret_sql import Collection

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog" / "catalog.json"
BANDS = {"B4": "red", "B5": "nir08"}


@pytest.fixture
def built(tmp_path):
    return rasteret.build_from_stac(
        name="bay", stac_api=CATALOG, collection="landsat8-ny-2018", band_map=BANDS, workspace_dir=tmp_path / "ws",
        date_range=("2018-01-01", "2018-03-31"), data_source="acme/bay",
    )  # fmt: skip


@pytest.fixture
def export(built, tmp_path):
    built.export(tmp_path / "export")
    return tmp_path / "export"


def test_e23_e27_reloading_needs_nothing_but_the_export_and_gives_the_same(built, export, tmp_path):
    before = built.to_table().to_pylist()
    means = "SELECT id, zonal_stats(id, 'B4', geometry).mean FROM scenes ORDER BY id"
    numbers = built.sql(means).fetchall()
    shutil.rmtree(tmp_path / "ws")
    loaded = rasteret.load(export.rename(tmp_path / "elsewhere"))
    assert (loaded.name, loaded.bands, loaded.data_source) == ("bay", ["B4", "B5"], "acme/bay")
    assert loaded.to_table().to_pylist() == before
    assert loaded.sql(means).fetchall() == numbers
    assert all(mean > 0 for _, mean in numbers)


def test_e24_scenes_band_metadata_and_tile_offsets(export):
    file = next(export.rglob("*.parquet"))
    rows = pq.read_table(file, partitioning=None).to_pylist()
    assert {"id", "datetime", "geometry", "bbox", "assets", "B4_metadata", "B4_header"} <= rows[0].keys()
    for row in rows:
        metadata = row["B4_metadata"]
        assert len(metadata["tile_offsets"]) == len(metadata["tile_byte_counts"]) > 0
        assert all(offset > 0 for offset in metadata["tile_offsets"])
        assert (metadata["image_width"] > 70, metadata["dtype"], len(metadata["transform"])) == (True, "uint16", 4)


def test_e25_geoparquet_1_1_with_its_covering(export):
    geo = json.loads(pq.read_schema(next(export.rglob("*.parquet"))).metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert (geo["version"], geo["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert column["geometry_types"] == ["Polygon"]
    assert "crs" not in column  # which means OGC:CRS84


def test_e26_name_source_and_dates(export):
    metadata = pq.read_schema(next(export.rglob("*.parquet"))).metadata
    assert (metadata[b"name"], metadata[b"data_source"]) == (b"bay", b"acme/bay")
    assert metadata[b"date_range"].startswith(b"2018-01-01T00:00:00,2018-03-31T23:59:59")


def test_e33_scenes_that_came_later_are_there_after_force(tmp_path):
    source = json.loads(next((CATALOG.parent / "landsat8-ny-2018").rglob("LC08*.json")).read_text("utf-8"))
    for asset in source["assets"].values():
        asset["href"] = str(CATALOG.parent / "landsat8-ny-2018" / source["id"] / asset["href"])

    def write(*names):
        items = [source | {"id": name} for name in names]
        (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))

    def build(**more):
        return rasteret.build_from_stac(
            name="later", stac_api=tmp_path / "items.json", band_map=BANDS, workspace_dir=tmp_path, **more
        )

    write("one")
    assert len(build()) == 1
    write("one", "two")
    assert len(build()) == 1
    assert build(force=True).to_table(["id"])["id"].to_pylist() == ["one", "two"]


def test_e35_e36_regions_and_quarters_stand_side_by_side(tmp_path):
    places = {"north": (-74.5, 40.2, -72.0, 41.5), "south": (-74.5, 38.0, -72.0, 40.1)}
    quarters = {"q1": ("2018-01-01", "2018-03-31"), "q2": ("2018-04-01", "2018-06-30")}

    def build(name, place, dates):
        return rasteret.build_from_stac(
            name=name, stac_api=CATALOG, collection="landsat8-ny-2018", band_map=BANDS, bbox=place,
            date_range=dates, workspace_dir=tmp_path,
        )  # fmt: skip

    for name, place in places.items():
        for quarter, dates in quarters.items():
            build(f"{name}-{quarter}", place, dates)
    listed = Collection.list_collections(tmp_path)
    assert [entry["name"] for entry in listed] == ["north-q1", "north-q2", "south-q1", "south-q2"]
    assert len({entry["path"] for entry in listed}) == 4
    assert all(entry["size"] > 0 for entry in listed)


def test_e36_batches_of_one_name_are_all_kept_and_the_name_means_the_last(tmp_path):
    sizes = {}
    for dates in (("2018-01-01", "2018-03-31"), ("2018-04-01", "2018-06-30"), ("2018-01-01", "2018-03-31")):
        built = rasteret.build_from_stac(
            name="ny", stac_api=CATALOG, collection="landsat8-ny-2018", band_map=BANDS, date_range=dates,
            workspace_dir=tmp_path,
        )  # fmt: skip
        sizes[dates] = len(built)
        (listed,) = Collection.list_collections(tmp_path)
        assert (listed["name"], listed["size"]) == ("ny", len(built))
    assert len(set(sizes.values())) == 2
    assert len([path for path in tmp_path.iterdir() if path.name.endswith("_stac")]) == 2
