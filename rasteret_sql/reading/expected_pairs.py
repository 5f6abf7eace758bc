"""`ExpectedPairs`: follows a statement, and says which pairs it will leave out, as it has left them out of a scene."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rasteret_sql.reading.read_ahead import Order, Place
from rasteret_sql.reading.relation import OnGrid
from rasteret_sql.reading.relation_geometries import Numbers

GridOf = Callable[[int], OnGrid | None]
"""Gives the geometries that meet a scene; None where they are read one by one."""
_GRIDS = 8
"""Grids on which it is known at a time."""


class ExpectedPairs:
    """Follows a statement that asks for pairs scene by scene: what it left out of one it leaves out of the next."""

    def __init__(self) -> None:
        self._left_out: npt.NDArray[np.bool_] | None = None
        """True for geometries that were left out; None while there are none."""
        self._next = Place(0, 0)
        """Scene and position after the last pair that was asked for."""
        self._known: dict[int, tuple[OnGrid, Numbers]] = {}

    def size(self, on_grid: OnGrid) -> int:
        """Number of those on a grid that are expected."""
        return len(on_grid.numbers) if self._left_out is None else len(self.positions(on_grid))

    def positions(self, on_grid: OnGrid) -> Numbers:
        """Those on a grid that are expected, in order."""
        if self._left_out is None:
            return np.arange(len(on_grid.numbers))
        known = self._known.get(id(on_grid))
        if known is None:
            if len(self._known) == _GRIDS:
                self._known.clear()
            # With the grid, so that no other one gets its identity.
            known = self._known[id(on_grid)] = on_grid, np.flatnonzero(~self._left_out[on_grid.numbers])
        return known[1]

    def ask(self, scenes: Numbers, positions: Numbers, grid_of: GridOf) -> Order:
        """Take note of pairs that are asked for: scene and position of each."""
        before = self._next
        self._next = Place(int(scenes[-1]), int(positions[-1]) + 1)
        is_sorted = (np.diff(scenes) > 0) | ((np.diff(scenes) == 0) & (np.diff(positions) > 0))
        if not is_sorted.all() or Place(int(scenes[0]), int(positions[0])) < before:
            self._forget()
            return Order.ELSEWHERE
        borders = [0, *(np.flatnonzero(np.diff(scenes)) + 1).tolist(), len(scenes)]
        is_shorter, has_gaps = False, False
        for begin, end in pairwise(borders):
            scene, some = int(scenes[begin]), positions[begin:end]
            if scene > before.scene:
                is_shorter |= self._leave_out(grid_of(before.scene), before.position, some[:0])
                # Nothing of these was asked for: that says nothing of the geometries.
                has_gaps |= any(self._has_some(grid_of(one)) for one in range(before.scene + 1, scene))
                before = Place(scene, 0)
            has_gaps |= self._leave_out(grid_of(scene), before.position, some)
            before = Place(scene, int(some[-1]) + 1)
        return Order.GAPS if has_gaps else Order.SHORTER if is_shorter else Order.NEXT

    def _has_some(self, on_grid: OnGrid | None) -> bool:
        return on_grid is not None and self.size(on_grid) > 0

    def _leave_out(self, on_grid: OnGrid | None, begin: int, asked: Numbers) -> bool:
        """Learn that from a position to the last that was asked for, or all, no others were; True where that is new."""
        if on_grid is None:
            return False
        end = int(asked[-1]) + 1 if len(asked) else len(on_grid.numbers)
        left_out, numbers = self._left_out, on_grid.numbers[begin:end]
        if left_out is None:
            if len(asked) == end - begin:
                return False
            left_out = self._left_out = np.zeros(on_grid.count, np.bool_)
        between = np.ones(end - begin, np.bool_)
        between[asked - begin] = False
        if (left_out[numbers] == between).all():
            return False
        left_out[numbers] = between
        self._known.clear()
        return True

    def _forget(self) -> None:
        self._left_out = None
        self._known.clear()


def positions_of(scenes: Numbers, numbers: Numbers, grid_of: GridOf) -> Numbers | None:
    """Positions of pairs among those that meet their scenes; None where some are read one by one."""
    positions = np.empty(len(numbers), np.int64)
    borders = [0, *(np.flatnonzero(np.diff(scenes)) + 1).tolist(), len(scenes)]
    for begin, end in pairwise(borders):
        on_grid = grid_of(int(scenes[begin]))
        if on_grid is None:
            return None
        positions[begin:end] = on_grid.places()[numbers[begin:end]]
    return positions
