"""What rasteret 0.4.1 wrote of some scenes, against our exports of the same scenes: E22, E24-E26, E38.

Runs without rasteret. `live.py` beside this file is the exchange with the released package itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rasteret_sql
from tests.servers.stac_api import StacApiServer

SAMPLES = Path(__file__).parents[1] / "index" / "rasteret_index"
OUT = SAMPLES / "out"
BOX = [9.0, 48.7458, 9.0164, 48.7531]
OUR_COLUMNS = {"bbox", "collection", "crs", "proj:epsg", "status"}
"""Scene columns that an export has also where rasteret has none."""
OUR_KEYS = {b"rasteret_sql_index_version", b"rasteret_sql_request"}
FRESH_KEYS = {b"created", b"ARROW:schema"}
"""When it was made, and the Arrow schema, which is compared as such."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same scenes as rasteret wrote them and as we do."""

    theirs: Path
    ours: Path
    bands: tuple[str, ...]
    """In our order: of the band map or index map, without those that no scene has. Rasteret sorts the names of a table
    that comes without a list of bands, and writes an empty column for a band that no scene has."""


def stac_items() -> list[dict[str, Any]]:
    """The items that the recorded STAC build was made of; addresses absolute, since a server's are."""
    x0, y0, x1, y1 = BOX
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    days = ("2024-01-10T10:30:00Z", "2024-01-11T10:30:00Z", "2024-06-12T10:30:00Z")
    return [
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "stac_extensions": [],
            "id": f"S2_{n}",
            "collection": "sentinel-2-l2a",
            "bbox": BOX,
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "datetime": day,
                "eo:cloud_cover": 5.0 * n,
                "proj:epsg": 32632,
                "platform": "sentinel-2a",
            },
            "links": [],
            "assets": {
                "red": {"href": (OUT / f"tiffs/s{n}_B04.tif").as_uri()},
                "nir": {"href": (OUT / f"tiffs/s{n}_B08.tif").as_uri()},
                "thumbnail": {"href": "x.jpg"},
            },
        }
        for n, day in enumerate(days)
    ]


def sample(folder: Path) -> Pair:
    """A table with assets of its own."""
    made = rasteret_sql.build_from_table(
        "out/records.parquet", name="sample", data_source="demo/s2-like", workspace_dir=folder / "ws", enrich_cog=True
    )
    made.export(folder / "export")
    return Pair(OUT / "export", folder / "export", ("B04", "B08"))


def multi(folder: Path) -> Pair:
    """A table with a column of addresses, a year for a datetime, three bands in one file."""
    recorded = OUT / "ws" / "multi_records"
    source = pa.concat_tables(
        pq.ParquetFile(file).read(columns=["fid", "geom", "path"]) for file in sorted(recorded.rglob("*.parquet"))
    ).append_column("year", pa.array([2023, 2024]))
    made = rasteret_sql.build_from_table(
        source.replace_schema_metadata(None), name="multi", workspace_dir=folder / "ws", enrich_cog=True,
        column_map={"fid": "id", "geom": "geometry", "year": "datetime"}, href_column="path",
        band_index_map={"R": 0, "G": 1, "B": 2},
    )  # fmt: skip
    made.export(folder / "export")
    return Pair(recorded, folder / "export", ("R", "G", "B"))


def stac(folder: Path) -> Pair:
    """A search, with 13 bands in the band map and two in the items."""
    with StacApiServer(stac_items()) as api, pytest.warns(RuntimeWarning, match="left out B01, B02"):
        made = rasteret_sql.build(
            "earthsearch/sentinel-2-l2a", name="Demo Area", bbox=tuple(BOX), date_range=("2024-01-01", "2024-06-30"),
            workspace_dir=folder / "ws", stac_api=api.url, query={"eo:cloud_cover": {"lt": 50}},
        )  # fmt: skip
    made.export(folder / "export")
    return Pair(OUT / "ws" / "demo-area_202401-06_earthsearch-sentinel-2-l2a_stac", folder / "export", ("B04", "B08"))


