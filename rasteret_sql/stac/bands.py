"""Names the bands of an item and finds the file of each: by a band map, or by what the item says itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from rasteret_sql.errors import InvalidArgumentError, StacError, UnsaidSampleError, did_you_mean
from rasteret_sql.products.planet import planet_bands
from rasteret_sql.scenes.scene import BandAsset
from rasteret_sql.stac.address import file_name
from rasteret_sql.stac.hrefs import asset_href
from rasteret_sql.stac.item_band import item_band
from rasteret_sql.stac.nodata import item_nodata
from rasteret_sql.stac.sidecars import is_sidecar, sidecars_of

Item = Mapping[str, Any]

_TIFF_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/geotiff", "application/geotiff")
_PATTERN_SIGNS = frozenset("*?[")
_MANY_BANDS = 50
_NO_DATA_ROLES = frozenset({"thumbnail", "overview", "metadata"})


@dataclass(frozen=True, slots=True)
class BandNaming:
    """Rules by which bands get their names. Without a map the assets and their band lists name themselves."""

    band_map: Mapping[str, str] | None = None
    """Band name → asset key, or pattern of keys or file names (`*_B04*`); these bands, in this order, are the
    collection's."""
    band_index_map: Mapping[str, int] | None = None
    """Band name → 0-based sample, for bands that share a file."""
    strict: bool = True
    """True: an asset of the map that no item has is an error. False (built-in datasets): its band is left out."""

    def __post_init__(self) -> None:
        for what, given in (("band_map", self.band_map), ("band_index_map", self.band_index_map)):
            if given is not None and not isinstance(given, Mapping):
                raise InvalidArgumentError(f"{what} is a mapping of band names, such as {{'B04': ...}}, not {given!r}")
        for name, key in (self.band_map or {}).items():
            if not isinstance(name, str) or not isinstance(key, str) or not name or not key:
                raise InvalidArgumentError(f"band_map maps band names to asset keys, not {name!r} to {key!r}")
        for name, index in (self.band_index_map or {}).items():
            if isinstance(index, bool) or not isinstance(index, int) or index < 0:
                raise InvalidArgumentError(
                    f'band_index_map maps band names to sample numbers from 0, not "{name}" to {index!r}'
                )
        stray = [name for name in self.band_index_map or {} if self.band_map and name not in self.band_map]
        if stray:
            raise InvalidArgumentError(
                f'band_index_map names "{stray[0]}", not in band_map: {did_you_mean(stray[0], self.band_map or {})}'
            )


@dataclass(frozen=True, slots=True)
class NamedBands:
    """The naming of one collection, settled after a look at all its items."""

    names: tuple[str, ...]
    """The collection's bands in order."""
    of_item: tuple[dict[str, BandAsset], ...]
    """Band → file, for each item; hrefs as the item has them."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Raster:
    """An asset that holds pixels."""

    key: str
    href: str
    bands: tuple[Mapping[str, Any], ...]
    """What the item says of each sample; empty where it says nothing."""
    roles: frozenset[str] = field(default_factory=frozenset)
    asset: Mapping[str, Any] = field(default_factory=dict)
    sidecars: tuple[str, ...] = ()

    def band(self, sample: int | None, *, listed: bool = False) -> BandAsset:
        """One of its samples as a band; None: it has but one. `listed`: which it is follows from the asset's list."""
        nodata = item_nodata(self.asset, sample)
        item = item_band(self.asset, sample)
        return BandAsset(self.href, sample, nodata, self.sidecars, self.key, len(self.bands) if listed else 0, item)


def name_bands(items: Sequence[Item], naming: BandNaming) -> NamedBands:
    """Find the bands of all items of a collection.

    Raises:
        InvalidArgumentError: The map names assets that no item has.
        UnsaidSampleError: The map leaves open which sample of a file a band is.
        StacError: No item has an asset that is a TIFF.
    """
    if naming.band_map:
        return _mapped(items, naming)
    rasters = [_rasters(item) for item in items]
    if items and not any(rasters):
        raise StacError(
            f"none of {len(items)} items has a TIFF asset, so there are no bands; their assets: {_asset_list(items)}. "
            "Name the assets with band_map if they are TIFFs all the same"
        )
    if naming.band_index_map:
        return _indexed(rasters, naming.band_index_map)
    return _named_by_items(rasters)


