"""How large an index is, and what finding things in it costs: `python -m tests.benchmarks.index_size make|measure`.

    make DIR --scenes 10000000 --bands 1 --order cog      an index of scenes that no file backs, through the real writer
    measure DIR                                           sizes, then times and peak memory, each in a new process

One band is 10 980 pixels square in tiles of 1024: 121 tiles whose byte counts are log-normal (median 1.2 MB, sigma 0.5)
with 8 bytes between them, in order (`cog`) or in random order (`random`). Scenes lie on a grid of 110 km squares over
all land and sea, over ten years, one after the other.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from rasteret_sql import schema
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.change.collection_files import CollectionWriter
from rasteret_sql.index.format.band_encode import BandRecord, encode_headers
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.manifest import Manifest
from rasteret_sql.index.format.scene_status import problems_column
from rasteret_sql.index.place.atomic_directory import published
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.tiff.header import BandHeader, Level, Validity
from tests.benchmarks.child import environment

PIXELS, TILE = 10_980, 1024
TILES = 11 * 11
START, YEARS = datetime(2015, 1, 1), 10
CHUNK = 8192
COLUMNS, ROWS = 360, 150
"""Squares of a degree and a bit, from 75° south to 75° north."""


def band_header(rng: np.random.Generator, order: str, epsg: int, corner: tuple[float, float]) -> BandHeader:
    """A header as a COG writer lays a file out; `order` is `cog` or `random`."""
    counts = np.exp(rng.normal(np.log(1.2e6), 0.5, TILES)).astype(np.uint64)
    places = np.arange(TILES) if order == "cog" else rng.permutation(TILES)
    ends = np.cumsum(counts[places] + np.uint64(8))
    offsets = np.empty(TILES, np.uint64)
    offsets[places] = np.concatenate([[0], ends[:-1]]).astype(np.uint64) + np.uint64(rng.integers(1000, 30_000))
    level = Level(
        width=PIXELS,
        height=PIXELS,
        tile_width=TILE,
        tile_height=TILE,
        tiled=True,
        dtype=np.dtype("uint16"),
        bits=16,
        samples=1,
        planar=1,
        compression=8,
        predictor=2,
        photometric=1,
        byte_order="<",
        fill_order=1,
        subsampling=(1, 1),
        extra_samples=(),
        jpeg_tables=None,
        offsets=offsets,
        byte_counts=counts,
    )
    return BandHeader(
        levels=(level,),
        sample=0,
        validity=Validity(),
        transform=Affine(10.0, 0.0, corner[0], 0.0, -10.0, corner[1]),
        crs=f"EPSG:{epsg}",
        nodata=0,
        scale=1.0,
        offset=0.0,
        description=None,
    )


def chunk(task: tuple[int, int, int, int, str]) -> tuple[tuple[int, int], pa.Table, pa.Table]:
    """Scenes `start` to `end` of all, which are of one month, with their headers."""
    start, end, scenes, bands, order = task
    rng = np.random.default_rng(start)
    names = [f"B{n + 1:02d}" for n in range(bands)]
    numbers = np.arange(start, end)
    squares = (numbers * 7919) % (COLUMNS * ROWS)
    west, south = squares % COLUMNS - 180.0, squares // COLUMNS - 75.0
    zones = ((west + 180) // 6).astype(int) + 1
    epsg = np.where(south >= 0, 32600, 32700) + zones
    when = [moment(number, scenes) for number in range(start, end)]
    ids = [
        f"S2_T{zone:02d}{square:05d}_{day:%Y%m%dT%H%M%S}_{number}"
        for zone, square, day, number in zip(zones, squares, when, numbers, strict=True)
    ]
    boxes = {"xmin": west, "ymin": south, "xmax": west + 1.1, "ymax": south + 1.0}
    crs = [f"EPSG:{code}" for code in epsg]
    assets = [
        pa.StructArray.from_arrays(
            [pa.array([f"s3://archive/{name}/{band}.tif" for name in ids]), pa.array([0] * len(ids), pa.int64())],
            fields=list(schema.ASSET_TYPE),
        )
        for band in names
    ]
    table = pa.table(
        {
            "id": ids,
            "datetime": pa.array(when, pa.timestamp("us")),
            "geometry": shapely.to_wkb(shapely.box(west, south, west + 1.1, south + 1.0)).tolist(),
            "bbox": pa.StructArray.from_arrays([pa.array(v) for v in boxes.values()], fields=list(schema.BBOX_TYPE)),
            "collection": ["sentinel"] * len(ids),
            "proj:epsg": pa.array(epsg, pa.int32()),
            "crs": crs,
            "status": [schema.STATUS_OK] * len(ids),
            "assets": pa.StructArray.from_arrays(assets, fields=list(schema.assets_type(tuple(names)))),
            "eo:cloud_cover": np.round(rng.uniform(0, 100, len(ids)), 2),
        }
    )
    headers = {}
    for band in names:
        corners = zip(399_960 + 109_800 * (squares % 5), 4_200_000 + 109_800.0 * (squares % 7), strict=True)
        records = [
            BandRecord(
                band_header(rng, order, int(code), (float(x), float(y))),
                1,
                int(rng.integers(10**8, 2 * 10**8)),
                f'"{rng.integers(2**63):016x}"',
                day,
            )
            for code, (x, y), day in zip(epsg, corners, when, strict=True)
        ]
        headers[schema.header_column(band)] = encode_headers(records)
    headers["problems"] = problems_column([[] for _ in when])
    return (when[0].year, when[0].month), table, pa.table(headers)


def moment(number: int, scenes: int) -> datetime:
    """When a scene was taken: evenly over the years."""
    return START + timedelta(seconds=int(number * (YEARS * 365.25 * 86_400 - 1) / scenes))


def tasks(scenes: int, bands: int, order: str) -> Iterator[tuple[int, int, int, int, str]]:
    """Runs of scenes of one month each, of at most `CHUNK`."""
    start = 0
    while start < scenes:
        end = min(start + CHUNK, scenes)
        first, last = moment(start, scenes), moment(end - 1, scenes)
        if (first.year, first.month) != (last.year, last.month):
            low, high = start, end - 1  # the first scene of the next month
            while low + 1 < high:
                middle = (low + high) // 2
                at = moment(middle, scenes)
                low, high = (middle, high) if (at.year, at.month) == (first.year, first.month) else (low, middle)
            end = high
        yield start, end, scenes, bands, order
        start = end


def make(directory: Path, scenes: int, bands: int, order: str) -> None:
    """Write the index; its path then holds it whole."""
    names = tuple(f"B{n + 1:02d}" for n in range(bands))
    metadata = CollectionMetadata("world", names, "bench/world", "", None, {})
    keys = metadata.key_values([shapely.to_wkb(shapely.box(0, 0, 1, 1))])
    text = {key.decode(): value.decode() for key, value in keys.items()}
    empty = Manifest(names, (), (), (), True, pa.schema([]), text)
    begun = time.perf_counter()
    with published(directory / "world_bench_stac") as place, multiprocessing.get_context("spawn").Pool(2) as pool:
        writer = CollectionWriter(place, keys)
        for month, table, headers in pool.imap(chunk, tasks(scenes, bands, order)):
            writer.write(month, table, headers)
        (place / schema.MANIFEST).write_text(writer.finish(empty).text(), "utf-8")
    print(f"made {scenes:,} scenes x {bands} bands ({order}) in {time.perf_counter() - begun:.0f} s", flush=True)


def sizes(path: Path) -> dict[str, float]:
    """Bytes of the index and per tile entry."""
    index = open_collection(path)
    manifest = index.manifest
    assert manifest is not None
    entries = index.count_rows() * len(index.bands) * TILES
    leaves = {"head": 0, "tables": 0, "layout": 0, "all": 0}
    for file in manifest.headers:
        metadata = pq.read_metadata(path / file.path)
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                leaf = column.path_in_schema.rpartition(".")[2]
                leaves["all"] += column.total_compressed_size
                if leaf in leaves:
                    leaves[leaf] += column.total_compressed_size
    whole = {
        "parts": sum(part.size for part in manifest.parts),
        "headers": sum(file.size for file in manifest.headers),
        "ids": sum((path / name).stat().st_size for name in manifest.ids),
    }
    return {
        "scenes": index.count_rows(),
        "entries": entries,
        "files": len(manifest.files()) + 1,
        "gigabytes": sum(whole.values()) / 1e9,
        "bytes an entry, offsets and sizes": (leaves["head"] + leaves["tables"]) / entries,
        "bytes an entry, whole headers": whole["headers"] / entries,
        "bytes a scene, parts": whole["parts"] / index.count_rows(),
        "bytes a scene, ids": whole["ids"] / index.count_rows(),
    }


PROBES = {
    "open": """