@pytest.fixture(scope="module", params=[sample, multi, stac], ids=lambda make: make.__name__)
def pair(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(SAMPLES)
        yield request.param(tmp_path_factory.mktemp(request.param.__name__))


def files(root: Path) -> list[str]:
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert found
    return found


def both(pair: Pair) -> list[tuple[pa.Table, pa.Table]]:
    """(theirs, ours) of each file."""
    return [(read(pair.theirs / name), read(pair.ours / name)) for name in files(pair.theirs)]


def read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def without(theirs: pa.Table, pair: Pair) -> set[str]:
    """Columns of bands that no scene has."""
    return {f"{name}_metadata" for name in bands(theirs) if name not in pair.bands}


def place(href: str) -> Path:
    return Path(href.removeprefix("file://")).resolve()


def days(metadata: dict[bytes, bytes]) -> list[str]:
    return [end[:10].decode() for end in metadata[b"date_range"].split(b",")]


def bands(table: pa.Table) -> list[str]:
    return [name.removesuffix("_metadata") for name in table.column_names if name.endswith("_metadata")]


def test_files_have_the_same_names(pair):
    """E22: hive directories of year and month, months without a zero, one part each, and nothing beside them."""
    assert files(pair.ours) == files(pair.theirs)


def test_every_column_of_rasteret_is_there_in_its_type(pair):
    for theirs, ours in both(pair):
        for field in theirs.schema:
            if field.name in without(theirs, pair):
                assert field.name not in ours.column_names
                assert theirs[field.name].null_count == theirs.num_rows
                continue
            assert field.name in ours.column_names, field.name
            if field.name != "assets":
                assert ours.schema.field(field.name).equals(field), field.name
        more = set(ours.column_names) - set(theirs.column_names)
        assert more <= OUR_COLUMNS | {f"{band}_header" for band in pair.bands}
        for name in pair.bands:
            assert ours.schema.field(f"{name}_header").type.num_fields == 7


def test_assets_have_all_that_rasteret_has_of_each_band(pair):
    """Ours always have a band_index."""
    for theirs, ours in both(pair):
        wanted, got = theirs.schema.field("assets").type, ours.schema.field("assets").type
        for child in wanted:
            fields = {field.name: field.type for field in got.field(child.name).type}
            assert fields == {"href": pa.string(), "band_index": pa.int64()}
            assert {field.name: field.type for field in child.type}.items() <= fields.items()
        assert [field.name for field in got] == [field.name for field in wanted] == list(pair.bands)
        for one, other in zip(theirs["assets"].to_pylist(), ours["assets"].to_pylist(), strict=True):
            for band, asset in one.items():
                assert place(other[band]["href"]) == place(asset["href"])
                assert other[band]["band_index"] == asset.get("band_index", 0)


def test_bands_and_rows_are_in_the_same_order(pair):
    """Rasteret lists bands in the order of the columns, and reads scenes in the order of the rows."""
    for theirs, ours in both(pair):
        assert bands(ours) == list(pair.bands)
        kept = [name for name in bands(theirs) if name in pair.bands]
        assert kept == (sorted(pair.bands) if "fid" in theirs.column_names else bands(ours))
        assert ours["id"].to_pylist() == theirs["id"].to_pylist()


def test_values_are_equal(pair):
    """E24: scene records, header fields and tile tables."""
    for theirs, ours in both(pair):
        for name in theirs.column_names:
            if name != "assets" and name not in without(theirs, pair):
                assert ours[name].to_pylist() == theirs[name].to_pylist(), name


def test_key_value_metadata_is_the_same(pair):
    """E25, E26: GeoParquet with its covering, name, data source, dates."""
    for theirs, ours in both(pair):
        wanted, got = theirs.schema.metadata, ours.schema.metadata
        assert got.keys() - wanted.keys() == OUR_KEYS
        for key in wanted.keys() - FRESH_KEYS - {b"name", b"description", b"geo", b"date_range"}:
            assert got[key] == wanted[key], key
        # The last day counts whole: ours say so, rasteret says its midnight.
        assert days(got) == days(wanted)
        assert json.loads(got[b"geo"]) == json.loads(wanted[b"geo"])
        # Rasteret names a searched collection after its directory; ours keep the name as it was given.
        assert got[b"name"] in (wanted[b"name"], b"Demo Area")


def test_files_are_written_alike(pair):
    """Format, codec and statistics, by which readers choose row groups."""
    for name in files(pair.theirs):
        wanted, got = pq.read_metadata(pair.theirs / name), pq.read_metadata(pair.ours / name)
        assert got.format_version == wanted.format_version == "2.6"
        columns = {
            got.row_group(0).column(n).path_in_schema: got.row_group(0).column(n) for n in range(got.num_columns)
        }
        for number in range(wanted.num_columns):
            column = wanted.row_group(0).column(number)
            if column.path_in_schema not in columns:
                continue
            mine = columns[column.path_in_schema]
            assert mine.compression == column.compression, column.path_in_schema
            assert mine.physical_type == column.physical_type, column.path_in_schema
            if "_metadata." not in column.path_in_schema:
                assert mine.is_stats_set or not column.is_stats_set, column.path_in_schema
