#!/usr/bin/env bash
# GDAL: NaN in the NODATA_VALUES metadata never matches a NaN pixel, although NaN as the bands' own nodata does.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: NODATA_VALUES ("nan nan nan") masks a pixel where every band has its listed value. GDAL compares with `==`, so
#   NaN matches nothing. And because NODATA_VALUES goes before the bands' nodata, a file with nodata=nan as well loses the
#   mask that it had: all pixels are valid, and means over the raster become NaN. With the number -9999 in place of NaN
#   both ways mask.
# Output seen: nodata=nan: masked; NODATA_VALUES="-9999 -9999": masked; NODATA_VALUES="nan nan", with or without nodata=nan:
#   all 255.
# Way out: no NODATA_VALUES for NaN; a reader can test NaN itself where the listed value is NaN.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin

NAN = float("nan")


def mask(empty, nodata, listed):
    """The dataset's mask of two pixels in two bands, the first of which is `empty` in both."""
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=2, height=1, count=2, dtype="float32", nodata=nodata,
        crs="EPSG:4326", transform=from_origin(10, 50, 1, 1),
    ) as dataset:
        dataset.write(np.array([[[empty, 1]], [[empty, 2]]], "float32"))
        if listed is not None:
            dataset.update_tags(NODATA_VALUES=f"{listed} {listed}")
    with rasterio.open("a.tif") as dataset:
        return dataset.dataset_mask()[0].tolist()


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
masks = {}
for empty, nodata, listed in (
    (NAN, NAN, None), (-9999, None, -9999), (NAN, None, "nan"), (NAN, NAN, "nan"),
):
    masks[str((empty, nodata, listed))] = seen = mask(empty, nodata, listed)
    print(f"pixels {empty}, nodata {nodata}, NODATA_VALUES {listed}: {seen}")
if list(masks.values()) != [[0, 255], [0, 255], [255, 255], [255, 255]]:
    sys.exit("NaN in NODATA_VALUES is treated otherwise now")
PY
cd "$work"
venv/bin/python script.py
