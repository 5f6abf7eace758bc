#!/usr/bin/env bash
# libtiff decodes big-endian TIFF files of old-style JPEG (compression 6) wrongly from the second strip on.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, imagecodecs 2026.3.6 with libtiff 4.7.1, Pillow 13.0.0 with libtiff 4.7.2,
#   numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: the script writes one image of 48 rows in the form of TIFF 6.0, section 22: the JPEG tables in tags 519 to 521,
#   each strip coded alone. The same image is written four times, in one strip or three, little-endian or big-endian. Only
#   the TIFF header and directory depend on the byte order; the JPEG bytes that follow are the same. All three readers
#   give the right pixels for three of the files. In the big-endian file of three strips the first strip is right and the
#   others have wrong colours. No reader raises an error or a warning.
# Output seen: largest difference from the decoded JPEG strips: at most 1 in the strips of the three files; 0, 66 and 35 in
#   the three strips of the fourth, with each of the readers.
# Way out: rewrite the directory as little-endian in memory (the JPEG data can stay) before libtiff reads the file.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import struct
import sys
import warnings

import imagecodecs
import numpy as np
import PIL.features
import PIL.Image
import rasterio
from rasterio.errors import NotGeoreferencedWarning

warnings.simplefilter("error")
warnings.simplefilter("ignore", NotGeoreferencedWarning)
ROWS, COLS, STRIP = 48, 64, 16
SHORT, LONG = 3, 4


def split(content, length):
    """{identifier: table} of the tables in a DQT or DHT segment."""
    found = {}
    while content:
        size = length(content)
        found[content[0]] = content[1:size]
        content = content[size:]
    return found


def parts_of(stream):
    """(quantisation tables, Huffman tables, entropy-coded data) of a JPEG stream."""
    quantisation, huffman, at = {}, {}, 2
    while True:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        content = stream[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            quantisation |= split(content, lambda _: 65)
        elif marker == 0xC4:
            huffman |= split(content, lambda head: 17 + sum(head[1:17]))
        elif marker == 0xDA:
            return quantisation, huffman, stream[at:-2]


def write(path, order, streams):
    """A TIFF file with one strip for each JPEG stream, with the tables of the first, which are those of all."""
    parts = [parts_of(stream) for stream in streams]
    assert all(part[:2] == parts[0][:2] for part in parts)
    quantisation, huffman, _ = parts[0]
    stored = b""

    def put(content):
        nonlocal stored
        stored += content
        return 8 + len(stored) - len(content)

    # one table for luminance, one for both channels of chroma
    light, chroma = put(quantisation[0]), put(quantisation[1])
    dc, ac = [put(huffman[0x00]), put(huffman[0x01])], [put(huffman[0x10]), put(huffman[0x11])]
    strips = [put(data) for _, _, data in parts]
    stored += bytes(len(stored) % 2)
    tags = [
        (256, LONG, [COLS]), (257, LONG, [ROWS]), (258, SHORT, [8, 8, 8]), (259, SHORT, [6]), (262, SHORT, [6]),
        (273, LONG, strips), (277, SHORT, [3]), (278, LONG, [ROWS // len(strips)]),
        (279, LONG, [len(data) for _, _, data in parts]), (284, SHORT, [1]), (512, SHORT, [1]),
        (519, LONG, [light, chroma, chroma]), (520, LONG, [dc[0], dc[1], dc[1]]), (521, LONG, [ac[0], ac[1], ac[1]]),
        (530, SHORT, [1, 1]),
    ]
    start = 8 + len(stored)
    outside_at, outside = start + 2 + 12 * len(tags) + 4, b""
    directory = struct.pack(order + "H", len(tags))
    for tag, kind, values in tags:
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(packed) > 4:
            place, outside = outside_at + len(outside), outside + packed
            packed = struct.pack(order + "I", place)
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    with open(path, "wb") as file:
        file.write(magic + struct.pack(order + "I", start) + stored + directory + bytes(4) + outside)


def by_rasterio(path):
    with rasterio.open(path) as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


def by_imagecodecs(path):
    with open(path, "rb") as file:
        return imagecodecs.tiff_decode(file.read())


def by_pillow(path):
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print(imagecodecs.tiff_version(), "in imagecodecs", imagecodecs.__version__)
print("libtiff", PIL.features.version("libtiff"), "in Pillow", PIL.__version__)
down, across = np.mgrid[:ROWS, :COLS]
image = np.stack([down * 4, across * 3, down + across], axis=-1).astype(np.uint8)
changed = []
for order, name in (("<", "little-endian"), (">", "big-endian")):
    for rows in (ROWS, STRIP):
        pieces = [np.ascontiguousarray(image[row : row + rows]) for row in range(0, ROWS, rows)]
        streams = [imagecodecs.jpeg8_encode(piece, level=95, subsampling="444") for piece in pieces]
        right = np.concatenate([imagecodecs.jpeg8_decode(stream) for stream in streams]).astype(int)
        write("a.tif", order, streams)
        for read in (by_rasterio, by_imagecodecs, by_pillow):
            wrong = np.abs(read("a.tif") - right)
            largest = [int(wrong[row : row + STRIP].max()) for row in range(0, ROWS, STRIP)]
            print(f"{name}, strips: {len(streams)}, {read.__name__}: largest difference in each 16 rows {largest}")
            if (name, rows) == ("big-endian", STRIP):
                as_seen = largest[0] <= 2 and min(largest[1:]) > 20
            else:
                as_seen = max(largest) <= 2
            if not as_seen:
                changed.append(f"{name}, {len(streams)} strips, {read.__name__}")
if changed:
    sys.exit(f"old-style JPEG is read otherwise now: {changed}")
PY
cd "$work"
venv/bin/python script.py
