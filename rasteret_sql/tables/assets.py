"""Finds the files of a table's scenes, band by band: from assets in all their forms, or one column of addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError, TableError, UnsaidSampleError, did_you_mean, name_meant
from rasteret_sql.geo.geoarrow import is_text
from rasteret_sql.io.signed_addresses import PlainAddresses
from rasteret_sql.scenes.projection_fields import said_place
from rasteret_sql.scenes.scene import BandAsset
from rasteret_sql.stac.address import absolute, file_name, is_url, named_by_gdal, resolve
from rasteret_sql.stac.bands import BandNaming, name_bands
from rasteret_sql.stac.hrefs import rewrite
from rasteret_sql.stac.item_band import item_band
from rasteret_sql.stac.nodata import item_nodata
from rasteret_sql.stac.unreadable_values import shown
from rasteret_sql.tables.values import Unread

Bands = dict[str, BandAsset]
_NO_RASTERS = frozenset(
    {"json", "geojson", "xml", "txt", "html", "htm", "csv", "pdf", "md", "jpg", "jpeg", "png", "gif"}
)
"""Endings of files without bands; what else a table calls an asset is taken for a TIFF, unless it says its type."""
_KEYS = ("key", "name", "band", "title")
_TIFF = "image/tiff"


@dataclass(frozen=True, slots=True)
class KnownBands:
    """The names that a registered dataset has for its bands."""

    band_map: Mapping[str, str]
    """Band → asset."""
    band_index_map: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class BandChoice:
    """The caller's choice of a table's bands."""

    band_map: Mapping[str, str] | None = None
    """Band → asset, which has to be there."""
    band_index_map: Mapping[str, int] | None = None
    """Band → 0-based sample of the file that the bands share."""
    codes: Sequence[str] | None = None
    """These bands alone, in this order."""
    known: Sequence[KnownBands] = field(default=())
    """Of datasets that go by the name that was given; the one that fits the assets best names the bands."""

    def __post_init__(self) -> None:
        BandNaming(self.band_map, self.band_index_map)  # checks both
        if self.codes is not None and (
            isinstance(self.codes, str) or not self.codes or not all(isinstance(one, str) for one in self.codes)
        ):
            raise InvalidArgumentError(f"band_codes is a list of band names such as ['B04', 'B08'], not {self.codes!r}")


@dataclass(frozen=True, slots=True, eq=False)
class TableBands:
    """The bands of a table."""

    names: tuple[str, ...]
    of_row: list[Bands]
    """With absolute addresses."""
    named: tuple[str, ...] = ()
    """Those that the caller or the dataset named."""
    notes: tuple[str, ...] = ()
    unread: Unread = field(default_factory=dict)
    """Rows whose assets could not be read."""


def bands_of_hrefs(
    column: str, hrefs: Sequence[str | None], choice: BandChoice, address: Callable[[str], str]
) -> TableBands:
    """One file a row, which holds all bands.

    Raises:
        UnsaidSampleError: several bands are asked for, and nothing says which sample each is.
        InvalidArgumentError: band_codes names a band that band_index_map does not.
    """
    samples: Mapping[str, int | None] = choice.band_index_map or _known_samples(choice) or {}
    if choice.codes is not None and len(choice.codes) == 1 and not samples:
        samples = {choice.codes[0]: None}
    names = _chosen(tuple(samples) or (), choice) if samples else tuple(choice.codes or ())
    if len(names) > 1 and not samples:
        raise UnsaidSampleError(
            f'the bands {", ".join(names)} share the file in the column "{column}"; say which sample each is with '
            f"band_index_map, from 0, such as {{{', '.join(f'{n!r}: {i}' for i, n in enumerate(names))}}}"
        )
    # Without a word on its bands a file is called as its column is; one with several samples has them numbered.
    samples = {name: samples[name] for name in names} if names else {column: None}
    files = [address(href) if href else None for href in hrefs]
    rows = [{} if file is None else {name: BandAsset(file, n) for name, n in samples.items()} for file in files]
    return TableBands(tuple(samples), rows, tuple(names))


def _known_samples(choice: BandChoice) -> Mapping[str, int] | None:
    return next((known.band_index_map for known in choice.known if known.band_index_map), None)


def bands_of_assets(
    name: str, column: pa.ChunkedArray, choice: BandChoice, address: Callable[[str], str]
) -> TableBands:
    """Bands of a column of assets: a struct, map, list or JSON text of addresses, or of objects as STAC has them.

    Raises:
        TableError: the column holds no assets.
        InvalidArgumentError: a band was named that is not there.
        UnsaidSampleError: several bands share a file, and nothing says which sample each is.
        StacError: no asset is a TIFF.
    """
    unread: Unread = {}
    items = [{"assets": assets} for assets in read_assets(name, column, unread)]
    there = dict.fromkeys(key for item in items for key in item["assets"])
    naming, lenient = _naming(choice, there)
    found = name_bands(items, naming) if items else None
    if found is None:
        return TableBands((), [], unread=unread)
    rows = [
        {band: _placed(asset, address, item["assets"].get(asset.key or band)) for band, asset in bands.items()}
        for item, bands in zip(items, found.of_item, strict=True)
    ]
    names = _chosen(found.names, choice)
    if names != found.names:
        rows = [{name: bands[name] for name in names if name in bands} for bands in rows]
    _check_shared(rows)
    named = names if choice.codes else tuple((naming.band_map if not lenient or choice.band_map else ()) or ())
    return TableBands(names, rows, named, found.warnings, unread)


def _naming(choice: BandChoice, there: Mapping[str, None]) -> tuple[BandNaming, bool]:
    """Choose how the bands get their names, and say whether that is merely what a dataset is known for."""
    if choice.band_map:
        return BandNaming(choice.band_map, choice.band_index_map), False
    fitting: list[tuple[dict[str, str], Mapping[str, int] | None]] = []
    for known in choice.known:
        # Tables name assets as STAC does, or by the bands themselves.
        keys = {b: key if key in there else b for b, key in known.band_map.items() if key in there or b in there}
        fitting.append((keys, known.band_index_map))
    keys, samples = max(fitting, key=lambda one: len(one[0]), default=({}, None))
    samples = choice.band_index_map or {band: n for band, n in (samples or {}).items() if band in keys} or None
    if keys and not (choice.band_index_map and not set(choice.band_index_map) <= set(keys)):
        return BandNaming(keys, samples, strict=False), True
    if choice.band_index_map and set(choice.band_index_map) <= set(there):
        return BandNaming({band: band for band in choice.band_index_map}, choice.band_index_map), False
    return BandNaming(None, choice.band_index_map), True


def _chosen(names: tuple[str, ...], choice: BandChoice) -> tuple[str, ...]:
    if choice.codes is None:
        return names
    found = {code: name_meant(code, names) for code in choice.codes}
    for code, name in found.items():
        if name is None:
            raise InvalidArgumentError(
                f'band_codes names "{code}", which the table does not have: {did_you_mean(code, names)}'
            )
    return tuple(dict.fromkeys(name for name in found.values() if name is not None))


def _placed(asset: BandAsset, address: Callable[[str], str], said: Any) -> BandAsset:
    index = _index(asset, said)
    nodata = item_nodata(said, index) if index != asset.band_index else asset.nodata
    item = item_band(said, index) if index != asset.band_index else asset.item
    place = said_place(said, {}) if isinstance(said, Mapping) else asset.place
    return replace(asset, href=address(asset.href), band_index=index, nodata=nodata, item=item, place=place)


def _index(asset: BandAsset, said: Any) -> int | None:
    """The sample, which the asset itself may name, as rasteret's do."""
    index = said.get("band_index") if isinstance(said, Mapping) else None
    if asset.band_index is None and isinstance(index, int) and not isinstance(index, bool) and index >= 0:
        return index
    return asset.band_index


