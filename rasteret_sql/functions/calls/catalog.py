"""Runs the functions that list datasets and functions."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.functions import types
from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.functions.spec import Function
from rasteret_sql.session.session import Session

_MAPS = ("band_map", "band_index_map", "column_map", "bbox_columns", "field_roles")
_DOCUMENTS = ("surface_fields", "filter_capabilities", "cloud_config")


def _dataset_row(descriptor: DatasetDescriptor) -> dict[str, Any]:
    row = descriptor.to_dict()
    for name in _MAPS:
        row[name] = None if row[name] is None else list(row[name].items())
    for name in _DOCUMENTS:
        row[name] = None if row[name] is None else json.dumps(row[name])
    row["bands"] = list(descriptor.band_map or descriptor.band_index_map or ())
    return row


def datasets(_session: Session, _cancelled: Cancelled, asked: pa.Array) -> pa.Array:
    """All registered datasets, in each row."""
    rows = [_dataset_row(descriptor) for descriptor in DatasetRegistry.list()]
    return pa.array([rows] * len(asked), pa.list_(types.DATASET))


def functions_row(function: Function) -> dict[str, str]:
    """A declaration as rasteret_functions() shows it."""
    return {
        "name": function.name,
        "family": function.family,
        "kind": "table" if function.table else "scalar",
        "signature": function.signature,
        "returns": function.result,
        "description": function.doc,
        "example": function.example,
    }


def functions(_session: Session, _cancelled: Cancelled, asked: pa.Array) -> pa.Array:
    """All declarations, in each row."""
    rows = sorted((functions_row(function) for function in FUNCTIONS), key=lambda row: row["name"])
    return pa.array([rows] * len(asked), pa.list_(types.FUNCTION))
