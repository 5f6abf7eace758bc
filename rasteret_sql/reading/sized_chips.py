"""Reads chips of one size from scenes into arrays of a caller: a stored tile is read once for all chips in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError, RasteretError
from rasteret_sql.geo.crs import same_crs
from rasteret_sql.geo.grid import Affine, Grid, Window
from rasteret_sql.geo.target_grid import TargetGrid
from rasteret_sql.geo.wanted_grid import WantedGrid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.window import whole
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.target_grids import finest
from rasteret_sql.reading.target_job import TargetJob
from rasteret_sql.reading.target_part import part_of
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, plan_target
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan, fill_value, plan_window
from rasteret_sql.tiff.header import BandHeader

_MOST_SIDE = 1024
"""Pixels on a side of what is read for chips of a place together, unless a chip has more."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneImage:
    """The pixels of a scene, of which chips are parts."""

    read: RowRead
    lattice: Affine | None
    """Pixel corner → CRS; None where the file is not georeferenced."""
    crs: str | None
    window: Window
    """Its pixels in the lattice."""
    dtype: np.dtype
    """Common dtype of the bands."""
    target: TargetPlan | None
    """How the pixels are warped; None: they are those of the files."""
    outline: shapely.Geometry | None = None
    """Its place in the CRS, where the window has more; None: it fills the window."""

    @property
    def fills(self) -> list[float]:
        """Of each band, the value of pixels that it does not have."""
        return [fill_value(self.read, source.header.nodata) for source in self.read.sources]

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of stored tiles of the finest band, where pixels are those of its file; else of any."""
        if self.target is not None and not self._is_moved():
            return _MOST_SIDE // 2, _MOST_SIDE // 2
        header = finest(self.read.sources).header
        level = header.levels[0 if self.target is not None else self.read.options.level]
        return level.tile_height, level.tile_width

    def _is_moved(self) -> bool:
        """True where pixels of the target are those of the file."""
        assert self.target is not None
        warps = [each.warp for each in self.target.warps if each is not None]
        return all(warp.map.is_shift(warp.target) for warp in warps)

    def plan(self, window: Window) -> tuple[ChipPlan, Window] | None:
        """The plan of some pixels, and which they are of the lattice; None where the image has none of them."""
        inside = window.intersection(self.window)
        if inside is None:
            return None
        if self.target is None:
            return WindowPlan(self.read, inside, self.lattice, self.dtype), inside
        part = part_of(self.target, inside)
        return None if part is None else (part, inside)


def own_image(read: RowRead, *, may_resample: bool) -> SceneImage:
    """The image of a scene on its own grid: that of its finest band.

    Args:
        read: of the whole image.
        may_resample: True: bands with larger pixels are put on that grid.

    Raises:
        InvalidArgumentError: bands are on several grids, and may not be resampled; or no dtype holds them all.
    """
    best = finest(read.sources).header
    if all(_is_of_grid(source.header, best) for source in read.sources):
        plan = plan_window(read)
        assert plan is not None  # the whole image
        return SceneImage(read, plan.grid, best.crs, plan.window, plan.dtype, None)
    if not may_resample:
        sizes = ", ".join(f"{source.band} {_pixels(source.header)}" for source in read.sources)
        raise InvalidArgumentError(
            f"{read.describe()}: the bands have different pixels ({sizes}); give allow_resample=True to put them on "
            "the grid of the finest, resolution= for another one, or bands of one resolution"
        )
    if best.transform is None or best.crs is None:
        raise InvalidCrsError(f"{read.describe()}: bands of different size have no place in common without a CRS")
    grid = TargetGrid(best.crs, best.transform, whole(best.width, best.height))
    target = plan_target(replace(read, target=grid), grid)
    assert target is not None  # the finest band is there
    return SceneImage(read, grid.lattice, grid.crs, grid.window, target.dtype, target)


def image_on(read: RowRead, crs: str, lattice: Affine) -> SceneImage | None:
    """The image of a scene on another grid; None where it has no pixel there.

    Args:
        read: of the whole image.
        crs: of the grid.
        lattice: pixel corner → that CRS.

    Raises:
        InvalidCrsError: the file does not say where it lies.
    """
    header = finest(read.sources).header
    if header.transform is None or header.crs is None:
        raise InvalidCrsError(f"{read.describe()}: the file does not say where it lies, so it has no other grid")
    wanted = WantedGrid(crs, lattice, None)
    outline = wanted.moved([Grid(header.transform, header.width, header.height).outline()], header.crs)[0]
    if isinstance(outline, InvalidArgumentError):
        raise outline
    if outline is None or outline.is_empty:
        return None
    image = image_in(read, wanted.target(outline))
    turned = not (same_crs(crs, header.crs) and header.transform.is_rectilinear)
    return replace(image, outline=outline) if image is not None and turned else image


def image_in(read: RowRead, grid: TargetGrid) -> SceneImage | None:
    """The pixels of a scene in a window of another grid; None where it has none there."""
    target = plan_target(replace(read, target=grid), grid)
    return None if target is None else SceneImage(read, grid.lattice, grid.crs, grid.window, target.dtype, target)


def whole_read(scene_id: str, sources: tuple[BandSource, ...], context: ReadContext, options: PixelOptions) -> RowRead:
    """The read of a whole scene."""
    return RowRead(0, scene_id, sources, Whole.IMAGE, options, context.report, [])


def _is_of_grid(one: BandHeader, other: BandHeader) -> bool:
    return (one.width, one.height, one.transform, one.crs) == (other.width, other.height, other.transform, other.crs)


def _pixels(header: BandHeader) -> str:
    if header.transform is None:
        return f"{header.width} × {header.height} in number"
    pixel = header.transform
    across, down = float(np.hypot(pixel.a, pixel.d)), float(np.hypot(pixel.b, pixel.e))
    return f"of {across:g} × {down:g} ({header.width} × {header.height})"


@dataclass(frozen=True, slots=True, eq=False)
class ChipArrays:
    """The arrays that chips are read into."""

    data: Sequence[npt.NDArray[np.generic]] | npt.NDArray[np.generic]
    """Of each chip, shape (bands, height, width), in a dtype that holds the pixels."""
    valid: npt.NDArray[np.bool_] | None
    """Of each chip likewise, True is valid; None: nobody asks, and pixels that are not valid stay as stored."""


@dataclass(frozen=True, slots=True, eq=False)
class ChipPlace:
    """Defines where a chip begins."""

    chip: int
    """Its number in the arrays."""
    row: int
    col: int
    """Its first pixel in the lattice of the image."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Pixels of an image that are read at once, for all chips in them."""

    plan: ChipPlan
    window: Window
    """Its pixels in the lattice."""
    places: Sequence[ChipPlace]


