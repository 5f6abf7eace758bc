"""Scenes that are put into every cloud, the STAC items that lead to them, and fresh processes that read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from tests.cli.processes import without_bars
from tests.sampling import exhaustive
from tests.servers.secrets import planted, secrets

ROOT = Path(__file__).resolve().parents[2]
BANDS = ("B1", "B2")
DATES = ("2024-06-01", "2024-06-30")
SCENES = {"one": (10.0, 50.0), "two": (10.001, 50.0)}
"""id → west and north edge, in degrees."""
_SIZE, _STEP = 192, 0.0001
BOX = (10.00101, 49.98081, 10.01919, 49.99999)
"""Within both scenes; its edges lie beyond the centres of the pixels that they cut."""


def by_turns(*values: Any) -> list[Any]:
    """(surface, value): the values by turns, since each is a process; all but the first are exhaustive."""
    first, *others = values
    turns = [(("sql", "python")[number % 2], value) for number, value in enumerate(others)]
    return [("python", first), *map(exhaustive, [("sql", first), *turns])]


@dataclass(frozen=True, slots=True)
class World:
    """Files, each with tiles enough for several requests."""

    directory: Path

    def files(self) -> dict[str, bytes]:
        """Name → content, of all files."""
        return {file.name: file.read_bytes() for file in sorted(self.directory.glob("*.tif"))}

    def pixels(self) -> np.ndarray:
        """All scenes, whole: (scenes, bands, height, width), as an independent reader sees the local files."""
        return np.stack([[_read(self.directory / f"{scene}_{band}.tif") for band in BANDS] for scene in SCENES])

    def in_box(self) -> np.ndarray:
        """The same of what BOX holds of each."""
        first = round((SCENES["two"][0] - SCENES["one"][0]) / _STEP)
        return np.stack([self.pixels()[0][..., :, first:], self.pixels()[1][..., :, : _SIZE - first]])

    def items(self, prefix: str, suffix: str = "", collection: str = "scenes") -> list[dict[str, Any]]:
        """STAC items whose hrefs are `<prefix><file name><suffix>`."""
        items = []
        for scene, (west, north) in SCENES.items():
            bounds = [west, north - _SIZE * _STEP, west + _SIZE * _STEP, north]
            assets = {
                band: {
                    "href": f"{prefix}{scene}_{band}.tif{suffix}",
                    "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                    "roles": ["data"],
                }
                for band in BANDS
            }
            items.append(
                {
                    "type": "Feature",
                    "stac_version": "1.0.0",
                    "id": scene,
                    "collection": collection,
                    "links": [],
                    "geometry": shapely.geometry.mapping(shapely.box(*bounds)),
                    "bbox": bounds,
                    "properties": {"datetime": "2024-06-15T10:00:00Z", "proj:epsg": 4326},
                    "assets": assets,
                }
            )
        return items


def make_world(directory: Path) -> World:
    """Write the files."""
    numbers = np.random.default_rng(7)
    for scene, (west, north) in SCENES.items():
        for band in BANDS:
            profile = {"driver": "GTiff", "width": _SIZE, "height": _SIZE, "count": 1, "dtype": "uint16", "crs": 4326}
            layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
            corner = from_origin(west, north, _STEP, _STEP)
            with rasterio.open(directory / f"{scene}_{band}.tif", "w", transform=corner, **profile, **layout) as out:
                out.write(numbers.integers(1, 60_000, (1, _SIZE, _SIZE), "uint16"))
    return World(directory)


def _read(file: Path) -> np.ndarray:
    with rasterio.open(file) as source:
        return source.read(1)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a job."""

    did: str
    """`nothing`, `build` or `read`: what was finished."""
    errors: Sequence[Mapping[str, Any]]
    """The error, and what caused it, in turn: names of its classes, and its words."""
    pixels: np.ndarray | None

    @property
    def classes(self) -> set[str]:
        """Of the error and its causes."""
        return {name for error in self.errors for name in error["classes"]}

    @property
    def words(self) -> str:
        """Of the error that a user sees."""
        return self.errors[0]["words"] if self.errors else ""


@dataclass(frozen=True, slots=True)
class Users:
    """Processes with a clean environment, in the internet of the tests."""

    world: World
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def item_file(self, items: list[dict[str, Any]]) -> str:
        """Path of an item collection."""
        file = self.directory / f"items-{uuid.uuid4().hex}.json"
        text = json.dumps({"type": "FeatureCollection", "features": items})
        (planted(file) if "?" in text else file).write_text(text)
        return str(file)

    def run(
        self,
        surface: str,
        stac_api: str | None,
        environment: Mapping[str, str] | None = None,
        *,
        setup: str = "",
        sql_setup: Sequence[str] = (),
        dataset: str | None = None,
        workspace: str | None = None,
        reads: bool = True,
        pause: float = 0,
    ) -> Report:
        """Build and read in a new process.

        Args:
            surface: `python` or `sql`.
            stac_api: Where the items are.
            environment: What this user has set.
            setup: Python to run before, which may make `backend`.
            sql_setup: SQL to run before, which makes a backend named `mine`.
            dataset: Registered by `setup`, in place of `stac_api`.
            workspace: Of an earlier process; a new one by default.
            reads: False: only builds.
            pause: Seconds between build and read.
        """
        number = uuid.uuid4().hex
        output = self.directory / f"{number}.npy"
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        job = {
            "surface": surface,
            "stac_api": stac_api,
            "dataset": dataset,
            "setup": setup,
            "sql_setup": list(sql_setup),
            "name": "scenes",
            "workspace": workspace or str(self.directory / number),
            "bbox": list(BOX),
            "date_range": list(DATES),
            "bands": list(BANDS),
            "output": str(output),
            "reads": reads,
            "pause": pause,
        }
        clean = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "RASTERET_LOCAL_DATASETS_PATH": str(self.directory / "datasets.local.json"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.environment,
            **(environment or {}),
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.cloud.child"],
            check=False,
            cwd=ROOT,
            env=clean,
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", done.stderr
        report = json.loads(without_bars(done.stdout))
        for word in secrets() | {value for name, value in clean.items() if "SECRET" in name or "TOKEN" in name}:
            assert word not in done.stdout, done.stdout
        pixels = np.load(output) if report["did"] == "read" else None
        return Report(report["did"], report.get("errors", []), pixels)

    def see(self, surface: str, report: Report) -> None:
        """Check that a process read what is in the local files."""
        assert not report.errors, report.errors
        assert report.pixels is not None
        expected = self.world.in_box() if surface == "python" else self.world.pixels()
        np.testing.assert_array_equal(report.pixels, expected)
