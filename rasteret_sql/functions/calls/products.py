"""Lists the bands of collections and the spectral indices."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.products import BAND, INDEX
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.products.indices import indices
from rasteret_sql.reading.derived_band import in_units
from rasteret_sql.reading.own_lattice import lattice_if_placed
from rasteret_sql.session.session import Session


def list_indices(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """All spectral indices, in each row."""
    asked = [named_arguments("rasteret_indices", text).get("collection") for text in texts.to_pylist()]
    return pa.array([_indices(session, collection) for collection in asked], pa.list_(INDEX))


def _indices(session: Session, collection: str | None) -> list[dict[str, Any]]:
    names = None if collection is None else session.band_names(session.open(collection))
    rows = []
    for index in indices().values():
        missing = None if names is None else index.missing(names.of_indices, names.product)
        rows.append(
            {
                "name": index.name,
                "long_name": index.long_name,
                "domain": index.domain,
                "formula": index.formula,
                "bands": index.bands,
                "reference": index.reference,
                "computable": None if missing is None else not missing,
                "missing": missing,
            }
        )
    return rows


def list_bands(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """The bands of the collection that each row names."""
    asked = [named_arguments("rasteret_bands", text)["collection"] for text in texts.to_pylist()]
    return pa.array([_bands(session, collection) for collection in asked], pa.list_(BAND))


def _bands(session: Session, collection: str) -> list[dict[str, Any]]:
    index = session.open(collection)
    names = session.band_names(index)
    found = session.example_bands(index)
    common = {band: name for name, band in reversed(names.common.items())}
    return [_band(band, common.get(band), found.get(band), names.product) for band in index.bands]


def _band(name: str, common: str | None, source: BandSource | None, product: str) -> dict[str, Any]:
    row: dict[str, Any] = {"band": name, "common_name": common}
    if source is None:
        return row
    header = source.header
    item = header.item
    of_item = item is not None and (item.scale is not None or item.offset is not None)
    scale, offset = (item.scale, item.offset) if item is not None and of_item else (header.scale, header.offset)
    _, text = in_units(source, product)
    lattice = lattice_if_placed(header.by_points())
    return row | {
        "common_name": common or (None if item is None else item.common_name),
        "dtype": header.dtype.name,
        "nodata": None if header.nodata is None else str(header.nodata),
        "resolution": None if lattice is None else math.sqrt(abs(lattice.determinant)),
        "scale": 1.0 if scale is None else scale,
        "offset": 0.0 if offset is None else offset,
        "unit": None if item is None else item.unit,
        "scaled": text.partition(": ")[2],
        "description": header.description,
    }
