"""Every call of the reference's public surface takes what it prints, by the same names, kinds and defaults.

Ours may take more; where a default differs the row says so.
"""

from __future__ import annotations

import inspect

import pytest

import rasteret_sql as rasteret
from rasteret_sql import (
    CloudConfig,
    Collection,
    DatasetDescriptor,
    DatasetRegistry,
    ObstoreBackend,
    StorageBackend,
    catalog,
)

NEEDED = inspect.Parameter.empty
OPEN = {"bbox": None, "date_range": None, "workspace_dir": None, "force": False}
SELECTED = {"cloud_cover_lt": None, "date_range": None, "bbox": None, "geometries": None, "split": None}
READ = {
    "max_concurrent": 50, "progress": None, "cloud_config": None, "data_source": None, "backend": None,
    "target_crs": None, "geometry_crs": "auto", "geometry_column": None, "all_touched": False,
}  # fmt: skip

# Call, parameters by position, keyword-only ones.
PRINTED = [
    (rasteret.build, {"dataset": NEEDED},
     {"name": NEEDED, **OPEN, "max_concurrent": 50, "query": None, "prefer_geoparquet": False, "stac_api": None,
      "cloud_config": None, "backend": None}),
    (rasteret.build_from_stac, {},
     {"name": NEEDED, "stac_api": NEEDED, "collection": NEEDED, "data_source": None, "band_map": None,
      "band_index_map": None, **OPEN, "max_concurrent": 50, "cloud_config": None, "query": None, "backend": None,
      "static_catalog": False}),
    (rasteret.build_from_table, {"path": NEEDED},
     {"name": "", "data_source": "", "workspace_dir": None, "column_map": None, "href_column": None,
      "band_index_map": None, "url_rewrite_patterns": None, "filesystem": None, "columns": None, "filter_expr": None,
      "enrich_cog": False, "band_codes": None, "cloud_config": None, "max_concurrent": 300, "force": False,
      "backend": None}),
    (rasteret.as_collection, {"table": NEEDED},
     {"name": "", "data_source": "", "description": "", "start_date": None, "end_date": None,
      "require_band_metadata": True}),
    (rasteret.load, {"path": NEEDED, "name": ""}, {}),
    (rasteret.register, {"descriptor": NEEDED}, {}),
    (rasteret.register_local, {"dataset_id": NEEDED, "path": NEEDED},
     {"name": None, "description": "", "data_source": "", "persist": True, "registry_path": None}),
    (rasteret.create_backend,
     {"credential_provider": None, "cloud_config": None, "region": None, "default_s3_config": None}, {}),
    (CloudConfig.register, {"collection_id": NEEDED, "config": NEEDED}, {}),
    (DatasetRegistry.search, {"keyword": NEEDED}, {}),
    (DatasetRegistry.get, {"dataset_id": NEEDED}, {}),
    (DatasetRegistry.unregister, {"dataset_id": NEEDED}, {}),
    (DatasetRegistry.list, {}, {}),
    (catalog.unregister_local_descriptor, {"dataset_id": NEEDED, "path": None}, {}),
    (catalog.export_local_descriptor, {"dataset_id": NEEDED, "output_path": NEEDED, "path": None}, {}),
    (ObstoreBackend, {"store": NEEDED, "url_prefix": "", "client_options": None}, {}),
    (StorageBackend.get_range, {"url": NEEDED, "start": NEEDED, "length": NEEDED}, {}),
    (StorageBackend.get_ranges, {"url": NEEDED, "ranges": NEEDED}, {}),
    (CloudConfig, {"provider": NEEDED, "requester_pays": False, "region": "us-west-2"}, {}),
    (Collection.from_parquet, {"path": NEEDED, "name": ""}, {"data_source": ""}),
    (Collection.list_collections, {"workspace_dir": None}, {}),
    (Collection.create_name, {"custom_name": NEEDED, "date_range": NEEDED, "data_source": NEEDED}, {}),
    (Collection.parse_name, {"name": NEEDED}, {}),
    (Collection.subset, {}, {**SELECTED, "split_column": "split"}),
    (Collection.select_split, {"split": NEEDED}, {"split_column": "split"}),
    (Collection.where, {"expr": NEEDED}, {}),
    (Collection.head, {"n": 5, "columns": None}, {}),
    (Collection.export, {"path": NEEDED, "partition_by": ("year", "month")}, {}),
    (Collection.to_table, {"columns": None}, {}),
    (Collection.to_batches, {"columns": None}, {}),
    (Collection.to_reader, {"columns": None, "requested_schema": None}, {}),
    (Collection.describe, {}, {}),
    (Collection.compare_to_catalog, {}, {}),
    (Collection.get_numpy, {"geometries": NEEDED, "bands": NEEDED}, READ),
    (Collection.get_gdf, {"geometries": NEEDED, "bands": NEEDED}, READ),
    (Collection.get_xarray, {"geometries": NEEDED, "bands": NEEDED}, {**READ, "xr_combine": "combine_first"}),
    (Collection.sample_points, {"points": NEEDED, "bands": NEEDED},
     {"geometry_column": None, "x_column": None, "y_column": None, "max_concurrent": 50, "progress": None,
      "cloud_config": None, "data_source": None, "backend": None, "geometry_crs": "auto", "match": "all",
      "max_distance_pixels": 0, "return_neighbourhood": "off"}),
    (Collection.read_window, {},
     {"record_ids": NEEDED, "bounds": NEEDED, "res": NEEDED, "bands": NEEDED, "target_crs": None, "max_concurrent": 50,
      "backend": None, "group_by": None}),
    (Collection.footprints, {}, {"crs": None, "band": None}),
    (Collection.native_res, {"band": None}, {}),
]  # fmt: skip
OURS = {(rasteret.build_from_stac, "collection"): None}
"""A default where the reference has none: a static catalog may be taken whole."""


