"""`DatasetDescriptor`: describes a dataset: where its scenes are listed, its bands' names, its terms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.errors import InvalidArgumentError, did_you_mean

SURFACES = ("record_table", "index", "collection")
"""The tables in which a dataset can list its scenes: as its provider has it, prepared for search, ready to read."""
_BBOX_PARTS = ("minx", "miny", "maxx", "maxy")


@dataclass(frozen=True, slots=True)
class DatasetDescriptor:
    """A dataset. Only `id` is mandatory; JSON made of it makes it again: `DatasetDescriptor(**json.load(file))`."""

    id: str
    """Namespaced: `provider/collection`, `org/dataset`, `local/name`."""
    name: str = ""
    description: str = ""
    stac_api: str | None = None
    """STAC API, or static catalog."""
    stac_collection: str | None = None
    record_table_uri: str | None = None
    """Parquet table with a row per scene, as its provider publishes it."""
    index_uri: str | None = None
    """Parquet table to search first, where the collection itself is large."""
    collection_uri: str | None = None
    """Collection that is ready to read, headers and all."""
    geoparquet_uri: str | None = None
    """Older name of `record_table_uri`, still in use."""
    field_roles: dict[str, str] | None = None
    """Canonical field (id, geometry, bbox, datetime, href, ...) → column of the table."""
    surface_fields: dict[str, list[str]] | None = None
    """Table (record_table, index, collection) → canonical fields that it has."""
    filter_capabilities: dict[str, list[str]] | None = None
    """Table → canonical fields by which it can be filtered."""
    column_map: dict[str, str] | None = None
    """Column of the table → canonical field."""
    href_column: str | None = None
    """Column with the address of each scene's file, where the table has no assets."""
    band_index_map: dict[str, int] | None = None
    """Band → 0-based sample, for bands that share a file."""
    bbox_columns: dict[str, str] | None = None
    """minx, miny, maxx, maxy → column."""
    band_map: dict[str, str] | None = None
    """Band → STAC asset key."""
    separate_files: bool = True
    """False where the bands of a scene share a file."""
    spatial_coverage: str = ""
    temporal_range: tuple[str, str] | None = None
    """(first day, last day or `present`)."""
    requires_auth: bool = False
    license: str = ""
    license_url: str = ""
    commercial_use: bool = True
    static_catalog: bool = False
    s3_credentials_url: str | None = None
    """Endpoint that gives temporary S3 keys (NASA Earthdata)."""
    cloud_config: dict[str, Any] | None = None
    """provider, requester_pays, region, url_patterns."""
    example_bbox: tuple[float, float, float, float] | None = None
    """(west, south, east, north), a place where the dataset has scenes."""
    example_date_range: tuple[str, str] | None = None
    torchgeo_class: str | None = None
    torchgeo_verified: bool = False
    azure_asset_url: str | None = None
    """Container URL for which Planetary Computer gives tokens."""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id.strip():
            raise InvalidArgumentError(f'a dataset id is a text such as "my-org/my-dataset", not {self.id!r}')
        put = object.__setattr__
        for name in _TEXTS:
            _check(self.id, name, getattr(self, name), str | None, "text")
        for name in _FLAGS:
            _check(self.id, name, getattr(self, name), bool, "true or false")
        for name, of in _MAPS.items():
            put(self, name, _mapping(self.id, name, getattr(self, name), of))
        put(self, "temporal_range", _pair(self.id, "temporal_range", self.temporal_range))
        put(self, "example_date_range", _pair(self.id, "example_date_range", self.example_date_range))
        put(self, "example_bbox", _bbox(self.id, self.example_bbox))
        for name in ("surface_fields", "filter_capabilities"):
            put(self, name, _surfaces(self.id, name, getattr(self, name)))
        for part in self.bbox_columns or {}:
            if part not in _BBOX_PARTS:
                raise InvalidArgumentError(
                    f'dataset "{self.id}": bbox_columns names "{part}"; {did_you_mean(part, _BBOX_PARTS)}'
                )
        config = CloudConfig.from_value(self.cloud_config)
        # Kept as given, so that JSON comes out as it went in; a CloudConfig becomes its dict.
        put(self, "cloud_config", config.to_dict() if isinstance(self.cloud_config, CloudConfig) else self.cloud_config)
        self._derive_roles()

    def _derive_roles(self) -> None:
        """Let field_roles, column_map and href_column say the same, whichever of them was given."""
        roles = {field: column for column, field in (self.column_map or {}).items()}
        if self.href_column:
            roles["href"] = self.href_column
        if not self.bbox_columns:
            roles.setdefault("bbox", "bbox")
        roles.update(self.field_roles or {})
        put = object.__setattr__
        put(self, "field_roles", roles or None)
        if self.column_map is None and self.field_roles is not None:
            renamed = {column: field for field, column in roles.items() if field not in (column, "href")}
            put(self, "column_map", renamed or None)
        if self.href_column is None:
            put(self, "href_column", roles.get("href"))

    @property
    def build_source_uri(self) -> str | None:
        """The table from which a collection is built, where the dataset has one."""
        return self.record_table_uri or self.geoparquet_uri

    @property
    def runtime_index_uri(self) -> str | None:
        """The table to search before the collection is read, where there is one."""
        return self.index_uri

    def source_field(self, canonical: str) -> str:
        """Column that plays a canonical role; the canonical name itself where nothing else is said."""
        return (self.field_roles or {}).get(canonical, canonical)

    def surface_has_field(self, surface: str, canonical: str) -> bool:
        """True where a table is declared to have a field."""
        return canonical in (self.surface_fields or {}).get(_surface(self.id, surface), ())

    def surface_supports_filter(self, surface: str, capability: str) -> bool:
        """True where a table is declared to be filterable by a field."""
        return capability in (self.filter_capabilities or {}).get(_surface(self.id, surface), ())

    @classmethod
    def from_dict(cls, value: Any) -> DatasetDescriptor:
        """A descriptor of a JSON object; a field that is null counts as not given.

        Raises:
            InvalidArgumentError: it is no object, has an unknown field, or a value cannot be used.
        """
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f'a dataset descriptor is an object such as {{"id": "my-org/my-dataset"}}, not {value!r}'
            )
        known = [one.name for one in fields(cls)]
        for name in value:
            if name not in known:
                raise InvalidArgumentError(
                    f'a dataset descriptor has no field "{name}": {did_you_mean(name, known, 40)}'
                )
        given = {name: part for name, part in value.items() if part is not None}
        return cls(**{"id": None, **given})

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values (tuples become lists)."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


