"""Runs the functions that register datasets, forget them and hand them on."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.local_datasets import local_path
from rasteret_sql.catalog.register import export_local_descriptor, unregister_local_descriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.rows import one_row
from rasteret_sql.library.register import register_local
from rasteret_sql.session.session import Session


def _row(descriptor: DatasetDescriptor, action: str, path: str | None) -> dict[str, str | None]:
    return {"id": descriptor.id, "name": descriptor.name, "action": action, "path": path}


def _action(dataset_id: str) -> str:
    return "registered" if DatasetRegistry.get(dataset_id) is None else "replaced"


def register(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Register datasets from their descriptors."""

    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        descriptor = DatasetDescriptor.from_dict(_document(arguments["descriptor"]))
        action = _action(descriptor.id)
        DatasetRegistry.register(descriptor)
        return _row(descriptor, action, None)

    return one_row("rasteret_register", texts, one)


def _document(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise InvalidArgumentError(
            f"descriptor {value!r} is not JSON; expected a STRUCT or JSON object such as "
            "{'id': 'my-org/my-dataset', 'stac_api': 'https://...', 'stac_collection': '...'}"
        ) from None


def register_at_path(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Register collections of this machine as datasets."""

    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        dataset_id, path = arguments["id"], arguments["path"]
        action = _action(dataset_id)
        persist = arguments.get("persist", True)
        descriptor = register_local(
            dataset_id,
            path,
            name=arguments.get("name"),
            description=arguments.get("description", ""),
            data_source=arguments.get("data_source", ""),
            persist=persist,
        )
        return _row(descriptor, action, str(local_path()) if persist else None)

    return one_row("rasteret_register_local", texts, one)


def unregister(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Forget datasets."""

    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        descriptor = DatasetRegistry.require(arguments["id"])
        persisted = unregister_local_descriptor(descriptor.id)
        if persisted is None:
            DatasetRegistry.unregister(descriptor.id)
        return _row(descriptor, "unregistered", None if persisted is None else str(local_path()))

    return one_row("rasteret_unregister", texts, one)


def export(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Write descriptors to files."""

    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        descriptor = DatasetRegistry.require(arguments["id"])
        return _row(descriptor, "exported", str(export_local_descriptor(descriptor.id, arguments["path"])))

    return one_row("rasteret_export_descriptor", texts, one)