def _mapped(items: Sequence[Item], naming: BandNaming) -> NamedBands:
    band_map = dict(naming.band_map or {})
    there = {key for item in items for key in _assets(item)}
    keys_of = [_keys(band_map, item) for item in items]
    absent = {name: key for name, key in band_map.items() if not any(name in keys for keys in keys_of)}
    warnings: tuple[str, ...] = ()
    if items and absent:
        name, key = next(iter(absent.items()))
        what = (
            f'band_map: no item has the asset "{key}" of band "{name}"'
            + (f" (nor {len(absent) - 1} more)" if len(absent) > 1 else "")
            + f"; {did_you_mean(key, sorted(there), 20)}"
        )
        if naming.strict:
            raise InvalidArgumentError(what)
        if len(absent) == len(band_map):
            # Another publisher of the same data may call its assets by the band names themselves.
            same = {name: name for name in band_map if name in there}
            fallback = BandNaming(same, naming.band_index_map) if same else BandNaming()
            settled = name_bands(items, fallback)
            return NamedBands(settled.names, settled.of_item, (what, *settled.warnings))
        band_map = {name: key for name, key in band_map.items() if name not in absent}
        warnings = (f"left out {', '.join(absent)}: {what}",)
    samples = naming.band_index_map or {}
    found: list[dict[str, BandAsset]] = []
    for item, keys in zip(items, keys_of, strict=True):
        bands: dict[str, BandAsset] = {}
        hrefs = _hrefs(_assets(item))
        shared = {key for key in keys.values() if list(keys.values()).count(key) > 1}
        for name, key in keys.items():
            if name not in band_map:
                continue
            raster = _raster(key, _assets(item).get(key), hrefs)
            if raster is not None:
                sample = samples.get(name)
                listed = sample is None and (key in shared or len(raster.bands) > 1)
                if listed and (key in shared or not _is_repeated(raster, item)):
                    sample = _sample_by_name(name, raster, [n for n, k in keys.items() if k == key])
                bands[name] = raster.band(sample, listed=listed and key not in shared)
        found.append(bands)
    return NamedBands(tuple(band_map), tuple(found), warnings)


def _keys(band_map: Mapping[str, str], item: Item) -> dict[str, str]:
    """Band → asset key of one item, for the bands that it has.

    Exact keys win. A pattern (`*`, `?`, `[...]`, with regard to case) is of the keys of other assets, else of the names
    of their files.

    Raises:
        InvalidArgumentError: A pattern fits several assets.
    """
    assets = _assets(item)
    keys = {name: key for name, key in band_map.items() if key in assets}
    exact = set(keys.values())
    hrefs = _hrefs(assets)
    for name, pattern in band_map.items():
        if name in keys or not _PATTERN_SIGNS & set(pattern):
            continue
        files = {
            key: file_name(raster.href)
            for key, asset in assets.items()
            if key not in exact
            and (raster := _raster(key, asset, hrefs)) is not None
            and not is_sidecar(raster.href, hrefs)
        }
        fits = [key for key in files if fnmatchcase(key, pattern)]
        fits = fits or [key for key, file in files.items() if fnmatchcase(file, pattern)]
        if len(fits) > 1:
            raise InvalidArgumentError(
                f'band_map: the pattern "{pattern}" of band "{name}" fits several assets of {_named(item)}: '
                f"{', '.join(fits[:12])}; give one that fits a single one, or its key"
            )
        if fits:
            keys[name] = fits[0]
    return {name: keys[name] for name in band_map if name in keys}


def _named(item: Item) -> str:
    """Rows of tables have their ids elsewhere."""
    return f'item "{item["id"]}"' if item.get("id") else "a row"


