"""Collections built of tables, in Python: promises C7, C8, C18, C19, D7, D27, D28, D32-D35, E13-E21, F4, F7, F8."""

from __future__ import annotations

import datetime as dt
import gc
import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import rasterio
from obstore.store import MemoryStore

import rasteret_sql
from rasteret_sql import DatasetDescriptor, ObstoreBackend
from rasteret_sql.errors import IndexFormatError, RasteretError, StorageError, TableError, UnknownBandError
from rasteret_sql.io.routed_backend import RoutedBackend
from tests.tables.conftest import AEF, AEF_MAP, FIXTURES, find, scenes

SAMPLE = Path(__file__).parents[1] / "index" / "rasteret_index"
"""3 scenes of 2 bands with rasteret's own answers; hrefs are relative to this directory."""
BANDS = {f"A{n:02d}": n for n in range(64)}
SIDES = {"minx": "wgs84_west", "miny": "wgs84_south", "maxx": "wgs84_east", "maxy": "wgs84_north"}


class Counting(RoutedBackend):
    """Reads anything, and notes what was read."""

    def __init__(self):
        super().__init__()
        self.read = []

    async def get_part(self, url, start, length):
        self.read.append(Path(url).name)
        return await super().get_part(url, start, length)


def pixels(path, band=1):
    with rasterio.open(path) as file:
        return file.read(band)


def aef(**given):
    return rasteret_sql.build_from_table(
        AEF / "aef_index.parquet",
        column_map=AEF_MAP,
        href_column="path",
        band_index_map=BANDS,
        enrich_cog=True,
        **given,
    )


def test_records_of_rasteret_build_and_read(tmp_path, monkeypatch):
    """E13, E15: the reference's own sample, hrefs relative to the current directory."""
    monkeypatch.chdir(SAMPLE)
    collection = rasteret_sql.build_from_table(
        "out/records.parquet", name="sample", data_source="demo/s2-like", workspace_dir=tmp_path, enrich_cog=True,
        max_concurrent=200,
    )  # fmt: skip
    facts = json.loads(Path("out/facts.json").read_text("utf-8"))
    assert (collection.name, len(collection), collection.bands) == ("sample", facts["len"], facts["bands"])
    rows = collection.sql("SELECT data_source, kind FROM rasteret_collections($1)", [str(tmp_path)]).fetchall()
    assert rows == [("demo/s2-like", "records")]
    area = tuple(facts["aoi"])
    wanted = rasteret_sql.load("out/export").get_numpy(area, ["B04", "B08"])
    assert np.array_equal(collection.get_numpy(area, ["B04", "B08"]), wanted)