def _check_shared(rows: Sequence[Bands]) -> None:
    for bands in rows:
        unsaid: dict[str, str] = {}
        for name, asset in bands.items():
            if asset.band_index is None and (twin := unsaid.setdefault(asset.href, name)) is not name:
                raise UnsaidSampleError(
                    f'the bands "{twin}" and "{name}" are in one file ({file_name(asset.href)}); say which sample each '
                    f"is with band_index_map, from 0, such as {{{twin!r}: 0, {name!r}: 1}}"
                )


def read_assets(name: str, column: pa.ChunkedArray, unread: Unread | None = None) -> list[dict[str, dict[str, Any]]]:
    """Assets of each row, as STAC has them.

    Args:
        name: of the column.
        column: of the table.
        unread: gets the rows whose value is no assets, which then have none.

    Raises:
        TableError: the column is of another type; or none of its values, or any where `unread` is None, is assets.
    """
    kind = column.type
    read: Callable[[Any], Any]
    if pa.types.is_struct(kind):
        read = dict
    elif pa.types.is_map(kind):
        read = dict  # a list of pairs
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        read = _keyed
    elif is_text(kind):
        read = json.loads
    else:
        raise _no_assets(name, f"is of type {kind}")
    rows, known = [], 0
    wrong: Unread = {}
    for row, value in enumerate(column.to_pylist()):
        try:
            assets = {} if value is None else read(value)
        except ValueError:
            assets = None
        if isinstance(assets, Mapping):
            known += value is not None
        else:
            wrong[row], assets = f"{shown(value)} is no assets", {}
        rows.append({str(key): _asset(one) for key, one in assets.items() if one is not None})
    if wrong and (unread is None or not known):
        row = min(wrong)
        raise _no_assets(name, f"has {shown(column[row].as_py())} in row {row + 1} of those read")
    if unread is not None:
        unread |= wrong
    return rows