def _is_repeated(raster: _Raster, item: Item) -> bool:
    """True where another asset lists the same bands: they are the item's, and the header says what the file has."""
    others = (asset for key, asset in _assets(item).items() if key != raster.key and isinstance(asset, Mapping))
    return any(_band_list(asset) == raster.bands for asset in others)


def _sample_by_name(name: str, raster: _Raster, sharing: Sequence[str]) -> int:
    """The sample whose name or common name is the band's; several bands of a file need one each."""
    for label in ("name", "common_name", "eo:common_name", "description"):
        texts = [str(band.get(label) or "").casefold() for band in raster.bands]
        if texts.count(name.casefold()) == 1:
            return texts.index(name.casefold())
    has = [_band_name(band) or f"sample {n}" for n, band in enumerate(raster.bands)]
    says = f"it has {', '.join(has)}" if has else "the item does not name its samples"
    raise UnsaidSampleError(
        f'band "{name}" is in asset "{raster.key}" together with other bands ({says}); say which sample it is with '
        f"band_index_map, from 0, such as {{{', '.join(f'{n!r}: {i}' for i, n in enumerate(sharing))}}}"
    )


def _indexed(rasters: Sequence[Sequence[_Raster]], samples: Mapping[str, int]) -> NamedBands:
    """A band_index_map alone: each item's only TIFF holds these bands."""
    found: list[dict[str, BandAsset]] = []
    for of_item in rasters:
        if len(of_item) > 1:
            raise InvalidArgumentError(
                f"band_index_map without band_map needs items with one TIFF asset, but one has "
                f"{', '.join(raster.key for raster in of_item)}; map each band to its asset with band_map"
            )
        found.append({name: r.band(sample) for r in of_item for name, sample in samples.items()})
    return NamedBands(tuple(samples), tuple(found))


def _named_by_items(rasters: Sequence[Sequence[_Raster]]) -> NamedBands:
    numbered = _numbered_assets(rasters)
    order: dict[str, None] = {}
    found: list[dict[str, BandAsset]] = []
    for of_item in rasters:
        bands: dict[str, BandAsset] = {}
        for raster in of_item:
            for sample, name in enumerate(_own_names(raster, numbered)):
                several = len(raster.bands) > 1
                bands[name] = raster.band(sample if several else None, listed=several)
        order.update(dict.fromkeys(bands))
        found.append(bands)
    spelled = _one_spelling(order, found)
    found = [{spelled[name]: band for name, band in bands.items()} for bands in found]
    names = tuple(dict.fromkeys(spelled.values()))
    return NamedBands(names, tuple(found), _many_bands(names, found))


def _one_spelling(names: Iterable[str], found: Sequence[Mapping[str, BandAsset]]) -> dict[str, str]:
    """Name → name under which it is kept: that of its first spelling, since SQL does not tell case apart.

    Names of one item that differ in case alone are bands of their own, which the build then refuses.
    """
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    torn = {
        lower
        for bands in found
        if len({name.lower() for name in bands}) < len(bands)
        for lower in (name.lower() for name in bands)
    }
    return {name: name if name.lower() in torn else first[name.lower()] for name in names}


def _many_bands(names: Sequence[str], found: Sequence[Mapping[str, BandAsset]]) -> tuple[str, ...]:
    """A word where asset keys differ from item to item, which makes a band of each."""
    most = max(map(len, found), default=0)
    if len(names) <= max(_MANY_BANDS, 4 * most):
        return ()
    text = (
        f"{len(found)} items with at most {most} bands each have {len(names)} bands together, since their assets are "
        f"called otherwise from item to item ({', '.join(names[:3])}, ...); name the bands by pattern, as in "
        "band_map := {'B04': '*_B04*'}"
    )
    return (text,)


