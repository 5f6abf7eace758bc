"""Chips a second for training, beside RasterDataset of TorchGeo on the same local files; prints and judges nothing.

    python -m tests.benchmarks.training [--chips 10000] [--runs 3] [--workers 2]

Four images of 3200 × 3200 pixels of three bands (uint16, deflate, tiles of 256 × 256) hold 10 000 chips of 64 × 64. A
DataLoader with worker processes gives batches of 64 in an order of chance. Each run does all, one after the other, so
that other work on the machine meets them alike; the first one also warms the files. Given are medians of chips a
second, with the start of the workers, and of the ratio to RasterDataset in the same run. `--theirs` is the number of
chips that RasterDataset and our GeoDataset give, which take longer for each.

Needs PyTorch and TorchGeo as .ci/run has them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# isort: off
import tests.training.torchgeo_here  # noqa: F401 - before TorchGeo

# isort: on
import numpy as np
import rasterio
import torchgeo.datasets
import torchgeo.samplers
from rasterio.transform import from_origin
from torch.utils.data import DataLoader

import rasteret_sql

SIDE, SIZE, BATCH = 3200, 64, 64


class Files(torchgeo.datasets.RasterDataset):
    filename_glob = "*.tif"
    filename_regex = r"scene\d_(?P<date>\d{8})"


def make_files(directory: Path) -> None:
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:SIDE, :SIDE]
    for number in range(4):
        pixels = 1500 + 800 * np.sin(col / 97 + number) + 500 * np.cos(row / 61)
        data = (pixels + rng.normal(0, 40, (3, SIDE, SIDE))).clip(1, None).astype("uint16")
        with rasterio.open(
            directory / f"scene{number}_2024050{number + 1}.tif", "w", driver="GTiff", count=3, dtype="uint16",
            nodata=0, crs=32632, width=SIDE, height=SIDE, tiled=True, blockxsize=256, blockysize=256,
            compress="deflate", interleave="pixel",
            transform=from_origin(600_000 + number * SIDE * 10, 5_100_000, 10, 10),
        ) as file:  # fmt: skip
            file.write(data)


def chips_a_second(batches: Iterable[dict[str, Any]]) -> float:
    begun, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch["image"])
    return count / (time.perf_counter() - begun)


def loaders(directory: Path, chips: int, theirs: int, workers: int) -> dict[str, Callable[[], DataLoader]]:
    """Name → what makes the loader of an epoch."""
    collection = rasteret_sql.build_from_files(
        str(directory / "*.tif"), name="chips", workspace_dir=directory / "ws", datetime=r"_(\d{8})"
    )
    named = {"chip_size": SIZE, "dtype": "float32"}
    stream = collection.to_torch_dataset(None, collection.bands, iterable=True, **named)
    batched = collection.to_torch_dataset(None, collection.bands, iterable=True, batch_size=BATCH, **named)
    numbered = collection.to_torch_dataset(None, collection.bands, **named)
    assert len(numbered) == chips, f"the files hold {len(numbered)} chips"
    geo, raster = collection.to_torchgeo_dataset(bands=collection.bands, dtype="float32"), Files(str(directory))

    def by_torchgeo(dataset: Any) -> DataLoader:
        sampler = torchgeo.samplers.RandomGeoSampler(dataset, size=SIZE, length=theirs)
        collate = torchgeo.datasets.stack_samples if dataset is geo else only_image
        return DataLoader(dataset, BATCH, sampler=sampler, num_workers=workers, collate_fn=collate)

    return {
        "RasterDataset of TorchGeo": lambda: by_torchgeo(raster),
        "to_torchgeo_dataset": lambda: by_torchgeo(geo),
        "to_torch_dataset, by number": lambda: DataLoader(
            numbered, batch_sampler=numbered.batches(BATCH, num_workers=workers), num_workers=workers
        ),
        "to_torch_dataset, iterable": lambda: DataLoader(stream, BATCH, num_workers=workers),
        "to_torch_dataset, iterable, batch_size": lambda: DataLoader(batched, batch_size=None, num_workers=workers),
    }


def only_image(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Batches of TorchGeo 0.8, whose samples have more than tensors."""
    return torchgeo.datasets.stack_samples([{"image": one["image"]} for one in samples])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=int, default=10_000)
    parser.add_argument("--theirs", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder))
        made = loaders(Path(folder), given.chips, given.theirs, given.workers)
        found: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(given.runs):
            for name, make in made.items():
                found[name].append(chips_a_second(make()))
        base = found["RasterDataset of TorchGeo"]
        for name, rates in found.items():
            ratio = statistics.median(rate / other for rate, other in zip(rates, base, strict=True))
            print(f"{name:40} {statistics.median(rates):9.0f} chips/s  {ratio:6.1f} ×")


if __name__ == "__main__":
    main()
