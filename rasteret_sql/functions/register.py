"""Declares the functions that register datasets, forget them and hand them on."""

from __future__ import annotations

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import FLAG, TEXT, Kind
from rasteret_sql.functions.spec import Argument, Function
from rasteret_sql.functions.sql_types import sql_type

_ID = Argument("id", TEXT, "id of the dataset, such as local/my-collection")
_ROW = f"TABLE of {sql_type(types.REGISTRATION)}: what was done, and the file that was written, if any"


REGISTRATION_FUNCTIONS = (
    Function(
        name="rasteret_register",
        family="catalog",
        body="rows",
        arguments=(
            Argument(
                "descriptor",
                Kind("STRUCT, MAP or JSON"),
                "fields of the dataset, with the names that rasteret_datasets() shows; only id is mandatory",
            ),
        ),
        returns=types.REGISTRATION,
        gives=_ROW,
        doc="Registers a dataset in this process, from a STRUCT or JSON. A dataset with the same id is replaced.",
        example="SELECT action FROM rasteret_register({'id': 'my-org/fields', 'name': 'Fields from the air', "
        "'stac_api': '${DATA}/catalog/catalog.json', 'stac_collection': 'naip', 'band_map': {'NIR': 'image'}, "
        "'band_index_map': {'NIR': 3}, 'separate_files': false})",
        run="register.register",
    ),
    Function(
        name="rasteret_register_local",
        family="catalog",
        body="rows",
        arguments=(
            _ID,
            Argument(
                "path",
                TEXT,
                "directory or Parquet file of a collection on this machine: an export, or one of a workspace",
            ),
            Argument("name", TEXT, "name for people; that of the collection by default", "NULL"),
            Argument("description", TEXT, "one line for listings", "NULL"),
            Argument("data_source", TEXT, "where its scenes come from; what the collection says by default", "NULL"),
            Argument("persist", FLAG, "false: for this process only", "NULL"),
        ),
        returns=types.REGISTRATION,
        gives=_ROW,
        doc="Registers a collection on this machine as a dataset, which rasteret_build(id) then opens; kept in "
        "~/.rasteret/datasets.local.json for later processes.",
        example="SELECT id, action FROM rasteret_register_local('local/loaded', '${EXPORT}', "
        "description := 'An export', persist := false)",
        run="register.register_at_path",
    ),
    Function(
        name="rasteret_unregister",
        family="catalog",
        body="rows",
        arguments=(_ID,),
        returns=types.REGISTRATION,
        gives=_ROW,
        doc="Removes a dataset from this process, and from the file of local datasets if it is there. Its files stay.",
        example="SELECT id, action FROM rasteret_unregister('earthsearch/cop-dem-glo-90')",
        run="register.unregister",
    ),
    Function(
        name="rasteret_export_descriptor",
        family="catalog",
        body="rows",
        arguments=(_ID, Argument("path", TEXT, "JSON file to write")),
        returns=types.REGISTRATION,
        gives=_ROW,
        doc="Writes a dataset's descriptor to a JSON file, for others to register.",
        example="SELECT action FROM rasteret_export_descriptor('earthsearch/naip', '${TMP}/naip.json')",
        run="register.export",
    ),
)
