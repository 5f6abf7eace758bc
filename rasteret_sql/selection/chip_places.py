"""`ChipPlaces`: places chips of one size on scenes, in a grid or around given points, and tells where each lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import same_crs
from rasteret_sql.geo.grid import Affine, Grid, Window
from rasteret_sql.geo.placement import place
from rasteret_sql.reading.sized_chips import SceneImage
from rasteret_sql.selection.areas import Areas

EDGES = ("drop", "pad")
"""Values of `edges`: the rest of an image that no whole chip fits into is left out, or its chips hang over."""


@dataclass(frozen=True, slots=True, eq=False)
class Extent:
    """The place of an image, of which the headers need not be at hand."""

    lattice: Affine | None
    crs: str | None
    window: Window
    """Its pixels in the lattice."""
    tile: tuple[int, int]
    """Height and width of stored tiles."""
    outline: shapely.Geometry | None
    """In the CRS, where the image does not fill the window; None where it does."""
    dtype: np.dtype
    """Of its pixels."""
    fills: tuple[float, ...]
    """Of each band, the value of pixels that it does not have."""

    @classmethod
    def of(cls, image: SceneImage) -> Extent:
        """That of an image."""
        return cls(image.lattice, image.crs, image.window, image.tile, image.outline, image.dtype, tuple(image.fills))

    def union(self, other: Extent) -> Extent:
        """The place of two images of one lattice together."""
        return replace(self, window=self.window.union(other.window), outline=None)


@dataclass(frozen=True, slots=True, eq=False)
class ChipPlaces:
    """The chips of a call, n of them, by their numbers from 0."""

    size: tuple[int, int]
    """Height and width in pixels."""
    extents: Sequence[Extent]
    image: npt.NDArray[np.int32]
    """Number of the extent that each is on."""
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    """Its first pixel in the lattice."""

    def __len__(self) -> int:
        return len(self.image)

    def at(self, kept: npt.NDArray[np.generic]) -> ChipPlaces:
        """Some of them."""
        return ChipPlaces(self.size, self.extents, self.image[kept], self.row[kept], self.col[kept])

    def transforms(self, chips: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Of each chip: a, b, c, d, e, f from its pixel corners to the CRS, shape (n, 6); NaN where there is none."""
        known = {number: self.extents[number].lattice for number in np.unique(self.image[chips]).tolist()}
        none = (np.nan,) * 6
        lattices = np.array([known[number] or none for number in self.image[chips].tolist()], np.float64).reshape(-1, 6)
        a, b, c, d, e, f = lattices.T
        row, col = self.row[chips], self.col[chips]
        return np.column_stack([a, b, a * col + b * row + c, d, e, d * col + e * row + f])

    def bounds(self, chips: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Of each chip: minx, miny, maxx, maxy in its CRS, shape (n, 4)."""
        x, y = _corners(self.transforms(chips), self.size)
        return np.column_stack([x.min(1), y.min(1), x.max(1), y.max(1)])

    def near(self, areas: Areas) -> npt.NDArray[np.bool_]:
        """True for those that meet an area.

        Raises:
            InvalidCrsError: an area has no place in the CRS of the chips.
        """
        kept = np.zeros(len(self), bool)
        for number, chips in self.by_image():
            shapes = [one for one in _placed(areas, self.extents[number]) if one is not None]
            if not shapes:
                continue
            x, y = _corners(self.transforms(chips), self.size)
            tree = shapely.STRtree(shapely.polygons(np.stack([x, y], 2)))
            kept[chips[np.unique(tree.query(shapes, predicate="intersects")[1])]] = True
        return kept

    def by_image(self) -> Iterable[tuple[int, npt.NDArray[np.int64]]]:
        """Number of each extent that has chips, and their numbers."""
        order = np.argsort(self.image, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(self.image[order])) + 1):
            if len(some):
                yield int(self.image[some[0]]), some


def grid_of_chips(
    extents: Sequence[Extent | None], size: tuple[int, int], stride: tuple[int, int], edges: str
) -> ChipPlaces:
    """Place chips in rows and columns from the upper left corner of each image.

    Args:
        extents: of the images; None of those that have no pixel.
        size: height and width of a chip.
        stride: rows and columns from one chip to the next.
        edges: one of `EDGES`.
    """
    parts: list[npt.NDArray[np.int32]] = []
    there = [(number, extent) for number, extent in enumerate(extents) if extent is not None]
    for number, extent in there:
        window = extent.window
        counts = [
            _count(length, one, step, edges)
            for length, one, step in zip((window.height, window.width), size, stride, strict=True)
        ]
        rows, cols = np.indices(counts, dtype=np.int32).reshape(2, -1)
        rows, cols = rows * stride[0] + window.row_off, cols * stride[1] + window.col_off
        if extent.outline is not None and len(rows):
            assert extent.lattice is not None
            kept = _inside(extent.outline, extent.lattice, rows, cols, size, whole=edges == "drop")
            rows, cols = rows[kept], cols[kept]
        parts.append(np.column_stack([np.full(len(rows), number, np.int32), rows, cols]))
    image, row, col = np.concatenate(parts or [np.empty((0, 3), np.int32)]).T
    known = [extent or _NOWHERE for extent in extents]
    return ChipPlaces(size, known, np.ascontiguousarray(image), np.ascontiguousarray(row), np.ascontiguousarray(col))


def chips_around(
    extents: Sequence[Extent | None], images: npt.NDArray[np.int32], centres: Areas, size: tuple[int, int]
) -> tuple[ChipPlaces, npt.NDArray[np.bool_]]:
    """Place a chip around the middle of each geometry.

    Args:
        extents: of the images; None of those that have no pixel.
        images: number of the image of each geometry.
        centres: the geometries; of a line or polygon the middle of its box counts.
        size: height and width of a chip.

    Returns:
        The chips, and which geometries have one: those that meet their image.

    Raises:
        InvalidCrsError: an image does not say where it lies.
    """
    row, col = np.zeros(len(images), np.int32), np.zeros(len(images), np.int32)
    meets = np.zeros(len(images), bool)
    for number in np.unique(images).tolist():
        extent, these = extents[number], np.flatnonzero(images == number)
        if extent is None:
            continue
        placed = _placed(Areas(centres.geometries[these], centres.crs), extent)
        for at, shape in zip(these, placed, strict=True):
            if shape is None or shape.is_empty:
                continue
            assert extent.lattice is not None
            west, south, east, north = shape.bounds
            inverse = extent.lattice.inverse()
            across, down = inverse.apply((west + east) / 2, (south + north) / 2)
            col[at], row[at] = round(across - size[1] / 2), round(down - size[0] / 2)
            window = Window(int(np.floor(across)), int(np.floor(down)), 1, 1)
            meets[at] = window.intersection(extent.window) is not None
    known = [extent or _NOWHERE for extent in extents]
    return ChipPlaces(size, known, images, row, col).at(meets), meets


def require_room(extents: Sequence[Extent | None], size: tuple[int, int], edges: str) -> int:
    """Raise if no image has room for a chip.

    Returns:
        Number of images that have none.

    Raises:
        InvalidArgumentError: all are smaller than a chip.
    """
    windows = [extent.window for extent in extents if extent is not None]
    small = [window for window in windows if window.height < size[0] or window.width < size[1]]
    if windows and len(small) == len(windows) and edges == "drop":
        largest = max(windows, key=lambda window: window.height * window.width)
        raise InvalidArgumentError(
            f"a chip of {size[0]} × {size[1]} pixels is larger than every scene: the largest has {largest.height} × "
            f"{largest.width}. Give a smaller chip_size, a finer resolution=, or edges='pad', which fills the rest"
        )
    return len(small) if edges == "drop" else 0


_NOWHERE = Extent(None, None, Window(0, 0, 0, 0), (1, 1), None, np.dtype("uint8"), ())


def _count(length: int, size: int, stride: int, edges: str) -> int:
    """Chips along a side."""
    if edges == "pad":
        return -(-length // stride) if stride >= size else max(1, -(-(length - size) // stride) + 1)
    return 0 if length < size else (length - size) // stride + 1


def _placed(areas: Areas, extent: Extent) -> Sequence[shapely.Geometry | None]:
    """Areas in the CRS of an image, as far as they are near it."""
    if extent.crs is None or extent.lattice is None:
        raise InvalidArgumentError(
            "the file of a scene does not say where it lies, so no geometry can be placed on it; leave geometries out"
        )
    if same_crs(areas.crs, extent.crs):
        return list(areas.geometries)
    window = extent.window
    grid = Grid(extent.lattice.shifted(window.col_off, window.row_off), window.width, window.height)
    return list(place(list(areas.geometries), areas.crs, extent.crs, [grid] * len(areas.geometries)))


def _inside(
    outline: shapely.Geometry,
    lattice: Affine,
    rows: npt.NDArray[np.int32],
    cols: npt.NDArray[np.int32],
    size: tuple[int, int],
    *,
    whole: bool,
) -> npt.NDArray[np.bool_]:
    """True for chips inside an outline: whole, or at all."""
    a, b, c, d, e, f = lattice
    transforms = np.column_stack(
        [np.broadcast_to(each, rows.shape) for each in (a, b, a * cols + b * rows + c, d, e, d * cols + e * rows + f)]
    )
    boxes = shapely.polygons(np.stack(_corners(transforms, size), 2))
    shapely.prepare(outline)
    found: npt.NDArray[np.bool_] = (shapely.covers if whole else shapely.intersects)(outline, boxes)
    return found


def _corners(
    transforms: npt.NDArray[np.float64], size: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The four corners of chips: x and y, shape (n, 4) each."""
    a, b, c, d, e, f = (part[:, None] for part in transforms.T)
    cols, rows = np.array([0, size[1], size[1], 0]), np.array([0, 0, size[0], size[0]])
    return a * cols + b * rows + c, d * cols + e * rows + f
