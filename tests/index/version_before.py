"""Makes `version_before/`: a collection as the program of commit c48debe builds and appends it, index version 2.

To make it again, with that commit checked out at OLD: `PYTHONPATH=OLD python tests/index/version_before.py
/tmp/version_before`, and then copy the `workspace` that this gives. Only names that both programs have are used. Files
have addresses of a host that does not exist, for which the backend of this module answers.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import rasteret_sql

TIFFS = Path(__file__).parent / "rasteret_index" / "out" / "tiffs"
COLLECTION = Path(__file__).parent / "version_before"
HOST = "https://tiles.example"
BAND_MAP = {"B04": "red", "B08": "nir"}
SPRING, SUMMER = ("2024-01-01", "2024-03-31"), ("2024-04-01", "2024-07-31")


class FilesOfHost:
    """Reads the sample TIFFs as the files of `HOST`; what is not among them is missing."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def get_range(self, url: str, start: int, length: int) -> bytes:
        self.requests.append(url)
        name = url.removeprefix(f"{HOST}/")
        if not (TIFFS / name).is_file():
            raise FileNotFoundError(url)
        return (TIFFS / name).read_bytes()[start : start + length]

    async def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        return [await self.get_range(url, start, length) for start, length in ranges]


def write_items(directory: Path, *numbers: int, **changes: str) -> Path:
    """The catalog of some scenes: scene `s0` in January, `s1` in February and so on; `s1` has no file of B08."""
    items = []
    for n in numbers:
        red, nir = f"s{n % 3}_B04.tif", f"s{n % 3}_B08.tif" if n != 1 else "not_there.tif"
        items.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"s{n}",
                "collection": "s2",
                "geometry": {"type": "Polygon", "coordinates": [[[9, 48], [10, 48], [10, 49], [9, 49], [9, 48]]]},
                "bbox": [9, 48, 10, 49],
                "properties": {
                    "datetime": f"2024-0{n + 1}-10T10:30:00Z",
                    "updated": changes.get(f"s{n}", "2024-08-01T00:00:00Z"),
                    "eo:cloud_cover": 10 * n,
                },
                "links": [],
                "assets": {
                    key: {"href": f"{HOST}/{file}", "type": "image/tiff; application=geotiff"}
                    for key, file in (("red", red), ("nir", nir))
                },
            }
        )
    path = directory / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def main() -> None:
    """Build and append into a new directory."""
    directory = Path(sys.argv[1])
    directory.mkdir()
    os.chdir(directory)
    warnings.simplefilter("ignore")
    write_items(Path(), 0, 1, 2, 3)
    bay = rasteret_sql.build_from_stac(
        name="bay",
        stac_api="items.json",
        band_map=BAND_MAP,
        date_range=SPRING,
        workspace_dir="workspace",
        backend=FilesOfHost(),
    )
    bay.append(date_range=SUMMER)


if __name__ == "__main__":
    main()
