#!/usr/bin/env bash
# GDAL: a <Scale> alone in the .aux.xml beside a GeoTIFF sets the offset that the file itself holds back to 0.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: what a sidecar does not mention one expects to come from the file. A sidecar with a unit alone leaves scale and
#   offset as they are; but these two go together: a.tif holds scale 2 and offset 5; with <Scale>3</Scale> in a.tif.aux.xml GDAL
#   reports scale 3 and offset 0, and with <Offset>7</Offset> alone scale 1 and offset 7. Band 2, which the sidecar does not
#   mention, keeps its own. Temperatures in kelvin lose their 273.15 because somebody corrected the scale.
# Output seen: file: (2, 5); <Scale>3</Scale>: (3, 0); <Offset>7</Offset>: (1, 7); band 2 in each: (4, 6).
# Way out: write both elements, or correct the file.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
expected = {"": (2, 5), "<Scale>3</Scale>": (3, 0), "<Offset>7</Offset>": (1, 7), "<UnitType>K</UnitType>": (2, 5)}
sidecar = Path("a.tif.aux.xml")
changed = []
for element, wanted in expected.items():
    sidecar.unlink(missing_ok=True)
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=2, height=2, count=2, dtype="uint8",
        crs="EPSG:4326", transform=from_origin(10, 50, 1, 1),
    ) as dataset:
        dataset.write(np.ones((2, 2, 2), "uint8"))
        dataset.scales, dataset.offsets = (2, 4), (5, 6)
    if element:
        sidecar.write_text(f'<PAMDataset><PAMRasterBand band="1">{element}</PAMRasterBand></PAMDataset>')
    with rasterio.open("a.tif") as dataset:
        first, second = zip(dataset.scales, dataset.offsets)
    print(f"{element or 'no sidecar'}: band 1 {first}, band 2 {second}")
    if (first, second) != (wanted, (4, 6)):
        changed.append(element)
if changed:
    sys.exit(f"other scales and offsets now for {changed}")
PY
cd "$work"
venv/bin/python script.py
