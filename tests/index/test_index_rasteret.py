"""Indexes that rasteret 0.4.1 wrote (rasteret_index/, made by the scripts there) open here and read right."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import rasterio
from index_samples import header, level, scene, write_collection

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.format.band_decode import decode_metadata, foreign_nodata
from rasteret_sql.index.format.band_encode import BandRecord, encode_headers, encode_metadata, rasteret_reads
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import list_collections
from rasteret_sql.index.read.band_source import asset_address
from rasteret_sql.index.read.scene_lookup import SceneLookup
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.tiff.decode import decode_tile

SAMPLES = Path(__file__).parent / "rasteret_index"
OUT = SAMPLES / "out"
INDEXES = [OUT / "export", *sorted((OUT / "ws").iterdir())]


def pixels(source) -> np.ndarray:
    """The whole band, tile by tile."""
    image = source.header.levels[0]
    data = Path(source.address).read_bytes()
    out = np.zeros((image.tiles_down * image.tile_height, image.tiles_across * image.tile_width), image.dtype)
    for tile, (offset, length) in enumerate(zip(image.offsets.tolist(), image.byte_counts.tolist(), strict=True)):
        part = decode_tile(image, tile, data[offset : offset + length], source.address)
        row, col = divmod(tile, image.tiles_across)
        row, col = row * image.tile_height, col * image.tile_width
        out[row : row + part.shape[0], col : col + part.shape[1]] = part[:, :, source.header.sample]
    return out[: image.height, : image.width]


@pytest.mark.parametrize("path", INDEXES, ids=lambda path: path.name)
def test_pixels_of_every_band_equal_rasterio(path, monkeypatch):
    monkeypatch.chdir(SAMPLES)
    index = open_collection(path)
    read = 0
    with duckdb.connect() as connection:
        lookup = SceneLookup(connection)
        for source in lookup.bands(index, lookup.some_ids(index), index.bands).values():
            if source is None:
                continue
            with rasterio.open(source.address) as image:
                band = {"R": 1, "G": 2, "B": 3}.get(source.band, 1)
                np.testing.assert_array_equal(pixels(source), image.read(band))
                assert source.header.transform == Affine(*image.transform[:6])
                assert source.header.crs == image.crs.to_string()
                assert source.header.nodata == image.nodata
            read += 1
        assert len(connection.sql(scan_sql(index)).fetchall()) == index.count_rows()
    assert read == 6


def test_a_workspace_of_rasteret_lists():
    entries = {entry["name"]: entry for entry in list_collections(OUT / "ws")}
    assert list(entries) == ["demo-area_202401-06_earthsearch-sentinel-2-l2a", "multi", "sample"]
    assert entries["sample"]["date_range"] == ("2024-01-10", "2024-06-12")
    assert (entries["multi"]["kind"], entries["multi"]["size"], entries["multi"]["data_source"]) == (
        "records",
        2,
        "unknown",
    )


@pytest.mark.parametrize(
    ("asset", "address"),
    [
        ("a.tif", "a.tif"),
        ({"href": "a.tif", "type": "image/tiff"}, "a.tif"),
        ({"href": None, "alternate": {"https": {"href": "h"}, "s3": {"href": "s"}}}, "s"),
        ({"alternate": {"s3": None, "mirror": {"href": "m"}}}, "m"),
        ({"links": [{"href": "l"}]}, "l"),
        ({"href": ""}, None),
        (None, None),
    ],
)
def test_assets_of_any_shape(asset, address):
    assert asset_address(asset) == address


def column(**changes) -> pa.Array:
    row = {
        "image_width": 64, "image_height": 32, "tile_width": 32, "tile_height": 32, "dtype": "uint8",
        "transform": [10.0, 1.0, -10.0, 2.0], "predictor": 1, "compression": 8,
        "tile_offsets": [8, 100], "tile_byte_counts": [92, 50],
    } | changes  # fmt: skip
    return pa.array([None, row])


def test_missing_trailing_fields_and_six_number_transforms():
    nothing, band = decode_metadata(
        column(transform=[10.0, 0.0, 1.0, 0.0, -10.0, 2.0]), [0, None], [None, "EPSG:1"], "x"
    )
    assert nothing is None
    assert band.transform == Affine(10.0, 0.0, 1.0, 0.0, -10.0, 2.0)
    assert (band.levels[0].samples, band.levels[0].planar, band.nodata, band.crs) == (1, 1, None, "EPSG:1")


def test_alpha_of_a_chunky_file_is_its_mask():
    data = column(samples_per_pixel=4, planar_configuration=1, extra_samples=[2])
    _, red = decode_metadata(data, [0, 0], [None, None], "x")
    assert red.validity.alpha.levels == (red.levels[0],)
    assert (red.validity.alpha.sample, red.validity.alpha_counts, red.validity.mask) == (3, True, None)
    _, alpha = decode_metadata(data, [0, 3], [None, None], "x")
    assert alpha.validity.alpha is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile_offsets": [8]}, "1 tile offsets and 2 byte counts"),
        ({"transform": [1.0, 2.0]}, "4 or 6 numbers"),
        ({"dtype": "nonsense"}, "nonsense"),
        ({"samples_per_pixel": 3}, "sample 5 of 3"),
    ],
)
def test_a_header_that_contradicts_itself_is_an_error(changes, message):
    with pytest.raises(IndexFormatError, match=f"collection x.*{message}"):
        decode_metadata(column(**changes), [0, 5], [None, None], "collection x")


@pytest.mark.parametrize(
    ("value", "dtype", "nodata"),
    [
        (0.0, "uint8", 0),
        (-9999.0, "int16", -9999),
        (-1.0, "uint8", None),
        (0.5, "int16", None),
        (float("nan"), "uint8", None),
        (-9999.0, "float32", -9999.0),
        (None, "uint8", None),
    ],
)
def test_nodata_kept_as_a_double(value, dtype, nodata):
    assert repr(foreign_nodata(value, np.dtype(dtype))) == repr(nodata)


WRONG_IN_RASTERET = {
    "big-endian": header(level(byte_order=">")),
    "odd bits": header(level(bits=12)),
    "strips": header(level(100, 77, tile_width=100, tile_height=8, tiled=False)),
    "jpeg": header(level(compression=7)),
    "reversed bits": header(level(fill_order=2)),
    "rotated": header(transform=Affine(7.0, -7.0, 0.0, 7.0, 7.0, 0.0)),
    "south-up": header(transform=Affine(10.0, 0.0, 0.0, 0.0, 10.0, 0.0)),
    "no place": header(transform=None),
    "nodata beyond doubles": header(level(dtype=np.dtype("uint64"), bits=64), nodata=2**64 - 1),
    "float16": header(level(dtype=np.dtype("float16"))),
}


@pytest.mark.parametrize("name", WRONG_IN_RASTERET)
def test_what_rasteret_would_misread_it_does_not_see(name):
    records = [BandRecord(WRONG_IN_RASTERET[name], 1)]
    assert encode_metadata(records).to_pylist() == [None]
    assert encode_headers(records).null_count == 0


def test_what_rasteret_reads_is_the_same_in_its_columns(tmp_path):
    ours = header(level(samples=3, planar=2).plane(1), level(50, 40), nodata=255)
    assert rasteret_reads(ours)
    metadata = encode_metadata([BandRecord(ours, 3)])
    stored = metadata.to_pylist()[0]
    assert stored["transform"] == [10.0, 500000.0, -10.0, 5400000.0]
    assert (stored["samples_per_pixel"], stored["planar_configuration"], stored["nodata"]) == (3, 2, 255.0)
    (back,) = decode_metadata(metadata, [1], ["EPSG:32632"], "x")
    np.testing.assert_array_equal(back.levels[0].offsets, ours.levels[0].offsets)
    assert (back.sample, back.nodata, back.transform, back.levels[0].samples) == (0, 255, ours.transform, 1)


def test_our_files_have_the_columns_and_keys_that_rasteret_wants(tmp_path):
    """E38, without rasteret; the live exchange is `.ci/run rasteret`."""
    write_collection([scene()], CollectionMetadata("bay", ("B04",), "earthsearch/x"), tmp_path / "c")
    theirs = pa.parquet.read_schema(OUT / "export" / "year=2024" / "month=1" / "part-0.parquet")
    export_collection(open_collection(tmp_path / "c"), tmp_path / "export")
    ours = pa.parquet.read_schema(open_collection(tmp_path / "export").files[0])
    for name in ("id", "datetime", "geometry", "bbox", "proj:epsg", "crs", "B04_metadata"):
        assert ours.field(name).type == theirs.field(name).type, name
    assert theirs.metadata.keys() <= ours.metadata.keys()
    assert [name for name in ours.names if name.endswith("_metadata")] == ["B04_metadata"]
