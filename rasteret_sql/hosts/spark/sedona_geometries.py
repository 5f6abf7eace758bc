"""Reads the bytes of Sedona's GEOMETRY columns, which reach Python as Sedona's JVM keeps them, and not as WKB.

A byte has the kind and the number of coordinates' parts; three have the SRID. Then come all coordinates, then how many
of them belong to each line and ring. A collection has whole geometries in their place, each at a multiple of 8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import InvalidGeometryError

_POINT, _LINE, _POLYGON, _POINTS, _LINES, _POLYGONS, _COLLECTION = range(1, 8)
_PARTS = (2, 3, 3, 4)
"""Numbers of a coordinate by its kind: XY, XYZ, XYM, XYZM."""
_HEAD = 8
_NO_POINT = struct.pack("<BIdd", 1, _POINT, np.nan, np.nan)


def is_of_sedona(column: pa.Array) -> bool:
    """True for a column of bytes with a geometry of Sedona: WKB begins with 0 or 1, which no such geometry does."""
    return any(begin and begin[0] >= _POINT << 4 for begin in pc.unique(pc.binary_slice(column, 0, 1)).to_pylist())


def wkb_of(value: bytes) -> tuple[bytes, int]:
    """The WKB of a geometry, with x and y alone, and its SRID; 0 where it has none. WKB stays as it is.

    Raises:
        InvalidGeometryError: the bytes are no geometry.
    """
    if value[:1] in {b"", b"\0", b"\1"}:
        return value, 0
    try:
        wkb, _ = _read(value, 0)
    except (struct.error, ValueError, IndexError) as error:
        raise InvalidGeometryError(
            f"{len(value)} bytes that begin with {value[:8].hex()} are neither WKB nor a geometry of Sedona: {error}"
        ) from None
    return wkb, int.from_bytes(value[1:4], "big") if value[0] & 1 else 0


def _read(value: bytes, begin: int) -> tuple[bytes, int]:
    """The WKB of the geometry from a byte on, and where it ends."""
    kind, parts = value[begin] >> 4, _PARTS[(value[begin] >> 1 & 7) - 1]
    (count,) = struct.unpack_from("<I", value, begin + 4)
    if kind == _COLLECTION:
        return _read_collection(value, begin + _HEAD, count)
    if not _POINT <= kind <= _COLLECTION:
        raise ValueError(f"there is no kind {kind}")
    xy = np.frombuffer(value, "<f8", count * parts, begin + _HEAD).reshape(count, parts)[:, :2]
    end = begin + _HEAD + count * parts * 8
    if kind == _POINT:
        return _point(xy[0].tobytes()) if count else _NO_POINT, end
    if kind == _LINE:
        return _line(xy), end
    if kind == _POINTS:
        return _several(kind, [_point(one.tobytes()) for one in xy]), end
    if kind == _POLYGON and count == 0:
        return _several(_POLYGON, []), end  # there are no numbers of rings
    numbers = _Numbers(value, end)
    coordinates = _Coordinates(xy)
    if kind == _POLYGON:
        wkb = _polygon(numbers, coordinates)
    elif kind == _LINES:
        wkb = _several(kind, [_line(coordinates.take(next(numbers))) for _ in range(next(numbers))])
    else:
        wkb = _several(kind, [_polygon(numbers, coordinates) for _ in range(next(numbers))])
    return wkb, numbers.at


def _read_collection(value: bytes, begin: int, count: int) -> tuple[bytes, int]:
    parts = []
    for _ in range(count):
        wkb, end = _read(value, begin)
        parts.append(wkb)
        begin = (end + 7) & ~7
    return _several(_COLLECTION, parts), begin


class _Numbers(Iterator[int]):
    """The numbers behind the coordinates."""

    def __init__(self, value: bytes, at: int) -> None:
        self.value = value
        self.at = at

    def __next__(self) -> int:
        (number,) = struct.unpack_from("<I", self.value, self.at)
        self.at += 4
        return int(number)


class _Coordinates:
    """Coordinates that are taken one line or ring after another."""

    def __init__(self, xy: npt.NDArray[np.float64]) -> None:
        self.xy = xy
        self.taken = 0

    def take(self, count: int) -> npt.NDArray[np.float64]:
        """The next ones."""
        begin, self.taken = self.taken, self.taken + count
        if self.taken > len(self.xy):
            raise ValueError(f"{len(self.xy)} coordinates, of which parts want {self.taken}")
        return self.xy[begin : self.taken]


def _point(xy: bytes) -> bytes:
    return struct.pack("<BI", 1, _POINT) + xy


def _line(xy: npt.NDArray[np.float64]) -> bytes:
    return struct.pack("<BII", 1, _LINE, len(xy)) + xy.tobytes()


def _polygon(numbers: _Numbers, coordinates: _Coordinates) -> bytes:
    rings = [coordinates.take(next(numbers)) for _ in range(next(numbers))]
    return _several(_POLYGON, [struct.pack("<I", len(ring)) + ring.tobytes() for ring in rings])


def _several(kind: int, parts: list[bytes]) -> bytes:
    return struct.pack("<BII", 1, kind, len(parts)) + b"".join(parts)
