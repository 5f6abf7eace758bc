"""Declares the functions for files that no catalog lists: build, list, and the bundled examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.collections import BACKEND, COLLECTION_FUNCTIONS
from rasteret_sql.functions.kinds import TEXT, Kind, mapping
from rasteret_sql.functions.spec import Argument, Function


def _texts(value: Any) -> str | list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("cannot be used")
    return value if isinstance(value, str) else names


_OPTIONS = {argument.name: argument for argument in COLLECTION_FUNCTIONS[0].arguments}
_PATHS = Argument(
    "paths",
    Kind("VARCHAR or VARCHAR[]", "a path, folder, pattern or prefix, or a list of these", _texts),
    "a file, a folder, a pattern (tifs/**/*.tif), a prefix of an object store (s3://bucket/tifs/), or a list of these",
)

FILE_FUNCTIONS = (
    Function(
        name="rasteret_build_from_files",
        family="collections",
        body="written",
        arguments=(
            _PATHS,
            Argument("name", TEXT, "name of the collection; that of the folder or file by default", "NULL"),
            Argument(
                "datetime",
                TEXT,
                "time in the path: a form of strptime (%Y%m%d), or a regular expression whose group is the time; paths "
                "that do not match give NULL",
                "NULL",
            ),
            Argument(
                "id",
                TEXT,
                "regular expression of the scene in the path, so that its files are one scene; its groups, or all of "
                "what it fits; by default the name of the file without the band",
                "NULL",
            ),
            Argument(
                "bands",
                Kind("VARCHAR or VARCHAR[]", "a regular expression, or a list of names", _texts),
                "regular expression whose group is the band in the file's name, or the names of each file's samples",
                "NULL",
            ),
            Argument(
                "band_map",
                mapping("{'red': '*_B04*'}"),
                "band name to a pattern of file names, or a part of them: {'red': '*_B04*'}; other files are left out",
                "NULL",
            ),
            Argument(
                "data_source",
                TEXT,
                "id of a dataset, whose names of bands are looked for in the files' names; kept with the index",
                "NULL",
            ),
            _OPTIONS["force"],
            _OPTIONS["max_concurrent"],
            _OPTIONS["workspace_dir"],
            _OPTIONS["cloud_config"],
            BACKEND,
        ),
        returns=pa.string(),
        gives="TABLE of scenes: id, datetime, geometry, bbox, assets, proj:epsg, status, and the properties of STAC "
        "items that lie beside the files",
        doc="Builds a collection of TIFF files that no catalog lists, and gives its scenes: one for each file, or for "
        "the files that their names group. Places come from the files' headers, all else from their names, or from "
        "STAC items that lie beside them.",
        example="SELECT id FROM rasteret_build_from_files('${DATA}/naip', name := 'photos', "
        "datetime := '_(\\d{8})', bands := ['red', 'green', 'blue', 'nir'])",
        run="files.build",
        metered=True,
    ),
    Function(
        name="rasteret_files",
        family="collections",
        body="rows",
        arguments=(_PATHS, replace(_OPTIONS["max_concurrent"], default="NULL"), BACKEND),
        returns=types.FILE,
        doc="Lists TIFF files, a row each, with what their headers say: size, type, CRS, nodata, overviews, "
        "compression and place. A file that cannot be read has the reason in status, and NULL elsewhere.",
        example="SELECT path, width, height, dtype, crs FROM rasteret_files('${DATA}/naip')",
        run="files.files",
        metered=True,
    ),
    Function(
        name="rasteret_features",
        family="collections",
        body="query",
        arguments=(
            Argument("path", TEXT, "a file: GeoJSON, GeoPackage, Shapefile, FlatGeobuf, Parquet or CSV"),
            Argument("layer", TEXT, "the layer of a GeoPackage that is meant; the first by default", "NULL"),
        ),
        returns=pa.string(),
        gives="TABLE of features: their properties, and geometry",
        doc="Reads the features of a file of this machine, such as zones, on every DuckDB: GeoJSON without any "
        "extension; GeoPackage, Shapefile and FlatGeobuf with the extra `vector`, else with DuckDB's extension "
        "spatial. The CRS of the file comes along.",
        example="SELECT field, crop FROM rasteret_features('${DATA}/zones/fields.geojson')",
        run="files.features",
    ),
    Function(
        name="rasteret_example",
        family="collections",
        body="value",
        arguments=(Argument("name", TEXT, "naip, catalog, aef or another folder of it", column=types.AS_TEXT),),
        returns=pa.string(),
        doc="Gives the path of the example data that is installed with rasteret_sql.",
        example="SELECT count(*) > 0 FROM rasteret_files(rasteret_example('naip'))",
        run="files.example",
        pure=True,
    ),
)
