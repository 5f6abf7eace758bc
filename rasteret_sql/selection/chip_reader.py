"""`ChipReader`: reads chips by their numbers, and puts scenes of one place together along an axis of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.sized_chips import ChipArrays
from rasteret_sql.selection.chip_order import Chips
from rasteret_sql.selection.chip_places import ChipPlaces
from rasteret_sql.selection.chip_source import Piece, SceneImages, read_pieces


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The scenes of chips that have a time axis."""

    slots: npt.NDArray[np.int64]
    """Of each scene, the number of its time."""
    count: int
    """How many times there are."""
    windows: npt.NDArray[np.int64]
    """Of each scene, first row, first column, and the row and column after the last; shape (scenes, 4)."""

    def meets(self, places: ChipPlaces) -> npt.NDArray[np.bool_]:
        """True for chips that have a pixel of a scene."""
        found = np.zeros(len(places), bool)
        for window in self.windows:
            found |= _meets(places.row, places.col, places.size, window)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class ChipReader:
    """Reads chips of one size."""

    places: ChipPlaces
    images: SceneImages
    series: Series | None
    """None: a chip is of one scene, of the number of its image."""
    dtype: np.dtype
    """Of the arrays: it holds the pixels of all scenes."""
    bands: int
    fill: float | None
    """Value of pixels that are not valid; None: they stay as they are stored."""
    fills: Sequence[float]
    """Of each band, where there is no pixel and `fill` is None."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a chip: (bands, height, width), with a time axis (times, bands, height, width)."""
        times = () if self.series is None else (self.series.count,)
        return *times, self.bands, *self.places.size

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels of a chip."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def read(
        self,
        chips: Chips,
        data: npt.NDArray[np.generic],
        context: ReadContext,
        cancelled: Cancelled,
        *,
        tells: bool = False,
    ) -> tuple[npt.NDArray[np.bool_], Mapping[str, RasteretError]]:
        """Read chips into an array.

        Args:
            chips: their numbers, in the order of the array; none twice.
            data: shape (n, *shape).
            context: what they are read with.
            cancelled: the call's flag.
            tells: True: scenes that cannot be read give no valid pixel.

        Returns:
            True for valid pixels, of the shape of `data`; and scene id → why it could not be read.
        """
        layers = self._layers(chips)
        flat = data.reshape(-1, *self.shape[-3:])
        valid = np.zeros(flat.shape, bool)
        for band, fill in enumerate(self.fills):
            flat[:, band] = fill if self.fill is None else self.fill
        failures: dict[str, RasteretError] = {}
        for number, layer in enumerate(layers):
            # A later scene is read only for chips in which the ones before have left holes.
            pieces = [
                one for piece in layer if (one := piece if number == 0 else _with_holes(piece, valid)) is not None
            ]
            failures |= read_pieces(pieces, ChipArrays(flat, valid), self.images, context, cancelled, tells=tells)
        return valid.reshape(data.shape), failures

    def _layers(self, chips: Chips) -> list[list[Piece]]:
        """The parts that scenes give: no two of a layer are for one pixel, and the first layer counts first."""
        row, col = self.places.row[chips].astype(np.int64), self.places.col[chips].astype(np.int64)
        if self.series is None:
            at = np.arange(len(chips))
            return [
                [Piece(int(image), _rows(at[of], row[of], col[of])) for image, of in _groups(self.places.image[chips])]
            ]
        series = self.series
        taken: dict[int, int] = {}
        layers: list[list[Piece]] = []
        for scene, window in enumerate(series.windows):
            here = np.flatnonzero(_meets(row, col, self.places.size, window))
            slots = here * series.count + int(series.slots[scene])
            depth = np.array([taken.get(slot, 0) for slot in slots.tolist()], np.int64)
            taken.update({slot: taken.get(slot, 0) + 1 for slot in slots.tolist()})
            for level in np.unique(depth).tolist():
                layers += [[] for _ in range(level + 1 - len(layers))]
                of = depth == level
                layers[level].append(Piece(scene, _rows(slots[of], row[here[of]], col[here[of]])))
        return layers


def _meets(
    row: npt.NDArray[np.integer],
    col: npt.NDArray[np.integer],
    size: tuple[int, int],
    window: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """True for chips that have a pixel in a window (first row and column, and those after the last)."""
    top, left, bottom, right = window.tolist()
    inside = (row < bottom) & (row + size[0] > top) & (col < right) & (col + size[1] > left)
    return np.asarray(inside, bool)


def _with_holes(piece: Piece, valid: npt.NDArray[np.bool_]) -> Piece | None:
    """The chips of a piece that have pixels which are not valid; None where there are none."""
    kept = ~valid[piece.chips[:, 0]].all((1, 2, 3))
    return Piece(piece.scene, piece.chips[kept]) if kept.any() else None


def _rows(*columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.column_stack(columns)


def _groups(keys: npt.NDArray[np.int32]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each value, and where it stands."""
    order = np.argsort(keys, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        if len(some):
            yield int(keys[some[0]]), some


def dtype_for_tensors(pixels: np.dtype, asked: str | None) -> np.dtype:
    """The dtype of tensors: the one that is asked for, else the smallest of torch's that holds the pixels.

    Raises:
        InvalidArgumentError: it does not hold them, or there is none.
    """
    wider = {"uint16": "int32", "uint32": "int64"}
    name = wider.get(pixels.name, pixels.name) if asked is None else str(asked).removeprefix("torch.")
    known = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128")
    if name not in known:
        what = (
            f"dtype={asked!r} cannot be used" if asked is not None else f"the pixels are {pixels}, and tensors cannot"
        )
        raise InvalidArgumentError(f"{what}; give dtype= one of {', '.join(known)}")
    dtype = np.dtype(name)
    if dtype.kind not in "fc" and not np.can_cast(pixels, dtype, "safe"):
        raise InvalidArgumentError(
            f"dtype={asked!r} does not hold the pixels, which are {pixels}; give one that does, such as "
            f"'{wider.get(pixels.name, pixels.name)}', or 'float32'"
        )
    return dtype
