#!/usr/bin/env bash
# GDAL: the size of a user-defined angular unit in a GeoTIFF (GeogAngularUnitSizeGeoKey) is not read.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: the GeoTIFF standard lets a file say GeogAngularUnits = 32767 (user-defined) and give the unit's size in
#   radians in GeogAngularUnitSize. GDAL names the unit "unknown" and takes a degree, whatever the size says. A file in
#   grads that gives the unit by its size and not by its code (9105) is so read as degrees: coordinates that are 10
#   percent off, without a word. The same key for lengths, ProjLinearUnitSize, is honoured.
# Output seen: by code 9105: UNIT["grad",0.015707963267949]; by size 0.015707963267949 or 0.01: UNIT["unknown",0.0174532925199433].
# Way out: read the keys 2054 and 2055 yourself; write a unit that has an EPSG code by its code.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import math
import re
import struct
import sys

import rasterio

SIZES = {"H": 3, "I": 4, "d": 12, "s": 2}


def write(path, shorts, doubles):
    """A GeoTIFF of one pixel with the given GeoKeys: {key: short} and {key: double}."""
    citation = b"own CRS|\0"
    keys = {key: (0, 1, value) for key, value in shorts.items()}
    keys |= {key: (34736, 1, at) for at, key in enumerate(doubles)}
    keys[1026] = (34737, len(citation) - 1, 0)
    directory = [1, 1, 0, len(keys)] + [number for key in sorted(keys) for number in (key, *keys[key])]
    tags = [(256, "H", [1]), (257, "H", [1]), (258, "H", [8]), (259, "H", [1]), (262, "H", [1]), (273, "I", [8])]
    tags += [(277, "H", [1]), (278, "H", [1]), (279, "I", [1]), (33550, "d", [1, 1, 0])]
    tags += [(33922, "d", [0, 0, 0, 3, 48, 0]), (34735, "H", directory)]
    tags += [(34736, "d", list(doubles.values()))] if doubles else []
    tags += [(34737, "s", citation)]
    entries, heap, heap_at = b"", b"", 16 + 2 + 12 * len(tags) + 4
    for tag, kind, values in tags:
        data = values if kind == "s" else struct.pack(f"<{len(values)}{kind}", *values)
        if len(data) > 4:
            place = struct.pack("<I", heap_at + len(heap))
            heap += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, SIZES[kind], len(values)) + place
    head = struct.pack("<2sHI", b"II", 42, 16) + b"\7".ljust(8, b"\0")
    with open(path, "wb") as file:
        file.write(head + struct.pack("<H", len(tags)) + entries + bytes(4) + heap)


def unit(shorts, doubles):
    write("a.tif", shorts, doubles)
    with rasterio.open("a.tif") as dataset:
        name, size = re.findall(r'UNIT\["([^"]*)",([-\d.]+)', dataset.crs.to_wkt())[-1]
        return name, float(size)


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
geographic = {1024: 2, 1025: 1, 2048: 32767, 2050: 6267}
coded = unit(geographic | {2054: 9105}, {})
grad = unit(geographic | {2054: 32767}, {2055: math.pi / 200})
other = unit(geographic | {2054: 32767}, {2055: 0.01})
length = unit({1024: 1, 1025: 1, 3072: 32767, 2048: 4267, 3074: 16031, 3076: 32767}, {3077: 2.5})
print("angular unit 9105:", coded)
print("user-defined, pi / 200 rad:", grad)
print("user-defined, 0.01 rad:", other)
print("user-defined length, 2.5 m:", length)
degree = math.radians(1)
if abs(coded[1] - math.pi / 200) > 1e-12 or length[1] != 2.5:
    sys.exit("the units used for comparison are read otherwise now")
if any(abs(size - degree) > 1e-12 for _, size in (grad, other)):
    sys.exit("the size of a user-defined angular unit is read now")
PY
cd "$work"
venv/bin/python script.py