def _no_assets(name: str, what: str) -> TableError:
    return TableError(
        f'the assets column "{name}" {what}; expected a struct of bands, each an address or a struct with href, '
        "such as {'B04': 's3://bucket/B04.tif'}, the same as a map, or JSON text of it; or name a column of addresses "
        "with href_column"
    )


def _keyed(values: Sequence[Any]) -> dict[str, Any] | None:
    """A list of assets that know their names."""
    keyed: dict[str, Any] = {}
    for one in values:
        key = next((one[k] for k in _KEYS if one.get(k)), None) if isinstance(one, Mapping) else None
        if key is None:
            return None
        keyed[str(key)] = one
    return keyed


def _asset(value: Any) -> dict[str, Any]:
    """An asset with its type: a table that lists bands says none."""
    asset: dict[str, Any] = {"href": value} if isinstance(value, str) else {}
    if isinstance(value, Mapping):
        asset = {key: part for key, part in value.items() if part is not None}
    href = asset.get("href")
    if not asset.get("type") and (not isinstance(href, str) or _ending(href) not in _NO_RASTERS):
        asset["type"] = _TIFF
    return asset


def _ending(href: str) -> str:
    return file_name(href).rpartition(".")[2].lower()


class Addresses:
    """Hrefs of a table, rewritten, made absolute and plain; each distinct one once.

    A relative href of a table on this machine is looked for in the current directory, as rasteret has it, and then
    beside the table; one of a table elsewhere lies beside it.
    """

    def __init__(self, url_patterns: Mapping[str, str], base: str | None) -> None:
        self._patterns = url_patterns
        self._base = base
        self._known: dict[str, str] = {}
        self._plain = PlainAddresses()

    def __call__(self, href: str) -> str:
        found = self._known.get(href)
        if found is None:
            found = self._known[href] = self._plain(self._absolute(rewrite(named_by_gdal(href), self._patterns)))
        return found

    def _absolute(self, href: str) -> str:
        if self._base is None or is_url(href) or href[:7].lower() == "file://" or Path(href).is_absolute():
            return absolute(href)
        if is_url(self._base):
            return resolve(self._base, href)
        here = absolute(href)
        base = self._base if not Path(self._base).is_dir() else self._base + "/-"
        beside = resolve(base, href)
        return here if Path(here).exists() or not Path(beside).exists() else beside
