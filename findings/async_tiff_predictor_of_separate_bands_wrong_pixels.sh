#!/usr/bin/env bash
# async-tiff and async-geotiff: bands stored one by one (INTERLEAVE=BAND) with a predictor give wrong pixels.
#
# Versions: async-tiff 0.7.2, async-geotiff 0.5.1, obstore 0.12.1, rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6
#   (Python 3.11, Linux).
# Behaviour: predictor 2 stores differences to the sample of the same band in the pixel before. Where the bands are
#   interleaved by pixel, that sample lies as many places back as there are bands; where each band has tiles of its own
#   (tag 284, PlanarConfiguration, is 2), it is the one right before. async-tiff takes the number of bands in both
#   cases. It then adds up the wrong samples, raises no error, and the shape and dtype are right. Predictor 3 (floats)
#   is affected as well. Without a predictor, or with one band, or interleaved by pixel, the pixels are right, so it is
#   not the layout as such.
# Output seen, share of pixels that are right, 3 bands of 64 x 64: interleaved by pixel: 1.0 for predictors 1, 2 and 3;
#   separate: 1.0 for predictor 1; below 0.03 for predictor 2 (uint8, uint16, float32), 0.0 for predictor 3. One band:
#   1.0.
# Way out: for such files decode the tile without its predictor, or read them with GDAL or tifffile; write them with
#   INTERLEAVE=PIXEL or without a predictor.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q async-tiff==0.7.2 async-geotiff==0.5.1 obstore==0.12.1 rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import asyncio
import sys
from importlib.metadata import version

import numpy as np
import rasterio
from async_geotiff import GeoTIFF
from obstore.store import MemoryStore
from rasterio.io import MemoryFile
from rasterio.transform import from_origin


async def read(content):
    store = MemoryStore()
    await store.put_async("a.tif", content)
    return (await (await GeoTIFF.open("a.tif", store=store)).read()).data


async def main():
    for package in ("async-tiff", "async-geotiff", "rasterio"):
        print(package, version(package))
    numbers = np.random.default_rng(0)
    changed = []
    for count, interleave in ((1, "band"), (3, "pixel"), (3, "band")):
        for dtype, predictor in (("uint16", 1), ("uint8", 2), ("uint16", 2), ("float32", 2), ("float32", 3)):
            pixels = numbers.integers(0, 250, (count, 64, 64)).astype(dtype)
            with MemoryFile() as file:
                with file.open(
                    driver="GTiff", width=64, height=64, count=count, dtype=dtype, tiled=True, blockxsize=32, blockysize=32,
                    compress="deflate", predictor=predictor, interleave=interleave,
                    crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, 10, 10),
                ) as dataset:
                    dataset.write(pixels)
                with file.open() as dataset:
                    assert np.array_equal(dataset.read(), pixels)
                seen = await read(bytes(file.getbuffer()))
            right = float((seen == pixels).mean())
            print(f"{count} bands by {interleave}, {dtype}, predictor {predictor}: {right:.3f} of the pixels are right")
            wrong = count > 1 and interleave == "band" and predictor > 1
            if seen.shape != pixels.shape or (right > 0.1 if wrong else right < 1):
                changed.append((count, interleave, dtype, predictor))
    if changed:
        sys.exit(f"these are read otherwise now: {changed}")


asyncio.run(main())
PY
cd "$work"
venv/bin/python script.py