_TEXTS = (
    "name", "description", "stac_api", "stac_collection", "record_table_uri", "index_uri", "collection_uri",
    "geoparquet_uri", "href_column", "spatial_coverage", "license", "license_url", "s3_credentials_url",
    "torchgeo_class", "azure_asset_url",
)  # fmt: skip
_FLAGS = ("separate_files", "requires_auth", "commercial_use", "static_catalog", "torchgeo_verified")
_MAPS: dict[str, type] = {
    "field_roles": str, "column_map": str, "band_index_map": int, "bbox_columns": str, "band_map": str,
}  # fmt: skip


def _check(dataset: str, name: str, value: Any, kind: Any, says: str) -> None:
    if not isinstance(value, kind):
        raise InvalidArgumentError(f'dataset "{dataset}": {name} has to be {says}, not {value!r}')


def _mapping(dataset: str, name: str, value: Any, of: type) -> dict[str, Any] | None:
    if value is None:
        return None
    fits = isinstance(value, Mapping) and all(
        isinstance(k, str) and k.strip() and isinstance(v, of) and not isinstance(v, bool) and v != ""
        for k, v in value.items()
    )
    if not fits:
        words = "to names, none of them empty" if of is str else f"to {of.__name__}, no name empty"
        raise InvalidArgumentError(f'dataset "{dataset}": {name} has to map names {words}, not {value!r}')
    return dict(value)


def _pair(dataset: str, name: str, value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InvalidArgumentError(f'dataset "{dataset}": {name} has to be (start, end), not {value!r}')
    return str(value[0]), str(value[1])


def _bbox(dataset: str, value: Any) -> tuple[float, float, float, float] | None:
    if value is None:
        return None
    numbers = tuple(value) if isinstance(value, Sequence) else ()
    if len(numbers) != 4 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise InvalidArgumentError(
            f'dataset "{dataset}": example_bbox has to be (west, south, east, north), not {value!r}'
        )
    return numbers


def _surfaces(dataset: str, name: str, value: Any) -> dict[str, list[str]] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f'dataset "{dataset}": {name} has to map {", ".join(SURFACES)} to lists of fields')
    for surface, names in value.items():
        _surface(dataset, surface)
        if isinstance(names, str) or not all(isinstance(one, str) for one in names):
            raise InvalidArgumentError(f'dataset "{dataset}": {name} of {surface} has to be a list of fields')
    return {surface: list(names) for surface, names in value.items()}


def _surface(dataset: str, surface: str) -> str:
    if surface not in SURFACES:
        raise InvalidArgumentError(
            f'dataset "{dataset}" has no table "{surface}": {did_you_mean(str(surface), SURFACES)}'
        )
    return surface
