"""Time of warps beside GDAL's through rasterio; prints ratios and judges nothing.

    python tests/benchmarks/warp.py [--runs 5] [--threads 2] [--methods nearest,bilinear]

An image of 4096 × 4096 pixels of uint16 with 5 % nodata in patches is put onto four grids. Each run does both, one
after the other, so that other work on the machine meets both alike. Given are medians of seconds and of processor time,
and the median over the runs of the ratio in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import rasterio
from rasterio.warp import Resampling, calculate_default_transform, reproject

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.plan import plan_warp
from rasteret_sql.raster.warp.warp import warp

SIDE = 4096
UTM = "EPSG:32632"
SOURCE = Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 5_600_000.0)
METHODS = "nearest,bilinear,cubic,average,mode"


def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:SIDE, :SIDE]
    pixels = 1500 + 800 * np.sin(col / 97) + 500 * np.cos(row / 61) + rng.normal(0, 40, (SIDE, SIDE))
    pixels = pixels.clip(1, None).astype("uint16")
    pixels[(rng.random((SIDE // 16, SIDE // 16)) < 0.05).repeat(16, 0).repeat(16, 1)] = 0
    return pixels


def targets() -> dict[str, tuple[str, Affine, tuple[int, int]]]:
    """Name → CRS, transform, and shape."""
    found = {}
    sides = SOURCE.c, SOURCE.f + SOURCE.e * SIDE, SOURCE.c + SOURCE.a * SIDE, SOURCE.f
    for name, crs, resolution in (("to 3857, 14 m", "EPSG:3857", 14), ("to UTM 33, 10 m", "EPSG:32633", 10)):
        transform, width, height = calculate_default_transform(UTM, crs, SIDE, SIDE, *sides, resolution=resolution)
        found[name] = crs, Affine(*transform[:6]), (height, width)
    for pixel in (40.0, 33.0):
        size = int(SIDE * 10 / pixel)
        found[f"10 m to {pixel:g} m"] = UTM, SOURCE._replace(a=pixel, e=-pixel), (size, size)
    return found


def by_gdal(pixels: np.ndarray, target: tuple[str, Affine, tuple[int, int]], method: str, threads: int) -> np.ndarray:
    crs, transform, shape = target
    out = np.zeros(shape, pixels.dtype)
    reproject(
        pixels,
        out,
        src_transform=rasterio.Affine(*SOURCE),
        dst_transform=rasterio.Affine(*transform),
        src_crs=UTM,
        dst_crs=crs,
        src_nodata=0,
        dst_nodata=0,
        resampling=Resampling[method],
        num_threads=threads,
    )
    return out


def by_us(pixels: np.ndarray, target: tuple[str, Affine, tuple[int, int]], method: str, threads: int) -> np.ndarray:
    crs, transform, shape = target
    pixel_map = PixelMap(transform, crs, SOURCE, UTM, (SIDE, SIDE))
    plan = plan_warp(pixel_map, Window(0, 0, shape[1], shape[0]), (SIDE, SIDE), method)
    assert plan is not None
    at = plan.source
    part = pixels[at.row_off : at.row_end, at.col_off : at.col_end]
    return warp(part, part != 0, plan, nodata=0, threads=threads)[0]


def timed(work: Callable[[], np.ndarray]) -> tuple[float, float]:
    """Seconds, and seconds of processors."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of each (5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each (2)")
    parser.add_argument("--methods", default=METHODS, help=f"methods ({METHODS})")
    parser.add_argument("--grids", default="", help="grids whose names have this in them (all)")
    given = parser.parse_args()
    pixels = image()
    print(f"{'':18}{'':10}{'GDAL s':>8}{'cpu':>8}{'ours s':>8}{'cpu':>8}{'ratio':>8}")
    for name, target in targets().items():
        if given.grids not in name:
            continue
        for method in given.methods.split(","):
            theirs, ours = [], []
            for _ in range(given.runs):
                theirs.append(timed(partial(by_gdal, pixels, target, method, given.threads)))
                ours.append(timed(partial(by_us, pixels, target, method, given.threads)))
            ratio = statistics.median(one[0] / other[0] for one, other in zip(theirs, ours, strict=True))
            numbers = (statistics.median(each[at] for each in some) for some in (theirs, ours) for at in (0, 1))
            print(
                f"{name:18}{method:10}" + "".join(f"{number:8.2f}" for number in numbers) + f"{ratio:8.2f}", flush=True
            )


if __name__ == "__main__":
    main()