def _numbered_assets(rasters: Sequence[Sequence[_Raster]]) -> frozenset[str]:
    """Keys of multi-band assets whose bands are numbered, since another asset of some item has the same names.

    Decided over all items, so that one asset's bands are called the same everywhere. Where two multi-band assets
    compete, one with the role `data` keeps its names, else the first.
    """
    losers: set[str] = set()
    for of_item in rasters:
        taken = {_own_names(raster, frozenset())[0] for raster in of_item if len(raster.bands) <= 1}
        multi = [raster for raster in of_item if len(raster.bands) > 1]
        for raster in sorted(multi, key=lambda r: "data" not in r.roles):
            names = set(_own_names(raster, frozenset()))
            if names & taken:
                losers.add(raster.key)
            else:
                taken |= names
    return frozenset(losers)


def _own_names(raster: _Raster, numbered: frozenset[str]) -> list[str]:
    names = [_band_name(band) for band in raster.bands]
    if len(names) <= 1:
        # A key that is just the file's name differs from item to item; then the band's own name is the steady one.
        steady = names[0] if names and raster.key == file_name(raster.href) else None
        return [steady or raster.key]
    if raster.key in numbered or None in names or len(set(names)) < len(names):
        return [f"{raster.key}_{n}" for n in range(1, len(names) + 1)]
    return [str(name) for name in names]


def _band_name(band: Mapping[str, Any]) -> str | None:
    name = band.get("name") or band.get("common_name") or band.get("eo:common_name")
    return str(name) if name else None


def _rasters(item: Item) -> list[_Raster]:
    """The TIFF assets that hold data, in the item's order; copies under `s3_<key>` are not bands of their own."""
    assets = _assets(item)
    hrefs = _hrefs(assets)
    found: list[_Raster] = []
    for key, asset in assets.items():
        raster = _raster(key, asset, hrefs)
        if raster is not None and is_sidecar(raster.href, hrefs):
            continue
        # Before roles there were, the key said what an asset is for.
        if raster is None or (raster.roles or {key}) & _NO_DATA_ROLES or not is_tiff(asset):
            continue
        if not (key.startswith("s3_") and key[3:] in assets):
            found.append(raster)
    return found


def _raster(key: str, asset: Any, hrefs: frozenset[str]) -> _Raster | None:
    if not isinstance(asset, Mapping):
        return None
    href = asset_href(asset)
    if href is None:
        return None
    roles = asset.get("roles")
    return _Raster(
        key,
        href,
        planet_bands(key, asset, _band_list(asset)),
        frozenset(r for r in roles if isinstance(r, str)) if isinstance(roles, list) else frozenset(),
        asset,
        sidecars_of(href, hrefs),
    )


def _hrefs(assets: Mapping[str, Any]) -> frozenset[str]:
    """Hrefs of all assets, without query strings."""
    hrefs = (asset_href(asset) for asset in assets.values() if isinstance(asset, Mapping))
    return frozenset(href.partition("?")[0] for href in hrefs if href)


def _band_list(asset: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The longest of `bands` (STAC 1.1), `eo:bands` and `raster:bands`: all describe the same samples."""
    longest: list[Mapping[str, Any]] = []
    for name in ("bands", "eo:bands", "raster:bands"):
        one = asset.get(name)
        if isinstance(one, list) and len(one) > len(longest):
            longest = [band if isinstance(band, Mapping) else {} for band in one]
    return tuple(longest)


def is_tiff(asset: Mapping[str, Any]) -> bool:
    """True where the media type or the file name says TIFF."""
    media = str(asset.get("type") or "").partition(";")[0].strip().lower()
    return media in _TIFF_TYPES or file_name(asset_href(asset) or "").lower().endswith((".tif", ".tiff"))


def _assets(item: Item) -> Mapping[str, Any]:
    assets = item.get("assets")
    return assets if isinstance(assets, Mapping) else {}


def _asset_list(items: Iterable[Item], limit: int = 12) -> str:
    kinds = {
        key: asset.get("type") for item in items for key, asset in _assets(item).items() if isinstance(asset, Mapping)
    }
    shown = [f"{key} ({kind})" if kind else str(key) for key, kind in list(kinds.items())[:limit]]
    return ", ".join(shown) + (f" and {len(kinds) - limit} more" if len(kinds) > limit else "") or "none"
