"""Functions that list what there is: datasets and functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Function, Udf
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.session import Session

_MAPS = ("band_map", "band_index_map", "column_map", "bbox_columns", "field_roles")
_DOCUMENTS = ("surface_fields", "filter_capabilities", "cloud_config")
_LISTS = {"temporal_range": pa.string(), "example_bbox": pa.float64(), "example_date_range": pa.string()}
_FLAGS = ("separate_files", "static_catalog", "commercial_use", "requires_auth", "torchgeo_verified")


def _dataset_row(descriptor: DatasetDescriptor) -> dict[str, Any]:
    row = descriptor.to_dict()
    for name in _MAPS:
        row[name] = None if row[name] is None else list(row[name].items())
    for name in _DOCUMENTS:
        row[name] = None if row[name] is None else json.dumps(row[name])
    row["bands"] = list(descriptor.band_map or descriptor.band_index_map or ())
    return row


def _dataset_type() -> pa.StructType:
    fields: list[tuple[str, pa.DataType]] = []
    for name in types.DATASET_FIELDS:
        if name in _MAPS:
            kind = pa.map_(pa.string(), pa.int64() if name == "band_index_map" else pa.string())
        elif name in _FLAGS:
            kind = pa.bool_()
        elif name == "bands":
            kind = pa.list_(pa.string())
        else:
            kind = pa.list_(_LISTS[name]) if name in _LISTS else pa.string()
        fields.append((name, kind))
    return pa.struct(fields)


def _datasets(_session: Session, _cancelled: Cancelled, asked: pa.Array) -> pa.Array:
    rows = [_dataset_row(descriptor) for descriptor in DatasetRegistry.list()]
    return pa.array([rows] * len(asked), pa.list_(_dataset_type()))


def functions_row(function: Function) -> dict[str, str]:
    """A declaration as rasteret_functions() shows it."""
    return {
        "name": function.name,
        "family": function.family,
        "kind": "table" if function.table else "scalar",
        "signature": function.signature,
        "returns": function.returns,
        "description": function.doc,
        "example": function.example,
    }


def catalog_functions(others: Sequence[Function]) -> tuple[Function, ...]:
    """The functions of this family; rasteret_functions() lists itself and all others."""

    def listed(_session: Session, _cancelled: Cancelled, asked: pa.Array) -> pa.Array:
        rows = sorted((functions_row(function) for function in (*others, *own)), key=lambda row: row["name"])
        return pa.array([rows] * len(asked))

    own = (
        Function(
            name="rasteret_datasets",
            family="catalog",
            table=True,
            arguments=(),
            returns=f"TABLE of {types.DATASET}",
            doc="Registered datasets with all that is known of them; filter with WHERE id ILIKE '%sentinel%'.",
            example="SELECT id, name FROM rasteret_datasets() WHERE id ILIKE '%sentinel-2%' ORDER BY id",
            udfs=(Udf("__rasteret_datasets", ("BOOLEAN",), f"{types.DATASET}[]", pure=True, run=_datasets),),
        ),
        Function(
            name="rasteret_functions",
            family="catalog",
            table=True,
            arguments=(),
            returns=f"TABLE of {types.FUNCTION}",
            doc="Every function of rasteret_sql with its signature, description and an example.",
            example="SELECT signature FROM rasteret_functions() WHERE name = 'read_chip'",
            udfs=(Udf("__rasteret_functions", ("BOOLEAN",), f"{types.FUNCTION}[]", pure=True, run=listed),),
        ),
    )
    return own