@pytest.mark.parametrize(("call", "placed", "named"), PRINTED, ids=[row[0].__qualname__ for row in PRINTED])
def test_c1_e5_e13_the_printed_signatures(call, placed, named):
    """B25, D14, D36 among them."""
    parameters = dict(inspect.signature(call).parameters)
    for name in ("self", "cls"):
        parameters.pop(name, None)
    by_place = [one for one in parameters.values() if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert [one.name for one in by_place[: len(placed)]] == list(placed)
    assert all(one.default is not NEEDED for one in by_place[len(placed) :])
    missing = {*placed, *named} - parameters.keys()
    assert not missing
    wanted = {name: OURS.get((call, name), default) for name, default in (placed | named).items()}
    assert {name: parameters[name].default for name in wanted} == wanted
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in named)


def test_fields_of_a_descriptor():
    """D4 to D13: by these names and in this order, `name` may be left out."""
    printed = {
        "id": NEEDED, "name": "", "description": "", "stac_api": None, "stac_collection": None,
        "record_table_uri": None, "index_uri": None, "collection_uri": None, "geoparquet_uri": None,
        "field_roles": None, "surface_fields": None, "filter_capabilities": None, "column_map": None,
        "href_column": None, "band_index_map": None, "bbox_columns": None, "band_map": None, "separate_files": True,
        "spatial_coverage": "", "temporal_range": None, "requires_auth": False, "license": "", "license_url": "",
        "commercial_use": True, "static_catalog": False, "s3_credentials_url": None, "cloud_config": None,
        "example_bbox": None, "example_date_range": None, "torchgeo_class": None, "torchgeo_verified": False,
        "azure_asset_url": None,
    }  # fmt: skip
    parameters = inspect.signature(DatasetDescriptor).parameters
    assert {name: one.default for name, one in parameters.items()} == printed
    assert list(parameters) == list(printed)