def test_pixels_of_a_table_equal_those_of_rasterio(tmp_path):
    """D27, D28, E18, D34."""
    collection = aef(name="emb", workspace_dir=tmp_path)
    assert collection.bands == list(BANDS)
    rows = collection.sql("SELECT id, year, path, chip_values(read_chip(id, 'A63')) FROM scenes ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == [("1", 2022), ("2", 2023), ("3", 2023)]
    for _, _, path, values in rows:
        assert np.array_equal(np.array(values).reshape(32, 32), pixels(AEF / path, 64))


@pytest.mark.exhaustive
def test_the_same_build_again_reads_nothing(tmp_path):
    """E13 with E3: cached by what was asked and by the table's own content."""
    backend = Counting()
    first = aef(name="emb", workspace_dir=tmp_path, backend=backend)
    assert sorted(set(backend.read)) == sorted(path.name for path in AEF.glob("*.tif"))
    backend.read.clear()
    again = aef(name="emb", workspace_dir=tmp_path, backend=backend)
    assert backend.read == []
    assert again.path == first.path
    aef(name="emb", workspace_dir=tmp_path, backend=backend, force=True)
    assert backend.read


def test_a_table_that_changed_is_another_build(tmp_path):
    """E4."""
    table = tmp_path / "t.parquet"
    pq.write_table(scenes(2), table)
    build = lambda: rasteret_sql.build_from_table(table, name="t", workspace_dir=tmp_path / "ws")  # noqa: E731
    assert len(build()) == 2
    pq.write_table(scenes(3), table)
    assert len(build()) == 3


def test_without_enrich_cog_no_file_is_touched(tmp_path):
    """E15: the bands are there, and reading pixels says what to do."""
    backend = Counting()
    collection = rasteret_sql.build_from_table(scenes(), name="bare", workspace_dir=tmp_path, backend=backend)
    assert backend.read == []
    assert collection.bands == ["B04", "B08"]
    assert len(collection) == 3
    with pytest.raises(RasteretError, match=r"enrich_cog := true"):
        collection.get_numpy((11.1, 48.1, 11.2, 48.2), ["B04"])


def test_only_files_of_rows_that_fit_are_touched(tmp_path):
    """E19, E20: the filter comes first."""
    backend = Counting()
    condition = (ds.field("year") == 2023) & (ds.field("wgs84_west") < 9.001)
    collection = aef(name="one", workspace_dir=tmp_path, backend=backend, filter_expr=condition)
    assert len(collection) == 1
    assert set(backend.read) == {"embedding_2023_500000.tif"}
    with pytest.raises(ValueError, match=r"aef_index.parquet with filter year = 1999 has no rows that fit"):
        aef(name="none", workspace_dir=tmp_path, filter_expr="year = 1999")


@pytest.mark.exhaustive
def test_a_table_without_a_name_is_kept_while_it_is_used():
    """Without name and workspace nothing is left behind."""
    collection = aef()
    path = collection.path
    assert collection.name == "aef_index"
    assert path.exists()
    assert collection.sql("SELECT count(*) FROM scenes").fetchall() == [(3,)]
    del collection
    gc.collect()
    assert not path.exists()


def test_a_duckdb_relation_is_a_table(tmp_path):
    """E13: the query of a database is what is built from."""
    con = duckdb.connect()
    relation = con.sql("FROM read_parquet($1) WHERE year = 2023", params=[str(AEF / "aef_index.parquet")])
    collection = rasteret_sql.build_from_table(
        relation, name="rel", workspace_dir=tmp_path, column_map=AEF_MAP, href_column="path",
        band_index_map={"A00": 0}, url_rewrite_patterns={"embedding": str(AEF / "embedding")}, enrich_cog=True,
    )  # fmt: skip
    assert collection.get_numpy((9.0, -0.001, 9.001, -0.0001), ["A00"]).dtype == np.int8


def test_geometries_of_duckdb_keep_their_crs(tmp_path):
    """A GEOMETRY column arrives as GeoArrow."""
    con = duckdb.connect()
    relation = con.sql(
        "SELECT 'a' AS id, 2024 AS datetime, 'POLYGON ((11 48, 12 48, 12 49, 11 48))'::GEOMETRY AS geometry, "
        "{'B': 'x.tif'} AS assets"
    )
    assert find(relation).scenes[0].bbox == (11.0, 48.0, 12.0, 49.0)


@pytest.mark.exhaustive
def test_pixels_of_a_table_in_memory_and_of_its_columns(tmp_path):
    """E17: source columns stay, with their types."""
    collection = aef(name="emb", workspace_dir=tmp_path)
    types = dict(collection.sql("SELECT column_name, column_type FROM (DESCRIBE scenes)").fetchall())
    assert (types["fid"], types["utm_zone"], types["wgs84_west"]) == ("BIGINT", "VARCHAR", "DOUBLE")
    assert types["geom"] == "BLOB"


# ---- tables elsewhere


@pytest.mark.exhaustive
def test_a_table_in_a_bucket(s3_server, tmp_path):
    """E21: s3:// paths, of files and of directories; what the statistics rule out is not read."""
    store = s3_server.store("tables", public=True)
    for path in AEF.glob("*.tif"):
        store.put(f"aef/{path.name}", path.read_bytes())
    store.put("aef/index.parquet", (AEF / "aef_index.parquet").read_bytes())
    store.put("hive/year=2023/a.parquet", (AEF / "aef_index.parquet").read_bytes())
    backend = RoutedBackend(environment=s3_server.environment)
    given = {"column_map": AEF_MAP, "href_column": "path", "band_index_map": {"A01": 1}, "backend": backend}
    collection = rasteret_sql.build_from_table(
        "s3://tables/aef/index.parquet", name="s3", workspace_dir=tmp_path, enrich_cog=True, **given
    )
    assert collection.sql("SELECT DISTINCT assets.A01.href[:16] FROM scenes").fetchall() == [("s3://tables/aef/",)]
    assert (collection.get_numpy((9.0, -0.001, 9.001, -0.0001), ["A01"]) != 0).any()
    for address in ("s3://tables/hive/", "s3://tables/hive", "s3://tables/hive/**/*.parquet"):
        assert len(rasteret_sql.build_from_table(address, **given)) == 3
    with pytest.raises(FileNotFoundError, match=r"s3://tables/none\.parquet"):
        rasteret_sql.build_from_table("s3://tables/none.parquet", **given)
    with pytest.raises(FileNotFoundError, match="no Parquet file is at s3://tables/none/"):
        rasteret_sql.build_from_table("s3://tables/none/", **given)


@pytest.mark.exhaustive
def test_a_table_of_a_web_server_is_read_in_parts(range_server, tmp_path):
    """E21, E19: of a large file only the footer and the row groups that fit are asked for."""
    count = 40_000
    table = pa.table(
        {
            "id": [f"s{n}" for n in range(count)],
            "datetime": [2000 + n // 1000 for n in range(count)],
            "bbox": [{"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}] * count,
            "path": [f"{n}.tif" for n in range(count)],
            "noise": np.random.default_rng(1).random(count * 8).reshape(count, 8).tolist(),
        }
    )
    with_range = range_server(tmp_path) if callable(range_server) else range_server
    path = Path(with_range.directory) / "big.parquet"
    pq.write_table(table, path, row_group_size=1000)
    size = path.stat().st_size
    assert size > 2_000_000
    before = with_range.counts()
    found = find(f"{with_range.url}/big.parquet", href_column="path", filter_expr="datetime = 2020")
    after = with_range.counts()
    assert len(found.scenes) == 1000
    assert found.scenes[0].bands["path"].href == f"{with_range.url}/20000.tif"
    assert after["bytes"] - before["bytes"] < size / 3
    with pytest.raises(FileNotFoundError):
        find(f"{with_range.url}/none.parquet")


def test_a_backend_of_ones_own_gives_the_table():
    store = MemoryStore()
    store.put("t/index.parquet", (AEF / "aef_index.parquet").read_bytes())
    backend = ObstoreBackend(store, url_prefix="mem://")
    given = {"column_map": AEF_MAP, "href_column": "path", "backend": backend}
    assert find("mem://t/index.parquet", **given).scenes[0].bands["path"].href == "mem://t/embedding_2022_500000.tif"
    with pytest.raises(RasteretError):
        find("mem://t/none.parquet", **given)


def test_a_filesystem_of_pyarrow_or_fsspec(tmp_path):
    from pyarrow import fs

    shutil.copy(AEF / "aef_index.parquet", tmp_path / "i.parquet")
    local = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    given = {"column_map": AEF_MAP, "href_column": "path"}
    assert len(find("x://i.parquet", filesystem=local, **given).scenes) == 3
    with pytest.raises(FileNotFoundError):
        find("none.parquet", filesystem=local, **given)


# ---- datasets that are tables


def replica(tmp_path, prefix, names):
    """A copy of the index whose paths are as the dataset's own."""
    table = pq.read_table(AEF / "aef_index.parquet")
    paths = [f"{prefix}{path}" for path in table.column("path").to_pylist()]
    table = table.set_column(table.column_names.index("path"), "path", pa.array(paths))
    root = tmp_path / "bucket"
    root.mkdir()
    for path in AEF.glob("*.tif"):
        shutil.copy(path, root)
    target = root / names
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target)
    return root


@pytest.mark.exhaustive
def test_the_built_in_aef_dataset_builds_from_a_replica(tmp_path):
    """D32, C7, F4, F7: the built-in maps https to s3; the replica's bucket is a directory."""
    assert rasteret_sql.DatasetRegistry.get("aef/v1-annual") is not None
    names = "terrafloww/aef-v1-annual-rasteret/index.parquet"
    root = replica(tmp_path, "https://data.source.coop/", names)
    patterns = {"s3://us-west-2.opendata.source.coop/": f"{root}/", "https://data.source.coop/": f"{root}/"}
    collection = rasteret_sql.build(
        "aef/v1-annual", name="aef", workspace_dir=tmp_path / "ws",
        cloud_config={"provider": "aws", "url_patterns": patterns},
        bbox=(9.0, -0.002, 9.001, -0.001), date_range=("2023-01-01", "2023-12-31"),
    )  # fmt: skip
    assert (len(collection), len(collection.bands)) == (1, 64)
    got = collection.sql("SELECT chip_values(read_chip(id, 'A07')) FROM scenes").fetchall()[0][0]
    assert np.array_equal(np.array(got).reshape(32, 32), pixels(AEF / "embedding_2023_500000.tif", 8))


def custom(uri, **changes):
    """The registration guide's own AEF descriptor."""
    return DatasetDescriptor(
        **{
            "id": "my-org/aef-custom",
            "name": "AEF Embeddings (Custom)",
            "geoparquet_uri": uri,
            "column_map": AEF_MAP,
            "href_column": "path",
            "band_index_map": BANDS,
            "bbox_columns": SIDES,
            "separate_files": False,
            "temporal_range": ("2018-01-01", "2023-12-31"),
        }
        | changes
    )


@pytest.mark.exhaustive
def test_the_custom_aef_descriptor_builds_with_its_own_direction_of_urls(tmp_path):
    """D33, D35, D8, D7, F7: s3 mapped to where the replica is."""
    names = "tge-labs/aef/v1/annual/aef_index.parquet"
    root = replica(tmp_path, "s3://us-west-2.opendata.source.coop/", names)
    config = {
        "provider": "aws", "region": "us-west-2",
        "url_patterns": {"s3://us-west-2.opendata.source.coop/": f"{root}/"},
    }  # fmt: skip
    descriptor = custom(f"s3://us-west-2.opendata.source.coop/{names}", cloud_config=config)
    rasteret_sql.register(descriptor)
    built = rasteret_sql.build("my-org/aef-custom", name="a", workspace_dir=tmp_path / "ws")
    assert (len(built), built.bands) == (3, list(BANDS))
    near = rasteret_sql.build(
        "my-org/aef-custom",
        name="b",
        workspace_dir=tmp_path / "ws",
        bbox=(9.0, -0.002, 9.001, -0.001),
        query="year > 2022",
    )
    assert near.sql("SELECT id FROM scenes").fetchall() == [("2",)]
    assert near.get_numpy((9.0, -0.001, 9.001, -0.0001), ["A00", "A63"]).dtype == np.int8


def test_prefer_geoparquet_takes_the_table_where_there_is_one(tmp_path):
    """C18, C19."""
    both = custom(str(AEF / "aef_index.parquet"), id="x/both", stac_api=str(tmp_path / "no.json"), stac_collection="c")
    rasteret_sql.register(both)
    assert len(rasteret_sql.build("x/both", name="t", workspace_dir=tmp_path / "ws", prefer_geoparquet=True)) == 3
    with pytest.raises(RasteretError):
        rasteret_sql.build("x/both", name="t", workspace_dir=tmp_path / "ws")
    rasteret_sql.register(DatasetDescriptor(id="x/stac", stac_api=str(tmp_path / "no.json"), stac_collection="c"))
    with pytest.raises(RasteretError, match=r"no\.json"):
        rasteret_sql.build("x/stac", name="t", workspace_dir=tmp_path / "ws", prefer_geoparquet=True)


@pytest.mark.exhaustive
def test_a_ready_collection_ignores_bbox_and_dates_but_a_table_does_not(tmp_path):
    """C8, F8: our decision, the user's side of it."""
    collection = aef(name="emb", workspace_dir=tmp_path / "ws")
    collection.export(tmp_path / "export")
    rasteret_sql.register_local("local/emb", tmp_path / "export")
    ready = rasteret_sql.build(
        "local/emb", name="again", bbox=(100, 10, 101, 11), date_range=("1999-01-01", "1999-02-01")
    )
    assert len(ready) == 3
    rasteret_sql.register(custom(str(AEF / "aef_index.parquet")))
    with pytest.raises(ValueError, match="no rows that fit"):
        rasteret_sql.build("my-org/aef-custom", name="far", workspace_dir=tmp_path / "ws", bbox=(100, 10, 101, 11))


# ---- tables that are collections


@pytest.mark.exhaustive
def test_a_table_with_headers_becomes_a_collection_as_it_is(tmp_path, monkeypatch):
    """as_collection: rasteret's export, read as a table, gives rasteret's pixels without a build."""
    monkeypatch.chdir(SAMPLE)
    table = ds.dataset("out/export", partitioning="hive").to_table()
    collection = rasteret_sql.as_collection(table, name="handed", data_source="demo")
    assert (collection.name, len(collection), collection.bands) == ("handed", 3, ["B04", "B08"])
    facts = json.loads(Path("out/facts.json").read_text("utf-8"))
    loaded = rasteret_sql.load("out/export")
    area = tuple(facts["aoi"])
    assert np.array_equal(collection.get_numpy(area, ["B04"]), loaded.get_numpy(area, ["B04"]))
    path = collection.path
    assert path.exists()
    relation = collection.sql("SELECT count(*) FROM scenes")
    assert relation.fetchall() == [(3,)]
    del collection, relation
    gc.collect()
    assert not path.exists()


@pytest.mark.exhaustive
def test_a_table_of_our_export_becomes_a_collection_again(tmp_path):
    collection = aef(name="emb", workspace_dir=tmp_path / "ws")
    collection.export(tmp_path / "export")
    table = ds.dataset(tmp_path / "export", partitioning="hive").to_table(filter=ds.field("fid") == 3)
    one = rasteret_sql.as_collection(table)
    assert one.name == "emb"
    assert one.sql("SELECT (zonal_stats(id, 'A63', geometry)).mean FROM scenes").fetchall() == [(65.0,)]


def test_a_table_without_headers_needs_saying_so(monkeypatch):
    monkeypatch.chdir(SAMPLE)
    table = ds.dataset("out/export", partitioning="hive").to_table()
    bare = table.drop_columns(["B04_metadata", "B08_metadata"])
    with pytest.raises(TableError, match="require_band_metadata=False"):
        rasteret_sql.as_collection(bare)
    assert len(rasteret_sql.as_collection(bare, require_band_metadata=False)) == 3
    with pytest.raises(ValueError, match="lacks datetime, geometry, assets, bbox"):
        rasteret_sql.as_collection(pa.table({"id": ["a"]}))
    broken = bare.append_column("X_metadata", pa.array([{"dtype": "int8"}] * 3))
    with pytest.raises(IndexFormatError, match="X_metadata of the table lacks image_width"):
        rasteret_sql.as_collection(broken)


def test_as_collection_takes_tables_alone():
    for what in (7, "out/export", None):
        with pytest.raises(TypeError):
            rasteret_sql.as_collection(what)
    with pytest.raises(TypeError, match="are datetimes"):
        rasteret_sql.as_collection(pa.table({"id": ["a"]}), start_date="2024-01-01", end_date=dt.datetime(2024, 1, 2))


def test_stac_geoparquet_builds_without_its_files(tmp_path):
    """E13, E14, E15."""
    collection = rasteret_sql.build_from_table(
        FIXTURES / "8-landsat-items.parquet", name="ls", data_source="landsat-c2-l2", workspace_dir=tmp_path
    )
    assert {"B2", "B4", "qa_pixel"} <= set(collection.bands)
    assert collection.sql('SELECT count(*) FROM scenes WHERE "eo:cloud_cover" >= 0').fetchall() == [(8,)]


def test_files_that_cannot_be_read_do_not_spoil_the_build(tmp_path):
    table = pq.read_table(AEF / "aef_index.parquet")
    paths = [str(AEF / "embedding_2022_500000.tif"), str(tmp_path / "gone.tif"), str(AEF / "embedding_2023_500320.tif")]
    table = table.set_column(table.column_names.index("path"), "path", pa.array(paths))
    with pytest.warns(RuntimeWarning, match=r"gone\.tif"):
        collection = rasteret_sql.build_from_table(
            table, name="g", workspace_dir=tmp_path, column_map=AEF_MAP, href_column="path", band_index_map={"A": 0},
            enrich_cog=True,
        )  # fmt: skip
    assert collection.sql("SELECT count(*) FILTER (status = 'ok'), count(*) FROM scenes").fetchall() == [(2, 3)]
    with pytest.raises(StorageError):
        rasteret_sql.build_from_table(scenes(1, assets=[{"B": str(tmp_path / "no.tif")}]), enrich_cog=True)


def test_an_unknown_band_is_named(tmp_path):
    with pytest.raises(UnknownBandError):
        aef(name="emb", workspace_dir=tmp_path).get_numpy((9.0, -0.001, 9.001, -0.0001), ["A64"])


@pytest.mark.exhaustive
def test_rows_of_a_collection_are_a_table_too(tmp_path):
    """A collection hands out its scenes as Arrow; built of again they keep files, samples and columns."""
    first = aef(name="emb", workspace_dir=tmp_path)
    again = rasteret_sql.build_from_table(first, name="again", workspace_dir=tmp_path, enrich_cog=True)
    assert again.bands == first.bands
    columns = [row[0] for row in again.sql("SELECT column_name FROM (DESCRIBE scenes)").fetchall()]
    assert columns == [row[0] for row in first.sql("SELECT column_name FROM (DESCRIBE scenes)").fetchall()]
    area = (9.0, -0.001, 9.001, -0.0001)
    assert np.array_equal(first.get_numpy(area, ["A63"]), again.get_numpy(area, ["A63"]))


@pytest.mark.exhaustive
def test_a_dataset_that_is_a_table_builds_in_sql(tmp_path):
    """C7, D33 in SQL; bbox, dates and query choose rows."""
    rasteret_sql.register(custom(str(AEF / "aef_index.parquet")))
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    call = "SELECT id FROM rasteret_build('my-org/aef-custom', name := $name, {}) ORDER BY id"
    for number, (given, wanted) in enumerate(
        {
            "force := false": ["1", "2", "3"],
            "bbox := [9.0035, -0.002, 9.004, -0.001]": ["3"],
            "date_range := ['2022-01-01', '2022-12-31']": ["1"],
            "query := 'fid >= 2 AND utm_zone = ''32N'''": ["2", "3"],
            "query := {'fid': {'lt': 2}}": ["1"],
        }.items()
    ):
        rows = con.execute(call.format(given), {"name": f"n{number}"}).fetchall()
        assert [row[0] for row in rows] == wanted, given


def test_a_build_of_a_table_stops_when_asked(tmp_path):
    from rasteret_sql.errors import InterruptedQueryError
    from rasteret_sql.tables.table_source import TableSource

    with pytest.raises(InterruptedQueryError):
        TableSource(scenes()).find(lambda *_: None, lambda: True)
    told = []
    rasteret_sql.build_from_table(scenes(), name="t", workspace_dir=tmp_path, progress=lambda *what: told.append(what))
    assert (3, 3, "items") in told
    assert told[-1] == (3, 3, "scenes")


NAN_CONDITIONS = ["n BETWEEN 0 AND 5", "isnan(n)", "n > 5", "n <= 5", "n = 'nan'", "n <> 1", "part.n < 5"]


@pytest.mark.parametrize("form", ["built", "adopted", "chosen"])
def test_nan_is_found_as_in_a_table_of_duckdb(form, tmp_path):
    """Parquet's bounds leave NaN out, and DuckDB would take them for those of all values."""
    values = [float("nan"), 1.0, 2.0, None]
    times = pa.array([dt.datetime(2024, 1, 1)] * 4, pa.timestamp("us"))  # of one month, that is in one file
    given = scenes(4, n=pa.array(values), part=[{"n": value} for value in values], datetime=times)
    collection = rasteret_sql.build_from_table(given, name="nan", workspace_dir=tmp_path, enrich_cog=False)
    if form == "adopted":
        collection = rasteret_sql.as_collection(collection.to_table(), name="nan", require_band_metadata=False)
    if form == "chosen":
        collection = collection.where(ds.field("id") != "s9")
    con = duckdb.connect()
    con.register("given_rows", given.drop_columns(["geometry", "assets"]))
    con.execute("CREATE TABLE plain AS FROM given_rows")
    for condition in NAN_CONDITIONS:
        wanted = [row[0] for row in con.execute(f"SELECT id FROM plain WHERE {condition} ORDER BY id").fetchall()]
        assert sorted(collection.where(condition).to_table()["id"].to_pylist()) == wanted, condition
    with rasteret_sql.connect(workspace_dir=tmp_path) as built:
        for condition in NAN_CONDITIONS:
            query = f"SELECT count(*) FROM rasteret.nan WHERE {condition}"
            assert built.execute(query).fetchall() == con.execute(query.replace("rasteret.nan", "plain")).fetchall()
