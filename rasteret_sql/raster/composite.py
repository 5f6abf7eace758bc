"""Makes one image of scenes on one grid: the first, smallest or mean of each pixel, exact medians and others.

A scene gives a pixel where it is valid there and no value is NaN. Scenes come one after the other in their order, so
that the result does not depend on which was read first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.median import median_of_sorted, sort_planes

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Scores = tuple[Pixels, Mask]
"""Of each pixel, shape (height, width), and True where there is one."""

METHODS = ("first", "last", "min", "max", "mean", "median", "count", "sum", "best")
AVERAGES = ("mean", "median", "sum")
"""Methods whose results are floats, whatever the scenes have."""
_COUNTS = np.dtype(np.uint32)


def result_dtype(method: str, dtype: np.dtype) -> np.dtype:
    """The dtype of a composite.

    Args:
        method: One of `METHODS`.
        dtype: Of the scenes.

    Returns:
        That of the scenes for values that a scene has; uint32 for counts; float64 for sums; for averages float32 where
        it holds all values of the scenes, else float64.
    """
    if method == "count":
        return _COUNTS
    if method == "sum":
        return np.dtype(np.float64)
    if method in ("mean", "median"):
        return np.dtype(np.float32) if np.can_cast(dtype, np.float32, "safe") else np.dtype(np.float64)
    return dtype


def has_pixels(pixels: Pixels, valid: Mask | None) -> Mask:
    """True where a scene has a value, shape (bands, height, width): valid, and not NaN."""
    if pixels.dtype.kind == "f":
        numbers: Mask = pixels == pixels  # noqa: PLR0124 - NaN
        return numbers if valid is None else numbers & valid
    return np.ones(pixels.shape, bool) if valid is None else valid


class Reducer(ABC):
    """The composite of a block.

    Args:
        shape: (bands, height, width)
        dtype: Of the scenes.
        inside: True for pixels that are wanted, shape (height, width); None: all are.
        scenes: How many scenes there are at most.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        self.shape = shape
        self.dtype = dtype
        self.inside = inside
        self.gave = np.zeros(scenes, bool)
        """True for scenes of which the result has a pixel, or which took part in one."""

    def add(self, number: int, pixels: Pixels, valid: Mask | None, scores: Scores | None = None) -> None:
        """Take the pixels of a scene; scenes come in the order of their numbers.

        Args:
            number: From 0.
            pixels: Shape (bands, height, width), in a dtype that `dtype` holds.
            valid: True where they are valid, of the same shape; None: all are.
            scores: What the method best compares.
        """
        has = has_pixels(pixels, valid)
        if self.inside is not None:
            has = has & self.inside
        self._add(number, pixels, has, scores)

    @abstractmethod
    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:
        """Take pixels where the scene has them."""

    @property
    def complete(self) -> bool:
        """True where no further scene changes the result."""
        return False

    @abstractmethod
    def result(self) -> tuple[Pixels, Mask]:
        """The pixels, shape (bands, height, width), and True where they have a value: anything stands elsewhere."""


class _First(Reducer):
    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        super().__init__(shape, dtype, inside, scenes)
        self._pixels = np.zeros(shape, dtype)
        self._open = np.ones(shape[1:], bool) if inside is None else inside.copy()
        self._has = np.zeros(shape[1:], bool)

    @property
    def complete(self) -> bool:
        return not self._open.any()

    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:  # noqa: ARG002
        taken = has.all(axis=0) & self._open
        if taken.any():
            self.gave[number] = True
            np.copyto(self._pixels, pixels, where=taken)
            self._open &= ~taken
            self._has |= taken

    def result(self) -> tuple[Pixels, Mask]:
        return self._pixels, np.broadcast_to(self._has, self.shape)


class _Best(Reducer):
    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        super().__init__(shape, dtype, inside, scenes)
        self._pixels = np.zeros(shape, dtype)
        self._scores = np.zeros(shape[1:])
        self._scene = np.full(shape[1:], -1, np.int32)

    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:
        assert scores is not None
        values, scored = scores
        better = has.all(axis=0) & scored & ((values > self._scores) | (self._scene < 0))
        better &= values == values  # noqa: PLR0124 - NaN is no score
        np.copyto(self._pixels, pixels, where=better)
        np.copyto(self._scores, values, where=better)
        self._scene[better] = number

    def result(self) -> tuple[Pixels, Mask]:
        has = self._scene >= 0
        self.gave[np.unique(self._scene[has])] = True
        return self._pixels, np.broadcast_to(has, self.shape)


