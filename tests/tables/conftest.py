"""Tables of scenes, small enough to read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import shapely

from rasteret_sql.tables.assets import BandChoice
from rasteret_sql.tables.columns import Mapped
from rasteret_sql.tables.table_source import TableSource
from tests.servers.fixtures import range_server, s3_server

__all__ = ["range_server", "s3_server"]

FIXTURES = Path(__file__).parent / "fixtures"
AEF = Path(__file__).parents[2] / "examples" / "data" / "aef"
AEF_MAP = {"fid": "id", "geom": "geometry", "year": "datetime"}


def find(table, **given):
    """Scenes of a table; arguments of `Mapped` and `BandChoice` by their names."""
    mapped = {
        name: given.pop(name) for name in ("column_map", "href_column", "bbox_columns", "columns") if name in given
    }
    bands = {name: given.pop(name) for name in ("band_map", "band_index_map", "codes", "known") if name in given}
    source = TableSource(table, mapped=Mapped(**mapped), bands=BandChoice(**bands), **given)
    return source.find(lambda *_: None, None)


def box(west=11.0, south=48.0, east=11.5, north=48.5):
    return shapely.to_wkb(shapely.box(west, south, east, north))


def scenes(count=3, **columns):
    """A table with what a collection needs; columns given replace these, None leaves one out."""
    have = {
        "id": [f"s{n}" for n in range(count)],
        "datetime": pa.array([dt.datetime(2024, 1 + n, 10, 10, 30) for n in range(count)], pa.timestamp("us")),
        "geometry": pa.array([box(11 + n, 48, 11.5 + n, 48.5) for n in range(count)], pa.binary()),
        "assets": [
            {"B04": {"href": f"s3://bkt/s{n}_B04.tif"}, "B08": {"href": f"s3://bkt/s{n}_B08.tif"}} for n in range(count)
        ],
        "eo:cloud_cover": [5.0 * n for n in range(count)],
    }
    have |= columns
    return pa.table({name: column for name, column in have.items() if column is not None})
