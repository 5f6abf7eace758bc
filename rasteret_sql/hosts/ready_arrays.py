"""`ReadyArrays`: makes the arrays of a dataset before its chips are read, so that these are read into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rasteret_sql.geo.grid import Window

Slot = tuple[int, int, int]
"""Number of a band, of a time, and of an area."""


class ReadyArrays:
    """The arrays of a dataset, of which some places are filled by those who read.

    Args:
        dtypes: of the bands.
        times: ascending.
        areas: how many.
        whole: pixels of the dataset in the lattice of its grid.
    """

    def __init__(self, dtypes: Sequence[np.dtype], times: np.ndarray, areas: int, whole: Window) -> None:
        self.times = times
        self.whole = whole
        shape = len(times), areas, whole.height, whole.width
        self.data = [np.empty(shape, dtype) for dtype in dtypes]
        self._given: set[Slot] = set()

    def give(self, chips: Sequence[tuple[int, Any, int, Window, np.dtype]]) -> list[np.ndarray | None]:
        """Give chips their places.

        Args:
            chips: all of the dataset: band, time, area, pixels in the lattice, dtype.

        Returns:
            The place of each, (1, height, width); None where several chips have one, or its dtype is another.
        """
        slots = [(band, self._number(time), area) for band, time, area, _, _ in chips]
        counts = Counter(slots)
        places: list[np.ndarray | None] = []
        for slot, (band, _, _, window, dtype) in zip(slots, chips, strict=True):
            if counts[slot] > 1 or dtype != self.data[band].dtype:
                self._given.discard(slot)  # it may have had a place before a file was changed
                places.append(None)
                continue
            self._given.add(slot)
            _, time, area = slot
            places.append(self.data[band][time : time + 1, area][:, *self._within(window).slices])
        return places

    def fits(self, times: np.ndarray, whole: Window, dtypes: Sequence[np.dtype]) -> bool:
        """True where the dataset is the one that was expected, of which nothing is missing."""
        same_times = len(times) == len(self.times) and bool((times == self.times).all())
        return same_times and whole == self.whole and [each.dtype for each in self.data] == list(dtypes)

    def settle(self, read: Mapping[Slot, tuple[Window, np.ndarray | None]], fills: Sequence[float]) -> set[Slot]:
        """Fill all places that were not given, or that have no valid pixel.

        Args:
            read: of each slot that has one chip, its pixels in the lattice, and which are valid; None: all are.
            fills: values of the bands.

        Returns:
            The slots that have their pixels.
        """
        done = set()
        for band, (data, fill) in enumerate(zip(self.data, fills, strict=True)):
            for time, area in np.ndindex(*data.shape[:2]):
                slot, target = (band, time, area), data[time, area]
                if slot not in self._given or slot not in read:
                    target[...] = fill
                    continue
                window, valid = read[slot]
                inner = self._within(window)
                _fill_around(target, inner, fill)
                if valid is not None:
                    target[inner.slices][~valid] = fill
                done.add(slot)
        return done

    def _number(self, time: Any) -> int:
        return int(np.searchsorted(self.times, time))

    def _within(self, window: Window) -> Window:
        return window.moved(-self.whole.col_off, -self.whole.row_off)


def _fill_around(target: np.ndarray, inner: Window, fill: float) -> None:
    """Fill what lies around a window."""
    target[: inner.row_off] = fill
    target[inner.row_end :] = fill
    target[inner.row_off : inner.row_end, : inner.col_off] = fill
    target[inner.row_off : inner.row_end, inner.col_end :] = fill
