#!/usr/bin/env bash
# GDAL: a prime meridian that a GeoTIFF's own keys give in grads is converted to degrees several times.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: a GeoTIFF with a user-defined geographic CRS whose angular unit is the grad (GeogAngularUnits 9105) gives the
#   longitude of its prime meridian in that unit (GeogPrimeMeridianLong = 3.5 grads, which is 3.15 degrees). GDAL reads
#   2.29635 degrees, which is 3.5 * 0.9 * 0.9 * 0.9 * 0.9. With degrees as the unit the same key is read as it stands.
#   The map lies 0.85 degrees, in France more than 60 km, too far west.
# Output seen: degrees: 3.5 -> 3.5; grads: 3.5 -> 2.29635 (right: 3.15).
# Way out: read the four keys (2048, 2054, 2055 and 2061) yourself and multiply once, or give the file's CRS by hand.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import re
import struct
import sys

import rasterio


def write(path, unit, longitude):
    """A GeoTIFF of one pixel: user-defined CRS on the datum EPSG:6275, prime meridian `longitude` in `unit`."""
    citation = b"NTF, own meridian|\0"
    keys = [1, 1, 0, 6, 1024, 0, 1, 2, 2048, 0, 1, 32767, 2049, 34737, len(citation) - 1, 0, 2050, 0, 1, 6275]
    keys += [2054, 0, 1, unit, 2061, 34736, 1, 0]
    tags = [(256, "H", [1]), (257, "H", [1]), (258, "H", [8]), (259, "H", [1]), (262, "H", [1]), (273, "I", [8])]
    tags += [(277, "H", [1]), (278, "H", [1]), (279, "I", [1]), (33550, "d", [1, 1, 0])]
    tags += [(33922, "d", [0, 0, 0, 3, 48, 0]), (34735, "H", keys), (34736, "d", [longitude]), (34737, "s", citation)]
    start = 16
    entries, heap, heap_at = b"", b"", start + 2 + 12 * len(tags) + 4
    for tag, kind, values in tags:
        data = values if kind == "s" else struct.pack(f"<{len(values)}{kind}", *values)
        if len(data) > 4:
            place = struct.pack("<I", heap_at + len(heap))
            heap += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4, "d": 12, "s": 2}[kind], len(values)) + place
    head = struct.pack("<2sHI", b"II", 42, start) + b"\7".ljust(8, b"\0")
    with open(path, "wb") as file:
        file.write(head + struct.pack("<H", len(tags)) + entries + bytes(4) + heap)


def meridian(unit):
    write("a.tif", unit, 3.5)
    with rasterio.open("a.tif") as dataset:
        return float(re.search(r'PRIMEM\["[^"]*",([-\d.]+)', dataset.crs.to_wkt())[1])


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
degrees, grads = meridian(9102), meridian(9105)
print(f"prime meridian 3.5 degrees is read as {degrees}")
print(f"prime meridian 3.5 grads is read as {grads:.6f} degrees, right is {3.5 * 0.9:.6f}; 3.5 * 0.9**4 = {3.5 * 0.9**4:.6f}")
if degrees != 3.5 or abs(grads - 3.5 * 0.9**4) > 1e-9:
    sys.exit("a prime meridian in grads is read otherwise now")
PY
cd "$work"
venv/bin/python script.py
