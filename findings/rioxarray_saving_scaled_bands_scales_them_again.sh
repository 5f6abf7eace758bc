#!/usr/bin/env bash
# rioxarray: mask_and_scale=True on bands of different scales, and saved: the values are scaled once more.
#
# Versions: rioxarray 0.19.0, xarray 2026.9.0, rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: with one scale for all bands it goes as one expects: the scale is kept in `encoding`, `to_raster` divides
#   by it, and the file saved holds the pixels and the scale of the one opened. With two scales (reflectances and an
#   angle, say) opening multiplies each band by its own, rightly; but `to_raster` looks for one scale only, writes the
#   scaled values as they are, into the file's integers, and beside them the scales of the bands. So 1.5 becomes 2, and
#   who opens the file multiplies once more. Different offsets are added once more in the same way. With
#   band_as_variable=True the values are written as floats, and the scales beside them as well. Opening warns that an
#   attribute is not set; saving says nothing. Opening and saving is enough, and so is cutting out a part in between
#   (rio.clip_box, isel); arithmetic, which drops `encoding`, leads to floats without scales, as it should.
# Output seen, pixels 15 and 25 in both bands: scales (0.1, 0.1): 1.5, 2.5 and again 1.5, 2.5; scales (0.1, 10): 1.5,
#   2.5, 150, 250, and after saving 0.2, 0.2, 1500, 2500; offsets (0, 5) with scale 0.1: band 2 from 6.5, 7.5 to 11.5,
#   12.5.
# Way out: before `to_raster` empty `encoding` (the script does, too): the scaled values are then saved as floats,
#   without scales; or open without mask_and_scale.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rioxarray==0.19.0 xarray==2026.9.0 rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys
import warnings

import numpy as np
import rasterio
import rioxarray
import xarray
from rasterio.transform import from_origin

warnings.filterwarnings("ignore", "(Scales|Offsets) differ")
print("rioxarray", rioxarray.__version__, "xarray", xarray.__version__, "rasterio", rasterio.__version__)


def values(path, as_variable):
    opened = rioxarray.open_rasterio(path, mask_and_scale=True, band_as_variable=as_variable)
    bands = [opened[name].values for name in opened] if as_variable else list(opened.values)
    return opened, [[round(float(value), 3) for value in band[0]] for band in bands]


expected = {
    ((0.1, 0.1), (0, 0), False): ([[1.5, 2.5], [1.5, 2.5]], [[1.5, 2.5], [1.5, 2.5]]),
    ((0.1, 10), (0, 0), False): ([[1.5, 2.5], [150, 250]], [[0.2, 0.2], [1500, 2500]]),
    ((0.1, 10), (0, 0), True): ([[1.5, 2.5], [150, 250]], [[0.15, 0.25], [1500, 2500]]),
    ((0.1, 0.1), (0, 5), False): ([[1.5, 2.5], [6.5, 7.5]], [[1.5, 2.5], [11.5, 12.5]]),
}
changed = []
for (scales, offsets, as_variable), wanted in expected.items():
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=2, height=2, count=2, dtype="uint16", nodata=0,
        crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, 10, 10),
    ) as dataset:
        dataset.write(np.array([[[15, 25], [35, 45]]] * 2, "uint16"))
        dataset.scales, dataset.offsets = scales, offsets
    opened, before = values("a.tif", as_variable)
    opened.rio.to_raster("b.tif")
    if not as_variable:
        opened.encoding = {}
        opened.rio.to_raster("c.tif")
        if values("c.tif", as_variable)[1] != before:
            changed.append(f"way out for {scales}, {offsets}")
    _, after = values("b.tif", as_variable)
    with rasterio.open("b.tif") as dataset:
        kept = dataset.dtypes[0], dataset.scales, dataset.offsets
    print(f"scales {scales}, offsets {offsets}, band_as_variable {as_variable}: {before}, saved {after}; file {kept}")
    if (before, after) != wanted:
        changed.append((scales, offsets, as_variable))
if changed:
    sys.exit(f"other values now for {changed}")
PY
cd "$work"
venv/bin/python script.py
