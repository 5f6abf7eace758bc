"""Names the bands of files that hold several, where their items name only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rasteret_sql.errors import RasteretError
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.scenes.scene import BandAsset, SceneItem

Headers = Mapping[str, FileHeader | RasteretError]


def name_samples(
    scenes: Sequence[SceneItem], bands: Sequence[str], named: Sequence[str], headers: Headers
) -> tuple[list[SceneItem], tuple[str, ...]]:
    """Give each sample of such a file a band of its own: `visual` becomes `visual_1`, `visual_2`, `visual_3`.

    An asset that lists more bands than its file has lists those of the whole item: it is one band, called by its key.
    Alpha is no band. A band that the caller named stays: which sample it is has to be said with a band_index_map.

    Args:
        scenes: scenes of the build.
        bands: the collection's bands, in order.
        named: bands of the caller's band_map.
        headers: address → header.

    Returns:
        The scenes and the bands, expanded.
    """
    scenes, bands = _without_long_lists(scenes, bands, named, headers)
    samples = {band: _samples(scenes, band, headers) for band in bands if band not in named}
    several = {band: count for band, count in samples.items() if count > 1}
    if not several:
        return list(scenes), tuple(bands)
    names = {band: [f"{band}_{n + 1}" for n in range(count)] for band, count in several.items()}
    expanded = [name for band in bands for name in names.get(band, [band])]
    return [_expand(scene, names, headers) for scene in scenes], tuple(dict.fromkeys(expanded))


def _without_long_lists(
    scenes: Sequence[SceneItem], bands: Sequence[str], named: Sequence[str], headers: Headers
) -> tuple[list[SceneItem], tuple[str, ...]]:
    long = {
        asset.key
        for scene in scenes
        for asset in scene.bands.values()
        if asset.listed and isinstance(found := headers[asset.href], FileHeader) and asset.listed > found.header.count
    }
    if not long:
        return list(scenes), tuple(bands)
    order: dict[str, dict[str, None]] = {band: {} for band in bands}
    changed = []
    for scene in scenes:
        kept: dict[str, BandAsset] = {}
        for band, asset in scene.bands.items():
            is_long = bool(asset.listed) and asset.key in long
            name = asset.key if is_long and band not in named else band
            kept.setdefault(name, replace(asset, band_index=None, listed=0) if is_long else asset)
            order.setdefault(band, {})[name] = None
        changed.append(replace(scene, bands=kept))
    return changed, tuple(dict.fromkeys(name for band, names in order.items() for name in names or {band: None}))


def unsaid_samples(asset: BandAsset, found: FileHeader) -> int:
    """Number of bands that an asset may mean: 1 where it is said, or where there is one beside alpha."""
    if asset.band_index is not None:
        return 1
    return max(1, found.header.count - found.header.alpha_counts)


def _samples(scenes: Sequence[SceneItem], band: str, headers: Headers) -> int:
    counts = [1]
    for scene in scenes:
        asset = scene.bands.get(band)
        found = headers[asset.href] if asset else None
        if asset and isinstance(found, FileHeader):
            counts.append(unsaid_samples(asset, found))
    return max(counts)


def _expand(scene: SceneItem, names: Mapping[str, Sequence[str]], headers: Headers) -> SceneItem:
    bands: dict[str, BandAsset] = {}
    for band, asset in scene.bands.items():
        if band not in names:
            bands[band] = asset
            continue
        found = headers[asset.href]
        # A file that cannot be read keeps all its bands, so that the row says why each is missing.
        there = unsaid_samples(asset, found) if isinstance(found, FileHeader) else len(names[band])
        bands |= {name: replace(asset, band_index=n) for n, name in enumerate(names[band][:there])}
    return replace(scene, bands=bands)