t = clock()
from rasteret_sql.index.place.collection_index import open_collection
index = open_collection(path)
say("open", clock() - t)
""",
    "connect": """
con = rasteret_sql.connect()
t = clock()
con.execute("SELECT id FROM rasteret_load($1, name := 'world') LIMIT 1", [path]).fetchall()
say("load and first row in SQL", clock() - t)
""",
    "one": """
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.session.session import new_session
session = new_session()
con = rasteret_sql.connect()
t = clock()
session.add(open_collection(path))
found = session.band_sources([(ids[0], ("B01",))], None)
say("one scene by id, cold, with open", clock() - t)
assert found[ids[0], ("B01",)][0].header.levels[0].offsets.shape == (121,)
t = clock()
found = session.band_sources([(ids[1], ("B01",))], None)
say("another scene, warm", clock() - t)
times = []
for name in ids[2:]:
    t = clock()
    session.band_sources([(name, ("B01",))], None)
    times.append(clock() - t)
say("scenes after that, median", sorted(times)[len(times) // 2])
t = clock()
session.band_sources([(name, ("B01",)) for name in many], None)
say(f"{len(many)} scenes in one call", clock() - t)
""",
    "filter": """
con = rasteret_sql.connect()
con.execute("SELECT id FROM rasteret_load($1, name := 'world') LIMIT 1", [path]).fetchall()
query = '''SELECT id, "eo:cloud_cover" FROM rasteret.world WHERE datetime >= TIMESTAMP '2019-06-01'
AND datetime < TIMESTAMP '2019-07-01' AND bbox.xmin <= 13.8 AND bbox.xmax >= 13.0 AND bbox.ymin <= 52.7
AND bbox.ymax >= 52.3'''
for what in ("a city and a month, first", "a city and a month, again"):
    t = clock()
    rows = con.execute(query).fetchall()
    say(f"{what}", clock() - t)
say("rows", len(rows))
t = clock()
box = "POLYGON ((13.0 52.3, 13.8 52.3, 13.8 52.7, 13.0 52.7, 13.0 52.3))"
rows = con.execute("FROM rasteret_scenes('world', $1, date_range := ['2019-06-01', '2019-06-30'])", [box]).fetchall()
say("the same by rasteret_scenes", clock() - t)
t = clock()
con.execute("SELECT id FROM rasteret.world WHERE id = $1", [ids[0]]).fetchall()
say("WHERE id = ... scanned in SQL", clock() - t)
""",
    "append": """
import pathlib
from tests.benchmarks.index_size import append_some
t = clock()
append_some(pathlib.Path(path), 1000)
say("append of 1000 scenes, no search or file read", clock() - t)
""",
}
_HEAD = """
import json, resource, sys, time
clock = time.perf_counter
import rasteret_sql, duckdb, pyarrow.parquet, numpy
import rasteret_sql.session.session, rasteret_sql.index.place.collection_index
path, ids, many = json.loads(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out = {}
def say(what, value): out[what] = value
"""
_TAIL = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out["peak MB"], out["of which before"] = peak / 1024, before / 1024
print(json.dumps(out))
"""


def append_some(path: Path, number: int) -> None:
    """What an append does once its scenes are found and their headers read."""
    from rasteret_sql.index.change.transaction import change
    from rasteret_sql.index.read.headers_by_id import StoredHeaders

    index = open_collection(path)
    manifest = index.manifest
    assert manifest is not None
    _, table, headers = chunk((0, number, number * 300, len(index.bands), "cog"))
    names = pa.array([f"new-{manifest.generation}-{n}" for n in range(number)])
    table = table.set_column(0, "id", names)
    assert not StoredHeaders(index).has(names.to_pylist())
    with change(index, "the append of a benchmark") as tx:
        tx.write((2015, 1), table, headers)


def some_ids(path: Path, number: int) -> list[str]:
    """Ids from all over the index."""
    index = open_collection(path)
    rng = np.random.default_rng(7)
    out = []
    for file in rng.choice(index.files, number):
        with pq.ParquetFile(file) as part:
            out.append(part.read_row_group(0, columns=["id"])["id"][int(rng.integers(50))].as_py())
    return out


def drop_page_cache() -> bool:
    """Let the system forget what it read; False where it does not let us."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def probe(name: str, path: Path, ids: list[str], many: list[str]) -> dict[str, float]:
    """One measurement, in a new process."""
    given = json.dumps([str(path), ids, many])
    answer = subprocess.run(
        [sys.executable, "-c", _HEAD + PROBES[name] + _TAIL, given],
        check=True,
        capture_output=True,
        text=True,
        env=environment(),
    )
    return json.loads(answer.stdout.splitlines()[-1])


def measure(directory: Path, repetitions: int) -> dict[str, object]:
    """Sizes and times of an index."""
    path = directory / "world_bench_stac"
    out: dict[str, object] = {"size": sizes(path)}
    ids, many = some_ids(path, 22), some_ids(path, 200)
    dropped = drop_page_cache()
    if dropped:
        out["one, from disk"] = probe("one", path, ids, many)
    for name in PROBES:
        runs = [probe(name, path, ids, many) for _ in range(repetitions)]
        out[name] = {key: sorted(run[key] for run in runs)[len(runs) // 2] for key in runs[0]}
    return out


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["make", "measure"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--scenes", type=int, default=100_000)
    parser.add_argument("--bands", type=int, default=1)
    parser.add_argument("--order", choices=["cog", "random"], default="cog")
    parser.add_argument("--reps", type=int, default=3)
    given = parser.parse_args()
    if given.command == "make":
        make(given.directory, given.scenes, given.bands, given.order)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak of the writing process {peak:.0f} MB")
    else:
        print(json.dumps(measure(given.directory, given.reps), indent=2))


if __name__ == "__main__":
    main()
