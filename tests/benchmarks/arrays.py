"""Measure arrays of areas on many scenes beside peers, over HTTP with latency, 30 ms by default.

    python -m tests.benchmarks.arrays [--runs 5] [--latency-ms 30] [--work grid-256,preview] [--later]
        [--python PATH] [--python-rasteret PATH]

| work | what is read |
|---|---|
| `grid-256`, `grid-1024` | one area of so many pixels a side on one grid: two bands of twelve scenes of two UTM zones |
| `one-area` | 256 × 256 pixels of 15 scenes |
| `areas` | the same of three areas on 30 scenes |
| `zones` | the same of twelve scenes, of which three are in another UTM zone, on one grid |
| `preview` | 1/16 of the resolution of 50 whole scenes of 8192 × 8192 pixels |
| `mean` | the lazy mean over time of 2048 × 2048 pixels of twelve scenes, by dask |

Engines take turns, each in a new process. Given are medians of seconds, processor seconds, requests and bytes of the
call, peak memory of the process, the ratio of seconds to ours in the same turn, and how many pixels are ours within 1.
Scenes beyond the twelve of the world are links to its files. Prints a Markdown table, and judges nothing.

`--python` has odc-stac, rio-tiler and dask, `--python-rasteret` has rasteret 0.4.1; engines that are not there are left
out. The floor fetches and decodes the tiles that an index names, and does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.benchmarks.child import environment
from tests.benchmarks.world import CENTRE, ORIGINS, PIXEL, SCENES, Scene, World, ensure_world

LARGE = 8192
"""Pixels of a scene that is previewed, on a side."""
SHRINK = 16
IN_32 = [scene for scene in SCENES if scene.epsg == 32632]

Area = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """A work."""

    kind: str
    """How we read it: `dataset`, `arrays` or `mean`."""
    scenes: int
    areas: tuple[Area, ...]
    engines: tuple[str, ...]
    bands: tuple[str, ...] = ("B04",)
    zones: bool = False
    """True: scenes of both UTM zones."""
    resolution: float = PIXEL


def around(side: int, col: int = 0, row: int = 0) -> Area:
    """An area of pixels about the middle of what all scenes see, moved by so many pixels."""
    x, y = CENTRE[0] + (col - side // 2) * PIXEL, CENTRE[1] + (row - side // 2) * PIXEL
    return x, y, x + side * PIXEL, y + side * PIXEL


def whole() -> Area:
    """All of a scene that is previewed."""
    left, top = ORIGINS[32632]
    return left, top - LARGE * PIXEL, left + LARGE * PIXEL, top


THREE = (around(256), around(256, 700, 300), around(256, -900, -500))
ALL = ("ours", "rasterio", "odc-stac", "rio-tiler", "rasteret")
WORKS = {
    "grid-256": Kind("dataset", 12, (around(256),), ("floor", "ours", "odc-stac"), ("B04", "B08"), zones=True),
    "grid-1024": Kind("dataset", 12, (around(1024),), ("floor", "ours", "odc-stac"), ("B04", "B08"), zones=True),
    "one-area": Kind("arrays", 15, (around(256),), ALL),
    "areas": Kind("arrays", 30, THREE, ALL),
    "zones": Kind("dataset", 12, (around(256),), ALL, zones=True),
    "preview": Kind("arrays", 50, (whole(),), ("ours", "rio-tiler"), resolution=PIXEL * SHRINK),
    "mean": Kind("mean", 12, (around(2048),), ("ours", "odc-stac"), zones=True),
}


def large_scene(world: World) -> Path:
    """A file to preview: tiles of 256, overviews of 1/2 to 1/32."""
    import rasterio
    from rasterio.shutil import copy
    from rasterio.transform import from_origin

    target = world.directory / "large.tif"
    if not target.exists():
        rng = np.random.default_rng(0)
        rows = np.sin(np.arange(LARGE, dtype=np.float32) / 300)[:, None] * 500
        data = (1800 + rows + rng.integers(-46, 47, (LARGE, LARGE), np.int16)).astype(np.uint16)
        made = target.with_suffix(".part")
        with rasterio.MemoryFile() as memory:
            with memory.open(
                driver="GTiff", width=LARGE, height=LARGE, count=1, dtype="uint16", crs="EPSG:32632", nodata=0,
                transform=from_origin(*ORIGINS[32632], PIXEL, PIXEL), tiled=True,
            ) as source:  # fmt: skip
                source.write(data, 1)
            with memory.open() as source:
                copy(
                    source, made, driver="COG", blocksize=256, compress="DEFLATE", predictor=2,
                    overview_resampling="average",
                )  # fmt: skip
        made.rename(target)
    return target


def overview_bytes(file: Path) -> int:
    """Bytes of the tiles of the overview that is previewed, as GDAL tells them."""
    import rasterio

    with rasterio.open(file) as dataset:
        level = dataset.overviews(1).index(SHRINK)
        across = -(-LARGE // SHRINK // 256)
        names = [f"BLOCK_SIZE_{col}_{row}" for row in range(across) for col in range(across)]
        return sum(int(dataset.get_tag_item(name, "TIFF", bidx=1, ovr=level)) for name in names)


def make(world: World, folder: Path, name: str) -> None:
    """Write the items of a work and what is read, and link the files into a folder that is served."""
    kind = WORKS[name]
    (folder / "scenes").symlink_to(world.directory / "scenes")
    (folder / "links").mkdir()
    features = []
    for number in range(kind.scenes):
        scene = (SCENES if kind.zones else IN_32)[number % (len(SCENES) if kind.zones else len(IN_32))]
        hrefs = {band: scene.path(band) for band in kind.bands}
        if not kind.zones:
            for band in kind.bands:
                hrefs[band] = f"links/{number}_{band}.tif"
                file = large_scene(world) if name == "preview" else world.file(scene, band)
                (folder / hrefs[band]).symlink_to(file)
        features.append(item(scene, number, hrefs))
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    said = {
        "kind": kind.kind, "bands": kind.bands, "areas": kind.areas, "resolution": kind.resolution, "crs": 32632,
        "is_preview": name == "preview",
    }  # fmt: skip
    (folder / "work.json").write_text(json.dumps(said))


def item(scene: Scene, number: int, hrefs: dict[str, str]) -> dict[str, Any]:
    w, s, e, n = 11.5, 46.0, 12.9, 47.4  # around all scenes
    media = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"s{number:02}", "collection": "arrays", "links": [],
        "geometry": {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]},
        "bbox": [w, s, e, n],
        "properties": {
            "datetime": str(np.datetime64("2024-01-01T10:00:00") + np.timedelta64(number, "D")) + "Z",
            "proj:code": f"EPSG:{scene.epsg}", "proj:epsg": scene.epsg,
        },
        "assets": {band: {"href": href, "type": media, "roles": ["data"]} for band, href in hrefs.items()},
    }  # fmt: skip


def prepare(world: World, folder: Path, url: str) -> None:
    """Index the scenes, for us and for rasteret, and find the offsets of the floor."""
    import rasteret_sql
    from tests.benchmarks.contract import Context
    from tests.benchmarks.engines.floor import Floor

    items = json.loads((folder / "items.json").read_text())
    for feature in items["features"]:
        for asset in feature["assets"].values():
            asset["href"] = f"{url}/{asset['href']}"
    (folder / "whole.json").write_text(json.dumps(items))
    with rasteret_sql.connect(workspace_dir=folder / "workspace") as con:
        con.execute(f"FROM rasteret_build_from_stac('arrays', '{folder / 'whole.json'}')").fetchall()
        con.execute(f"FROM rasteret_export('arrays', '{folder / 'export'}')").fetchall()
    Floor().prepare(Context(url, world.directory, folder))


def measure(name: str, runs: int, pythons: dict[str, str], latency: float, *, later: bool) -> None:
    from tests.servers.range_server import RangeServer

    world = ensure_world()
    with tempfile.TemporaryDirectory(prefix="rasteret-sql-arrays-") as directory:
        folder = Path(directory)
        make(world, folder, name)
        with RangeServer(folder, latency_ms=latency) as server:
            prepare(world, folder, server.url)
            told: dict[str, list[dict[str, float]]] = defaultdict(list)
            engines = [engine for engine in WORKS[name].engines if engine in pythons]
            for _ in range(runs):
                for engine in engines:
                    row = run(engine, pythons[engine], folder, server.url, *(["later"] if later else []))
                    if row is not None:
                        told[engine].append(row)
        report(name, folder, told)
        if name == "preview":
            print(f"\n{overview_bytes(large_scene(world)) * WORKS[name].scenes / 1e6:.2f} MB of tiles of the overviews")


def run(engine: str, python: str, folder: Path, url: str, *more: str) -> dict[str, float] | None:
    command = [python, str(Path(__file__).with_name("array_engines.py")), engine, str(folder), url, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=600)
    if done.returncode:
        sys.stderr.write(f"{engine}: {done.stderr.strip()[-600:]}\n")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(name: str, folder: Path, told: dict[str, list[dict[str, float]]]) -> None:
    print(f"\n{name}, {len(told['ours'])} runs\n")
    print("| engine | seconds | ratio to ours | processor seconds | peak MB | requests | MB | pixels as ours |")
    print("|---|---|---|---|---|---|---|---|")
    ours = np.load(folder / "ours.npy").astype(float)
    for engine, rows in told.items():
        middle = {key: median(row[key] for row in rows) for key in rows[0]}
        pairs = zip(rows, told["ours"], strict=False)
        ratio = median(theirs["wall"] / own["wall"] for theirs, own in pairs)
        theirs = np.load(folder / f"{engine}.npy").astype(float)
        alike = f"{(abs(ours - theirs) <= 1).mean():.1%}" if theirs.shape == ours.shape else "-"
        print(
            f"| {engine} | {middle['wall']:.3f} | {ratio:.2f} | {middle['cpu']:.2f} | {middle['peak']:.0f} "
            f"| {middle['requests']:.0f} | {middle['mb']:.1f} | {alike} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", default=",".join(WORKS), help="some of the works, with commas between")
    parser.add_argument("--latency-ms", type=float, default=30)
    parser.add_argument("--later", action="store_true", help="measure a second call, after one of areas beside")
    parser.add_argument("--python", help="a Python that has odc-stac, rio-tiler and dask")
    parser.add_argument("--python-rasteret", help="a Python that has rasteret 0.4.1")
    asked = parser.parse_args()
    pythons = dict.fromkeys(("floor", "ours", "rasterio"), sys.executable)
    pythons |= dict.fromkeys(("odc-stac", "rio-tiler"), asked.python) if asked.python else {}
    pythons |= {"rasteret": asked.python_rasteret} if asked.python_rasteret else {}
    for name in asked.work.split(","):
        measure(name, asked.runs, pythons, asked.latency_ms, later=asked.later)


if __name__ == "__main__":
    main()
