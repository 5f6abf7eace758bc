"""Keeps where the pixels of a target lie on its source, for the bands and images that share the plan of a warp."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.geo.pixel_map import PositionsOf
from rasteret_sql.raster.warp.neighbourhood import Index, Numbers
from rasteret_sql.raster.warp.plan import WarpPlan
from rasteret_sql.raster.warp.resampling import RADIUS

_MOST_BYTES = 32 << 20
"""Of all places that are kept, for all calls of the process."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Source positions of the centres of a block's pixels, of those that are in the source."""

    found: Index | None
    """Places of them in the block, shape (n,); None: all, in their order."""
    under: Index | None
    """Source pixel under each, as its place in the line of all; None: it is not asked for."""
    near: Window | None
    """The source pixels that are looked at around them; None where there are none, or only those under them count."""
    at: Index
    """The pixel left of and above each, as its place in the line of these; shape (n,), or none of them."""
    right: Numbers
    """Distance from the centre of that pixel, in columns from 0 to 1."""
    below: Numbers
    """The same in rows."""

    @property
    def nbytes(self) -> int:
        """Bytes of all."""
        given = self.found, self.under, self.at, self.right, self.below
        return sum(each.nbytes for each in given if each is not None)

    def of(self, some: Index) -> Places:
        """Some of them."""
        found = some if self.found is None else self.found[some]
        under = None if self.under is None else self.under[some]
        if self.near is None:
            return Places(found, under, None, self.at, self.right, self.below)
        return Places(found, under, self.near, self.at[some], self.right[some], self.below[some])

    def small(self) -> Places:
        """The same in less memory."""
        found, under = (None if each is None else _small(each) for each in (self.found, self.under))
        return Places(found, under, self.near, _small(self.at), self.right, self.below)


def _small(index: Index) -> Index:
    """Places as numbers of 32 bit, where they are small enough."""
    return index if index.size and int(index.max()) >= 1 << 31 else index.astype(np.int32)


class _Budget:
    """Bytes that may be kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = _MOST_BYTES

    def take(self, nbytes: int) -> bool:
        """True where there are as many left; then they are taken."""
        with self._lock:
            if nbytes > self._left:
                return False
            self._left -= nbytes
            return True

    def give(self, nbytes: int) -> None:
        with self._lock:
            self._left += nbytes


_budget = _Budget()


class SharedPlaces:
    """The places of one warp, block by block; kept as long as somebody holds this.

    What comes first is kept, as far as there is memory for it: all who share it want the blocks in the same order.
    """

    def __init__(self, plan: WarpPlan) -> None:
        self.users = 0
        """How many have asked for it."""
        self._map = plan.map
        self._positions: PositionsOf | None = None
        self._claimed = False
        self._kept: dict[Hashable, Places] = {}
        self._lock = threading.Lock()

    def positions(self, target: Window) -> PositionsOf:
        """Source positions of the centres of the part of the target that is computed."""
        with self._lock:
            if self._positions is None:  # of a map between CRSs it takes a while
                self._positions = self._map.centres(target)
            return self._positions

    def claim(self) -> bool:
        """True once, for who computes places before they are wanted; False where nobody else will want them."""
        with self._lock:
            claimed, self._claimed = self._claimed, True
        return not claimed and self.users > 1

    def get(self, key: Hashable) -> Places | None:
        """The places under a key, if they are kept."""
        return self._kept.get(key)

    def put(self, key: Hashable, places: Places) -> bool:
        """Keep places, if others may want them and there is memory; True where they are kept."""
        if self.users < 2:
            return False
        small = places.small()
        if not _budget.take(small.nbytes):
            return False
        with self._lock:
            before = self._kept.get(key)
            self._kept[key] = small
        if before is not None:
            _budget.give(before.nbytes)
        return True

    def __del__(self) -> None:
        _budget.give(sum(each.nbytes for each in self._kept.values()))


_shared: weakref.WeakValueDictionary[WarpPlan, SharedPlaces] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def share_places(plan: WarpPlan) -> SharedPlaces | None:
    """The places of a warp that is still to be done; None where there are none to keep."""
    if plan.map.is_separable or plan.method not in RADIUS:
        return None
    with _shared_lock:
        shared = _shared.get(plan)
        if shared is None:
            shared = _shared[plan] = SharedPlaces(plan)
        shared.users += 1
        return shared
