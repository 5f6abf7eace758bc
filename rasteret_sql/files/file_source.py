"""Makes files that no catalog lists the source of a build; STAC items that lie beside them are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.files.list_files import ListedFile, Listing, list_files
from rasteret_sql.files.scene_names import FileNaming, naming_of
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.redact import known_by
from rasteret_sql.io.remote_directory import HasStores
from rasteret_sql.scenes.dates import DateRange
from rasteret_sql.scenes.source import FoundScenes
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.hrefs import absolute_hrefs
from rasteret_sql.stac.item_to_scene import scene_items

_TIFF = "image/tiff"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class FileScenes:
    """Scenes of files, grouped by their names."""

    paths: Sequence[str]
    """As `checked_paths` gives them."""
    naming: FileNaming = field(default_factory=FileNaming)
    stores: HasStores | None = field(default=None, repr=False)
    """Whose credentials list object stores."""

    @property
    def kind(self) -> Literal["records"]:
        return "records"

    @property
    def key(self) -> str:
        return ""

    @property
    def dates(self) -> DateRange | None:
        return None

    def identity(self, *, secrets: bool = False) -> dict[str, Any]:
        naming, bands = self.naming, self.naming.bands
        return {
            "kind": "files",
            "paths": [known_by(path) if secrets else safe_address(path) for path in self.paths],
            "id": naming.id,
            "datetime": naming.datetime,
            "bands": bands if bands is None or isinstance(bands, str) else list(bands),
            # The order of bands is part of the result.
            "band_map": None if naming.band_map is None else [list(pair) for pair in naming.band_map.items()],
            "known": sorted(list(pair) for pair in naming.known.items()),
        }

    def describe(self) -> str:
        named = ", ".join(safe_address(path) for path in self.paths[:_NAMED])
        return f"the files {named}" + (", ..." if len(self.paths) > _NAMED else "")

    def reached_by(self, stores: HasStores | None) -> FileScenes:
        """The same files, listed with other credentials."""
        return replace(self, stores=stores)

    def find(self, tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
        listing = list_files(self.paths, self.stores, cancelled)
        tell(len(listing.files), len(listing.files), "files")
        grouped = _grouped(listing.files, self.naming)
        items = [_item(scene) for scene in grouped.scenes.values()]
        items, own_times = _with_documents(items, grouped, listing, self.naming)
        samples = {name: at for at, name in enumerate(self.naming.samples)}
        scenes, notes = scene_items(items, BandNaming(None, samples or None))
        scenes = [replace(one, unread=one.unread | grouped.doubled.get(one.id, {})) for one in scenes]
        # Of a file, its place is in its header, and the time where `datetime` says.
        notes = [note for note in notes if " without geometry" not in note and " without datetime" not in note]
        bands = dict.fromkeys(name for scene in scenes for name in scene.bands)
        ordered = [name for name in (*(self.naming.band_map or ()), *samples) if name in bands]
        named = tuple(self.naming.band_map or ())
        told = (*notes, *grouped.notes(self.naming, own_times))
        return FoundScenes(scenes, tuple(dict.fromkeys([*ordered, *bands])), named, told)


@dataclass(slots=True)
class _Scene:
    """Files of one id."""

    id: str
    bands: dict[str, ListedFile] = field(default_factory=dict)
    datetime: datetime | None = None


@dataclass(slots=True)
class _Grouped:
    scenes: dict[str, _Scene] = field(default_factory=dict)
    doubled: dict[str, dict[str, str]] = field(default_factory=dict)
    """Id → band → which of its files is not used."""
    nameless: list[str] = field(default_factory=list)
    """Names of files without a scene, which are left out."""
    bandless: list[str] = field(default_factory=list)

    def notes(self, naming: FileNaming, own_times: set[str]) -> Iterable[str]:
        """Words on what did not fit, with counts."""
        if self.nameless:
            yield f"{_files(self.nameless)} that id := {naming.id!r} does not fit, left out"
        if self.bandless:
            what = f"bands := {naming.bands!r} does not fit" if naming.bands else "no pattern of band_map fits"
            # A text may be meant as a name of the samples.
            other = f" (a regular expression; samples are named by a list, [{naming.bands!r}])" if naming.bands else ""
            yield f"{_files(self.bandless)} that {what}{other}, left out"
        if naming.datetime is not None:
            lost = [one.id for one in self.scenes.values() if one.datetime is None and one.id not in own_times]
            if lost:
                form = "" if "%" in naming.datetime or "(" in naming.datetime else " (a form is written as '%Y%m%d')"
                yield (
                    f"{len(lost)} of {len(self.scenes)} scenes have no datetime, since datetime := "
                    f"{naming.datetime!r}{form} does not fit their files: {_some(lost)}"
                )
        if self.doubled:
            yield (
                f"{len(self.doubled)} scenes have two files for one band, of which the first is used, see the column "
                f"status: {_some(list(self.doubled))}; id tells scenes apart"
            )


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} {'file' if len(names) == 1 else 'files'} ({_some(names)})"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _grouped(files: Sequence[ListedFile], naming: FileNaming) -> _Grouped:
    """Files by scene and band."""
    out = _Grouped()
    told: list[tuple[ListedFile, str, str]] = []
    for file in files:
        band, rest = naming.band_of(file)
        if band is None:
            out.bandless.append(file.name)
            continue
        scene = naming.scene_of(file, rest)
        if scene is None:
            out.nameless.append(file.name)
            continue
        if naming.id is not None and not naming.band_map and naming.bands is None and not naming.known:
            band = scene[1] or band
        told.append((file, scene[0], band))
    if naming.id is None and not naming.band_map and not isinstance(naming.bands, str) and not naming.known:
        told = _told_apart(told)
    for file, scene_id, band in told:
        scene_of = out.scenes.setdefault(scene_id, _Scene(scene_id))
        first = scene_of.bands.setdefault(band, file)
        if first is not file:
            why = f"{file.relative} is another file of this band; {first.relative} is used"
            out.doubled.setdefault(scene_id, {}).setdefault(band, why)
        scene_of.datetime = scene_of.datetime or naming.time_of(file)
    if not out.scenes:
        raise InvalidArgumentError(
            f"none of {len(files)} files is a scene: " + "; ".join(out.notes(naming, set())) + ". Check id, bands and "
            "band_map"
        )
    return out


def _told_apart(told: Sequence[tuple[ListedFile, str, str]]) -> list[tuple[ListedFile, str, str]]:
    """Files of one name in several folders are scenes of their own, whose ids have the folders."""
    count: dict[str, int] = {}
    for _, scene_id, _ in told:
        count[scene_id] = count.get(scene_id, 0) + 1
    return [
        (file, scene_id if count[scene_id] == 1 else "_".join([*file.relative.split("/")[:-1], scene_id]), band)
        for file, scene_id, band in told
    ]


def _item(scene: _Scene) -> dict[str, Any]:
    """A scene as a STAC item."""
    properties: dict[str, Any] = {}
    if scene.datetime is not None:
        properties["datetime"] = f"{scene.datetime.isoformat()}Z"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.id,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {band: {"href": file.address, "type": _TIFF} for band, file in scene.bands.items()},
    }


def _with_documents(
    items: Sequence[dict[str, Any]], grouped: _Grouped, listing: Listing, naming: FileNaming
) -> tuple[list[dict[str, Any]], set[str]]:
    """The items, with those beside files in place of those that names tell; and ids with times of their own."""
    out: list[dict[str, Any]] = []
    timed: set[str] = set()
    for item in items:
        scene = grouped.scenes[item["id"]]
        beside = _document(scene, listing)
        if beside is None:
            out.append(item)
            continue
        assets = beside["assets"]
        if naming.band_map:
            assets = _mapped(assets, item["assets"])
        properties = {**item["properties"], **{k: v for k, v in beside["properties"].items() if v is not None}}
        out.append({**beside, "assets": assets, "properties": properties})
        if beside["properties"].get("datetime"):
            timed |= {scene.id}
    return out, timed


def _mapped(assets: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """The assets that are our bands, under the bands' names."""
    by_href = {asset.get("href"): asset for asset in assets.values() if isinstance(asset, Mapping)}
    without = ("eo:bands", "bands")
    return {
        band: {key: value for key, value in (by_href.get(asset["href"]) or asset).items() if key not in without}
        for band, asset in ours.items()
    }


