"""Functions that register datasets, forget them and hand them on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.lifecycle import export_local_descriptor, unregister_local_descriptor
from rasteret_sql.catalog.local import local_path
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.kernels.building import required
from rasteret_sql.kernels.registering import register_local
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.session import Session

_ID = Argument("id", "VARCHAR", "id of the dataset, such as local/my-collection")
_ROW = f"TABLE of {types.REGISTRATION}: what was done, and the file that was written, if any"
_TYPE = pa.list_(pa.struct([(name, pa.string()) for name in ("id", "name", "action", "path")]))


def _each(one: Callable[[dict[str, Any]], dict[str, str | None]], texts: pa.Array) -> pa.Array:
    """A row for each call; the named arguments come as a JSON object."""
    return pa.array([[one(json.loads(text))] for text in texts.to_pylist()], _TYPE)


def _row(descriptor: DatasetDescriptor, action: str, path: str | None) -> dict[str, str | None]:
    return {"id": descriptor.id, "name": descriptor.name, "action": action, "path": path}


def _action(dataset_id: str) -> str:
    return "registered" if DatasetRegistry.get(dataset_id) is None else "replaced"


def _register(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        descriptor = DatasetDescriptor.from_dict(_document(required(arguments, "descriptor")))
        action = _action(descriptor.id)
        DatasetRegistry.register(descriptor)
        return _row(descriptor, action, None)

    return _each(one, texts)


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


def _register_local(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        dataset_id, path = required(arguments, "id"), required(arguments, "path")
        action = _action(dataset_id)
        persist = arguments.get("persist") is not False
        descriptor = register_local(
            dataset_id,
            path,
            name=arguments.get("name"),
            description=arguments.get("description") or "",
            data_source=arguments.get("data_source") or "",
            persist=persist,
        )
        return _row(descriptor, action, str(local_path()) if persist else None)

    return _each(one, texts)


def _unregister(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        descriptor = DatasetRegistry.require(required(arguments, "id"))
        persisted = unregister_local_descriptor(descriptor.id)
        if persisted is None:
            DatasetRegistry.unregister(descriptor.id)
        return _row(descriptor, "unregistered", None if persisted is None else str(local_path()))

    return _each(one, texts)


def _export(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, str | None]:
        descriptor = DatasetRegistry.require(required(arguments, "id"))
        return _row(descriptor, "exported", str(export_local_descriptor(descriptor.id, required(arguments, "path"))))

    return _each(one, texts)


def _udf(name: str, run: Callable[[Session, Cancelled, pa.Array], pa.Array]) -> Udf:
    return Udf(f"__{name}", ("VARCHAR",), f"{types.REGISTRATION}[]", pure=False, run=run)


REGISTRATION_FUNCTIONS = (
    Function(
        name="rasteret_register",
        family="catalog",
        table=True,
        arguments=(
            Argument(
                "descriptor",
                "STRUCT, MAP or JSON",
                "fields of the dataset as rasteret_datasets() names them; only id is mandatory",
            ),
        ),
        returns=_ROW,
        doc="Registers a dataset in this process, from a STRUCT or JSON; one of the same id is replaced.",
        example="SELECT action FROM rasteret_register({'id': 'my-org/fields', 'name': 'Fields from the air', "
        "'stac_api': '${DATA}/catalog/catalog.json', 'stac_collection': 'naip', 'band_map': {'NIR': 'image'}, "
        "'band_index_map': {'NIR': 3}, 'separate_files': false})",
        udfs=(_udf("rasteret_register", _register),),
    ),
    Function(
        name="rasteret_register_local",
        family="catalog",
        table=True,
        arguments=(
            _ID,
            Argument("path", "VARCHAR", "directory or Parquet file of a collection on this machine, such as an export"),
            Argument("name", "VARCHAR", "name for people; that of the collection by default", "NULL"),
            Argument("description", "VARCHAR", "one line for listings", "NULL"),
            Argument(
                "data_source", "VARCHAR", "where its scenes come from; what the collection says by default", "NULL"
            ),
            Argument("persist", "BOOLEAN", "false: for this process alone", "NULL"),
        ),
        returns=_ROW,
        doc="Registers a collection on this machine as a dataset, which rasteret_build(id) then opens; kept in "
        "~/.rasteret/datasets.local.json for later processes.",
        example="SELECT id, action FROM rasteret_register_local('local/loaded', '${EXPORT}', "
        "description := 'An export', persist := false)",
        udfs=(_udf("rasteret_register_local", _register_local),),
    ),
    Function(
        name="rasteret_unregister",
        family="catalog",
        table=True,
        arguments=(_ID,),
        returns=_ROW,
        doc="Forgets a dataset: in this process, and in the file of local datasets if that has it. Its files stay.",
        example="SELECT id, action FROM rasteret_unregister('earthsearch/cop-dem-glo-90')",
        udfs=(_udf("rasteret_unregister", _unregister),),
    ),
    Function(
        name="rasteret_export_descriptor",
        family="catalog",
        table=True,
        arguments=(_ID, Argument("path", "VARCHAR", "JSON file to write")),
        returns=_ROW,
        doc="Writes a dataset's descriptor to a JSON file, for others to register.",
        example="SELECT action FROM rasteret_export_descriptor('earthsearch/naip', '${TMP}/naip.json')",
        udfs=(_udf("rasteret_export_descriptor", _export),),
    ),
)