def blocks_of(image: SceneImage, chips: npt.NDArray[np.int64], size: tuple[int, int]) -> Iterable[Block]:
    """Sort chips of an image into blocks: those that begin in one stored tile are read together.

    Args:
        image: of the scene.
        chips: shape (n, 3): number in the arrays, first row, first column.
        size: height and width of a chip.
    """
    down, across = (max(min(side, _MOST_SIDE), own) for side, own in zip(image.tile, size, strict=True))
    keys = np.column_stack([chips[:, 1] // down, chips[:, 2] // across])
    order = np.lexsort((chips[:, 2], chips[:, 1], keys[:, 1], keys[:, 0]))
    borders = np.flatnonzero((np.diff(keys[order], axis=0) != 0).any(1)) + 1
    for some in np.split(order, borders):
        rows, cols = chips[some, 1], chips[some, 2]
        row, col = int(rows.min()), int(cols.min())
        window = Window(col, row, int(cols.max()) - col + size[1], int(rows.max()) - row + size[0])
        planned = image.plan(window)
        if planned is not None:
            yield Block(*planned, [ChipPlace(*map(int, one)) for one in chips[some]])


def read_blocks(
    blocks: Iterable[Block],
    arrays: ChipArrays,
    context: ReadContext,
    cancelled: Cancelled,
    *,
    tells: bool = False,
) -> dict[str, RasteretError]:
    """Read blocks into chips.

    Args:
        blocks: no chip is in several that are read at once.
        arrays: of the chips. Where they say what is valid, a pixel that is stays as it is.
        context: what is read with.
        cancelled: the call's flag.
        tells: True: a block that cannot be read is left out.

    Returns:
        Scene id → why a block of it could not be read.
    """
    jobs = [_job(block, arrays, tells=tells) for block in blocks]
    context.plan_pairs(len(jobs))
    context.stream(jobs, cancelled)
    return {job.plan.read.scene_id: job.error for job in jobs if job.error is not None}


class _IntoChips:
    """The end of a job that hands the pixels of its block to the chips."""

    plan: ChipPlan
    pixels: Callable[[], npt.NDArray[np.generic]]
    data: npt.NDArray[np.generic] | None
    invalid: npt.NDArray[np.bool_] | None
    block: Block
    arrays: ChipArrays
    tells = False
    error: RasteretError | None = None
    """Why it failed."""

    def reduce(self) -> None:
        pixels = self.pixels()
        window = self.block.window
        for place in self.block.places:
            target = self.arrays.data[place.chip]
            height, width = target.shape[1:]
            inside = window.intersection(Window(place.col, place.row, width, height))
            assert inside is not None  # a block is what its chips need
            row, col = inside.row_off - window.row_off, inside.col_off - window.col_off
            here = np.s_[:, row : row + inside.height, col : col + inside.width]
            row, col = inside.row_off - place.row, inside.col_off - place.col
            there = np.s_[:, row : row + inside.height, col : col + inside.width]
            if self.arrays.valid is None:
                np.copyto(target[there], pixels[here], casting="unsafe")
                continue
            known = self.arrays.valid[place.chip][there]
            new = ~known if self.invalid is None else ~(known | self.invalid[here])
            np.copyto(target[there], pixels[here], casting="unsafe", where=new)
            known |= new
        self.data = self.invalid = None

    def fail(self, error: Exception) -> bool:
        if not self.tells or not isinstance(error, RasteretError):
            return False
        self.error = error
        return True


class _WindowBlock(_IntoChips, WindowJob):
    """A block on the grid of the file."""

    plan: WindowPlan


class _TargetBlock(_IntoChips, TargetJob):
    """A block on another grid."""

    plan: TargetPlan


def _job(block: Block, arrays: ChipArrays, *, tells: bool) -> _WindowBlock | _TargetBlock:
    plan = block.plan
    job = _TargetBlock(plan, None) if isinstance(plan, TargetPlan) else _WindowBlock(plan)
    job.block, job.arrays, job.tells = block, arrays, tells
    return job


def dtype_of(found: Mapping[np.dtype, str]) -> np.dtype:
    """The dtype that holds pixels of several dtypes exactly.

    Args:
        found: dtype → where pixels have it, for messages.

    Raises:
        InvalidArgumentError: there is none.
    """
    dtype: np.dtype = np.result_type(*found)
    for one in found:
        wide = one.kind in "iu" and one.itemsize == 8 and dtype.kind == "f"
        if wide or not np.can_cast(one, dtype, "safe"):
            told = ", ".join(f"{name} ({where})" for name, where in found.items())
            raise InvalidArgumentError(
                f"no dtype holds the pixels of all scenes exactly: {told}. Give dtype=, such as 'float32'"
            )
    return dtype
