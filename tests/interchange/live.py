"""The live exchange with rasteret: each package reads what the other wrote, and all pixels are those of GDAL.

    python3.12 tests/interchange/live.py --ours .venv/bin/python [--keep FOLDER]

Run by a Python (3.12 or newer) with rasteret 0.4.1; `--ours` is one with this project. Exits with 1 where anything
differs, and where rasteret is not there or is another release. Promises E22-E29, E38.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import rasteret
from rasteret import Collection
from world import KINDS, UNREADABLE, Band, Kind, World, make_world

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.servers.stac_api import StacApiServer

RELEASE = "0.4.1"
BOX = (5.0, 40.0, 20.0, 60.0)
DATES = ("2024-04-01", "2024-06-30")
ROTATED = "rotated"
"""No area is the whole image; its pixels are compared in tests/raster."""


@dataclass(slots=True)
class Report:
    """What was compared, and what differed."""

    done: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def check(self, part: str, holds: bool, what: str) -> None:
        self.done[part] = self.done.get(part, 0) + 1
        if not holds:
            self.wrong.append(f"{part}: {what}")

    def equal(self, part: str, got: Any, wanted: Any, what: str) -> None:
        if isinstance(got, np.ndarray) and isinstance(wanted, np.ndarray):
            holds = got.dtype == wanted.dtype and np.array_equal(got, wanted, equal_nan=wanted.dtype.kind == "f")
        else:
            holds = type(got) is type(wanted) and got == wanted
        self.check(part, holds, f"{what}: {_brief(got)} is not {_brief(wanted)}")

    def nearly(self, part: str, got: Any, wanted: Any, what: str) -> None:
        """Equal but for pixels on the border: rasteret moves an area's corners, and we its edges too."""
        if not isinstance(got, np.ndarray) or not isinstance(wanted, np.ndarray) or got.shape != wanted.shape:
            self.equal(part, got, wanted, what)
            return
        border = 2 * sum(got.shape[1:])
        unlike = int(np.count_nonzero(~((got == wanted) | ((got != got) & (wanted != wanted)))))  # noqa: PLR0124
        self.check(
            part, got.dtype == wanted.dtype and unlike <= border / 4, f"{what}: {unlike} of {got.size} pixels differ"
        )