class _Extreme(Reducer):
    """The smallest or largest value."""

    choose: np.ufunc

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        super().__init__(shape, dtype, inside, scenes)
        self._pixels = np.zeros(shape, dtype)
        self._has = np.zeros(shape, bool)

    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:  # noqa: ARG002
        self.gave[number] = has.any()
        self.choose(self._pixels, pixels, out=self._pixels, where=has & self._has)
        np.copyto(self._pixels, pixels, where=has & ~self._has)
        self._has |= has

    def result(self) -> tuple[Pixels, Mask]:
        return self._pixels, self._has


class _Min(_Extreme):
    choose = np.minimum


class _Max(_Extreme):
    choose = np.maximum


class _Count(Reducer):
    """The number of scenes that give each pixel: 0 is a value, too."""

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        super().__init__(shape, dtype, inside, scenes)
        self._counts = np.zeros(shape, _COUNTS)

    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:  # noqa: ARG002
        self.gave[number] = has.any()
        self._counts += has

    def result(self) -> tuple[Pixels, Mask]:
        inside = np.ones(self.shape[1:], bool) if self.inside is None else self.inside
        return self._counts, np.broadcast_to(inside, self.shape)


class _Sum(_Count):
    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        super().__init__(shape, dtype, inside, scenes)
        self._sums = np.zeros(shape)

    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:
        super()._add(number, pixels, has, scores)
        np.add(self._sums, pixels, out=self._sums, where=has)

    def result(self) -> tuple[Pixels, Mask]:
        return self._sums, self._counts > 0


class _Mean(_Sum):
    def result(self) -> tuple[Pixels, Mask]:
        sums, has = super().result()
        means = sums / np.maximum(self._counts, 1)
        return means.astype(result_dtype("mean", self.dtype)), has


class Median(Reducer):
    """Keeps all values of a block: its scenes may come in any order, each is put into its place."""

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> None:
        super().__init__(shape, dtype, inside, scenes)
        # A value that sorts behind all others stands where there is none; one that equals it may stand there as well.
        self._nothing = np.inf if dtype.kind == "f" else np.iinfo(dtype).max
        self._planes = np.full((scenes, *shape), self._nothing, dtype)
        self._counts = np.zeros(shape, _COUNTS)

    def _add(self, number: int, pixels: Pixels, has: Mask, scores: Scores | None) -> None:  # noqa: ARG002
        self.gave[number] = has.any()
        np.copyto(self._planes[number], pixels, where=has)
        self._counts += has

    def result(self) -> tuple[Pixels, Mask]:
        planes = self._planes.reshape(len(self._planes), -1)
        sort_planes(planes)
        dtype = result_dtype("median", self.dtype)
        found = median_of_sorted(planes, self._counts.ravel(), dtype)
        return found.reshape(self.shape), self._counts > 0


_REDUCERS: dict[str, type[Reducer]] = {
    "first": _First,
    "last": _First,
    "min": _Min,
    "max": _Max,
    "mean": _Mean,
    "median": Median,
    "count": _Count,
    "sum": _Sum,
    "best": _Best,
}


def reducer(method: str, shape: tuple[int, int, int], dtype: np.dtype, inside: Mask | None, scenes: int) -> Reducer:
    """Make the reducer of a block; the method last is first of scenes in the reverse order."""
    return _REDUCERS[method](shape, dtype, inside, scenes)


def held_bytes(method: str, shape: Sequence[int], dtype: np.dtype, scenes: int) -> int:
    """Bytes that the reducer of a block holds, about."""
    pixels = int(np.prod(shape))
    if method == "median":
        return pixels * (scenes * dtype.itemsize + _COUNTS.itemsize + 8)
    return pixels * (max(dtype.itemsize, 8) + 5)