def _document(scene: _Scene, listing: Listing) -> dict[str, Any] | None:
    """A STAC item beside the files of a scene that has one of them among its assets."""
    files = list(scene.bands.values())
    ours = {file.address for file in files}
    for address in _candidates(scene, files):
        if address not in listing.documents:
            continue
        found = listing.document(address)
        if found is None or found.get("type") != "Feature" or not isinstance(found.get("assets"), Mapping):
            continue
        item = absolute_hrefs(found, address)
        hrefs = {asset.get("href") for asset in item["assets"].values() if isinstance(asset, Mapping)}
        if hrefs & ours and isinstance(item.get("properties"), Mapping):
            return item
    return None


def _candidates(scene: _Scene, files: Sequence[ListedFile]) -> Iterable[str]:
    """Addresses at which people keep the item of files."""
    folder = files[0].folder
    stems = [file.name.rpartition(".")[0] for file in files]
    names = [files[0].name, *stems, scene.id, folder.rpartition("/")[2], "item", "stac", "stac-item"]
    for name in dict.fromkeys(names):
        yield from (f"{folder}/{name}{ending}" for ending in (".json", "_stac.json", ".stac.json", ".geojson"))


def files_again(said: Mapping[str, Any], given: Mapping[str, Any]) -> FileScenes:
    """The source whose `identity` was kept, at another address where one is given.

    Raises:
        InvalidArgumentError: something else is to be changed, which files cannot be asked for.
    """
    others = sorted(set(given) - {"address"})
    if others:
        raise InvalidArgumentError(
            f"files have no {others[0]} to be chosen by before their headers are read; all new ones are added, and "
            "SQL chooses among them"
        )
    return FileScenes([str(given["address"])] if "address" in given else list(said["paths"]), naming_of(said))