def _brief(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    return f"{value.dtype}{list(value.shape)} {value.ravel()[:4].tolist()}..."


@dataclass(frozen=True, slots=True)
class Read:
    """One band of one scene over one area."""

    path: Path
    band: Band
    area_name: str

    def request(self) -> dict[str, Any]:
        area, epsg = self.band.areas()[self.area_name]
        return {"path": str(self.path), "scene": self.band.scene, "band": self.band.name, "area": area, "epsg": epsg}

    def __str__(self) -> str:
        return f"{self.path.name} {self.band.key} {self.area_name}"


@dataclass(frozen=True, slots=True)
class Ours:
    """This project, in its own process."""

    python: str
    folder: Path

    def make(self, world: World) -> Path:
        self._run("make", world.folder, self.folder / "made")
        return self.folder / "made"

    def read(self, reads: Iterable[Read], name: str) -> list[np.ndarray | str]:
        """Pixels of each, (1, height, width); or the error's text."""
        answers = self._answers([read.request() for read in reads], name)
        return [
            np.load(self.folder / name / answer["file"]) if "file" in answer else answer["error"] for answer in answers
        ]

    def facts(self, paths: Iterable[Path], name: str) -> list[dict[str, Any]]:
        return self._answers([{"path": str(path)} for path in paths], name)

    def listing(self, workspace: Path) -> list[dict[str, Any]]:
        self._run("list", workspace, self.folder / "listing.json")
        found = json.loads((self.folder / "listing.json").read_text("utf-8"))
        return [entry | {"date_range": tuple(entry["date_range"] or ()) or None} for entry in found]

    def _answers(self, requests: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
        asked = self.folder / f"{name}.json"
        asked.write_text(json.dumps(requests))
        self._run("read", asked, self.folder / name)
        return json.loads((self.folder / name / "answers.json").read_text("utf-8"))

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run([self.python, Path(__file__).with_name("ours.py"), *arguments], check=True)


def reads_of(path: Path, world: World, kind: str, scenes: Iterable[str] | None = None) -> list[Read]:
    """All that can be read of a kind, as whole images and as parts."""
    return [
        Read(path, band, area)
        for band in world.bands()
        if band.kind == kind and band.picture and band.scene != ROTATED and (scenes is None or band.scene in scenes)
        for area in ("whole", "part", "lon/lat part")
    ]


def theirs(collection: Collection, read: Read) -> np.ndarray | str:
    """What rasteret reads, (1, height, width); or the error's text."""
    request = read.request()
    scene = collection.where(ds.field("id") == request["scene"])
    try:
        return scene.get_numpy(request["area"], [request["band"]], geometry_crs=request["epsg"], progress=False)
    except ValueError as error:
        return str(error)


def compare(
    report: Report, part: str, reads: list[Read], by_rasteret: list[np.ndarray | str], by_us: list[np.ndarray | str]
) -> None:
    """Both equal each other, and GDAL where the area is the whole image."""
    for read, one, other in zip(reads, by_rasteret, by_us, strict=True):
        assert read.band.picture is not None
        if read.band.picture.rasteret and read.area_name == "lon/lat part":
            report.nearly(part, other, one, f"{read} by rasteret and by us")
        elif read.band.picture.rasteret:
            report.equal(part, other, one, f"{read} by rasteret and by us")
        else:
            report.check(part, isinstance(one, str), f"{read}: rasteret did not refuse it")
        if read.area_name == "whole":
            report.equal(part, other, read.band.pixels()[None], f"{read} by us and by GDAL")


def read_by_both(report: Report, part: str, ours: Ours, name: str, reads: list[Read]) -> None:
    opened = {path: rasteret.load(path) for path in {read.path for read in reads}}
    compare(report, part, reads, [theirs(opened[read.path], read) for read in reads], ours.read(reads, name))


def our_exports(report: Report, ours: Ours, world: World, made: Path) -> None:
    """(a) What we exported, in rasteret."""
    part = "our exports in rasteret"
    reads: list[Read] = []
    for path in sorted((made / "exports").iterdir()):
        kind = path.name.removesuffix("-records")
        reads += reads_of(path, world, kind)
        loaded = rasteret.load(path)
        (facts,) = ours.facts([path], f"facts-{path.name}")
        report.equal(part, loaded.name, facts["name"], f"{path.name}: name")
        report.equal(part, loaded.data_source or "", facts["data_source"] or "", f"{path.name}: data source")
        report.equal(part, loaded.bands, list(KINDS[kind].band_map), f"{path.name}: bands")
        report.equal(part, loaded.epsg, facts["epsg"], f"{path.name}: CRS")
        report.equal(part, list(loaded.bounds), list(facts["bounds"]), f"{path.name}: bounds")
        _check_order(report, part, loaded, facts, path.name)
        _check_dates(report, part, loaded, facts, path.name)
        if path.name in KINDS and not KINDS[path.name].undated:
            asked = [f"{DATES[0]}T00:00:00", f"{DATES[1]}T23:59:59.999999"]
            report.equal(part, facts["dates"], asked, f"{path.name}: the end day is included")
        rows = loaded.to_table(columns=["id", "assets"] + [f"{band}_metadata" for band in loaded.bands])
        _check_metadata(report, part, world, kind, rows.to_pylist())
    read_by_both(report, part, ours, "our-exports", reads)
    for read in (Read(made / "exports" / "plain", band, "whole") for band in world.bands()):
        if read.band.key == "plain/bad-nir/B08":
            scene = rasteret.load(read.path).where(ds.field("id") == read.band.scene)
            box = tuple(scene.bounds)
            try:
                scene.get_numpy(box, [read.band.name], progress=False)
            except ValueError:
                report.check(part, True, "")
            else:
                report.check(part, False, f"{read}: rasteret read pixels of a file that is no TIFF")


def _check_order(report: Report, part: str, loaded: Collection, facts: dict[str, Any], what: str) -> None:
    """Scenes and their instants, row by row, as both read them."""
    rows = loaded.to_table(columns=["id", "datetime"])
    report.equal(part, facts["scenes"], rows["id"].to_pylist(), f"{what}: order of scenes")
    instants = rows["datetime"].cast(pa.timestamp("us")).cast(pa.string()).to_pylist()
    report.equal(part, facts["datetimes"], instants, f"{what}: datetimes")


def _check_dates(report: Report, part: str, loaded: Collection, facts: dict[str, Any], what: str) -> None:
    """The dates that a build asked for. Where it asked for none, rasteret has none, and we say the scenes' own."""
    said = [None if at is None else at.isoformat() for at in (loaded.start_date, loaded.end_date)]
    if said == [None, None]:
        known = sorted(at for at in facts["datetimes"] if at is not None)
        ours = [str(at).replace("T", " ")[:19] for at in facts["dates"]]
        report.equal(part, ours, [known[0][:19], known[-1][:19]], f"{what}: first and last scene")
    else:
        report.equal(part, facts["dates"], said, f"{what}: dates")


def _check_metadata(report: Report, part: str, world: World, kind: str, rows: list[dict[str, Any]]) -> None:
    """`{band}_metadata` is there for just the bands that rasteret reads right."""
    wanted = {
        (band.scene, band.name): band.picture is not None and band.picture.rasteret
        for band in world.bands()
        if band.kind == kind
    }
    for row in rows:
        for name in KINDS[kind].band_map:
            there = row[f"{name}_metadata"] is not None
            what = f"{kind}/{row['id']}/{name}: metadata is {'there' if there else 'null'}"
            report.check(part, there == wanted.get((row["id"], name), False), what)


def handed_over(report: Report, ours: Ours, world: World, made: Path) -> None:
    """(a) Our Arrow table with its headers, in rasteret's as_collection."""
    part = "our Arrow tables in rasteret"
    for path in sorted((made / "tables").iterdir()):
        collection = rasteret.as_collection(pq.read_table(path), name=path.stem)
        reads = reads_of(made / "exports" / path.stem, world, path.stem)
        compare(report, part, reads, [theirs(collection, one) for one in reads], ours.read(reads, f"table-{path.stem}"))


def rasteret_builds(kind: Kind, scene: str) -> bool:
    """A search by dates finds no scene without one, and one file that is no TIFF ends rasteret's whole build."""
    return scene not in kind.undated and UNREADABLE not in kind.scenes[scene].values()


def their_builds(report: Report, ours: Ours, world: World, made: Path, folder: Path) -> None:
    """(b) What rasteret builds and exports now, in ours; also what it exports of ours."""
    part = "rasteret's in ours"
    reads: list[Read] = []
    wanted: dict[Path, Collection] = {}
    for kind, what in KINDS.items():
        if kind == "refused":
            continue  # rasteret's own index of these is wrong
        taken = tuple(scene for scene in what.scenes if rasteret_builds(what, scene))
        with StacApiServer(world.items(kind, taken)) as api:
            built = rasteret.build_from_stac(
                name=f"their {kind}", stac_api=api.url, collection=f"world-{kind}", band_map=what.band_map,
                band_index_map=what.samples, bbox=BOX, date_range=DATES, workspace_dir=folder / "ws",
            )  # fmt: skip
        cached = folder / "ws" / f"{built.name}_stac"
        built.export(folder / "exports" / kind)
        for path in (cached, folder / "exports" / kind):
            wanted[path] = built
            reads += reads_of(path, world, kind, taken)
        if what.samples:
            records = built.to_table(columns=["id", "datetime", "geometry", "assets"])
            paths = [row["R"]["href"] for row in records["assets"].to_pylist()]
            table = records.drop_columns(["assets"]).append_column("path", [paths])
            path = folder / "ws" / f"{kind}-table_records"
            wanted[path] = rasteret.build_from_table(
                table, name=f"{kind}-table", href_column="path", band_index_map=what.samples, enrich_cog=True,
                workspace_dir=folder / "ws",
            )  # fmt: skip
            reads += reads_of(path, world, kind)
    for kind in KINDS:
        again = folder / "again" / kind
        wanted[again] = rasteret.load(made / "exports" / kind)
        wanted[again].export(again)
        reads += reads_of(again, world, kind)
    for (path, collection), facts in zip(wanted.items(), ours.facts(wanted, "their-facts"), strict=True):
        report.equal(part, facts["name"], collection.name, f"{path}: name")
        report.equal(part, facts["data_source"] or "", collection.data_source or "", f"{path}: data source")
        report.equal(part, sorted(facts["bands"]), sorted(collection.bands), f"{path}: bands")
        report.equal(part, facts["epsg"], collection.epsg, f"{path}: CRS")
        report.equal(part, facts["bounds"], list(collection.bounds), f"{path}: bounds")
        # As stored: what a build returns still has the order of its search.
        _check_order(report, part, rasteret.load(path), facts, str(path))
        _check_dates(report, part, rasteret.load(path), facts, str(path))
    read_by_both(report, part, ours, "their-builds", reads)


def listings(report: Report, ours: Ours, made: Path, folder: Path) -> None:
    """(d) Each lists the other's workspace; a directory's name is what rasteret knows of a collection."""
    part = "listings"
    for workspace in (made / "ws", folder / "ws"):
        by_us = {(entry["kind"], entry["size"], entry["date_range"], _told(entry)) for entry in ours.listing(workspace)}
        listed = Collection.list_collections(workspace)
        by_rasteret = {(entry["kind"], entry["size"], entry["date_range"], _told(entry)) for entry in listed}
        report.equal(part, by_us, by_rasteret, f"{workspace.name} of {workspace.parent.name}")
        directories = {path.name.rpartition("_")[0] for path in workspace.glob("*_*") if path.name[0] != "."}
        report.equal(part, {entry["name"] for entry in listed}, directories, "names in rasteret's listing")
        report.check(part, len(listed) >= 6, f"{workspace}: {len(listed)} collections")
    # What a build keeps has no header that rasteret sees: it has to say so, not to give other pixels.
    for path in sorted((made / "ws").glob("*_stac")):
        loaded = rasteret.load(path)
        report.equal(part, loaded.bands, [], f"{path.name}: bands in rasteret")
        report.check(part, len(loaded) > 0, f"{path.name}: no scenes in rasteret")


def _told(entry: dict[str, Any]) -> str:
    """The data source; where none is known rasteret shows the end of the directory's name, and we `unknown`."""
    return entry["data_source"] if entry["kind"] == "stac" else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ours", required=True, help="a Python that has this project")
    parser.add_argument("--keep", type=Path, help="a folder that does not exist, to look at all that was made")
    given = parser.parse_args()
    if version("rasteret") != RELEASE:
        sys.stderr.write(f"this exchange is with rasteret {RELEASE}, not {version('rasteret')}\n")
        return 1
    logging.disable(logging.WARNING)  # rasteret warns of each band that is meant to be missing
    warnings.filterwarnings("ignore", "No link with rel='search'")  # pystac-client wants a media type there, too
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        report = exchange(folder, str(Path(given.ours).absolute()))
    for part, count in report.done.items():
        print(f"{part}: {count} comparisons")
    for text in report.wrong:
        sys.stderr.write(f"differs: {text}\n")
    print(f"{len(report.wrong)} differences")
    return 1 if report.wrong else 0


def exchange(folder: Path, python: str) -> Report:
    world = make_world(folder / "world")
    for kind in KINDS:
        world.write_items(kind)
    asked = {
        # Dates would leave out a scene without one.
        name: {"band_map": kind.band_map, "samples": kind.samples, "dates": None if kind.undated else DATES}
        for name, kind in KINDS.items()
    }
    (world.folder / "kinds.json").write_text(json.dumps(asked))
    (folder / "ours").mkdir()
    (folder / "theirs").mkdir()
    ours = Ours(python, folder / "ours")
    report = Report()
    made = ours.make(world)
    our_exports(report, ours, world, made)
    handed_over(report, ours, world, made)
    their_builds(report, ours, world, made, folder / "theirs")
    listings(report, ours, made, folder / "theirs")
    return report


if __name__ == "__main__":
    sys.exit(main())
