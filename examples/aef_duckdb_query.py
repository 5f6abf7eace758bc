"""Query a GeoParquet index of AlphaEarth embeddings with DuckDB, build a collection of the result, and read pixels.

    python examples/aef_duckdb_query.py [INDEX]

INDEX is the address of an index, such as
`s3://us-west-2.opendata.source.coop/tge-labs/aef/v1/annual/aef_index.parquet`. Without one the small replica in
examples/data/aef is queried, which has the columns of the real one and made-up pixels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

import rasteret_sql

REPLICA = Path(__file__).parent / "data" / "aef" / "aef_index.parquet"
AREA = (9.0005, -0.0025, 9.0050, -0.0005)
"""(west, south, east, north) in lon/lat."""
YEAR = 2023


def main(index: str) -> None:
    west, south, east, north = AREA
    # 1. Any SQL finds the files: here by place and year, in the index alone.
    con = duckdb.connect()
    found = con.sql(
        """
        FROM read_parquet($index)
        WHERE year = $year
          AND wgs84_west < $east AND wgs84_east > $west
          AND wgs84_south < $north AND wgs84_north > $south
        ORDER BY fid
        """,
        params={"index": index, "year": YEAR, "west": west, "south": south, "east": east, "north": north},
    )
    print(f"{found.count('*').fetchall()[0][0]} files of {YEAR} meet the area")

    # 2. The query's result is the table to build from: only its files are touched, one request each.
    collection = rasteret_sql.build_from_table(
        found,
        name="embeddings",
        column_map={"fid": "id", "geom": "geometry", "year": "datetime"},
        href_column="path",
        band_index_map={f"A{n:02d}": n for n in range(64)},
        url_rewrite_patterns={
            "embedding_": f"{Path(index).parent}/embedding_",  # the replica's paths are relative to it
            "s3://us-west-2.opendata.source.coop/": "https://data.source.coop/",
        },
        enrich_cog=True,
    )
    print(f"{len(collection)} scenes of {len(collection.bands)} bands")

    # 3. Its pixels, in SQL ...
    rows = collection.sql(
        "SELECT id, utm_zone, sample_point(id, 'A63', 'POINT (9.0014 -0.0014)') FROM scenes ORDER BY id"
    )
    for scene, zone, value in rows.fetchall():
        print(f"scene {scene} in zone {zone}: A63 at the point is {value}")

    # ... and in Python.
    pixels = collection.get_numpy((9.0005, -0.0025, 9.0020, -0.0010), bands=["A00", "A01", "A63"])
    print(f"pixels {pixels.shape} of {pixels.dtype}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(REPLICA))
