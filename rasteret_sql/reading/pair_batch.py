"""`PairBatch`: reads pairs of several scenes together, and computes the values of some while others still arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.cache import CacheShare
from rasteret_sql.engine.started_jobs import StartedJobs
from rasteret_sql.raster.zone_statistics import Missing, Statistics
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.pixel_group import GroupJob
from rasteret_sql.reading.relation_geometries import Numbers

_MOST_HELD = 64 * 1024 * 1024
"""Bytes of pixels of a batch, at most, that wait for their values to be computed, while as many more arrive."""


class PairValues:
    """Values of the pairs of a call, as they become known."""

    def __init__(self, pairs: int, width: int) -> None:
        self.values: Statistics = np.full((pairs, width), np.nan)
        self.missing: Missing = np.ones((pairs, width), bool)
        """True where a value is NULL."""
        self.known = np.zeros(pairs, bool)
        """Shape (pairs,): True for those whose values are there."""


class AskedPairs(NamedTuple):
    """Pairs of a part that a call asks for."""

    part: int
    rows: Numbers
    """Of the call."""
    numbers: Numbers
    """Geometry of each, from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Values of some pairs of a part."""

    part: int
    places: Numbers
    """Position of each geometry among all that meet the part; -1 for those that do not."""
    positions: Numbers
    """Of its pairs, in their order."""
    found: PairValues
    """Those that are not known are read one by one, when they are asked for."""

    def give(self, asked: AskedPairs, to: PairValues) -> AskedPairs | None:
        """Fill in the pairs that are here; gives those that are not, None where all are."""
        at = self.places[asked.numbers]
        offset = self.offset(at)
        inside = offset >= 0
        rows, some = asked.rows[inside], offset[inside]
        to.values[rows], to.missing[rows] = self.found.values[some], self.found.missing[some]
        to.known[rows] = self.found.known[some]
        beside = at < 0  # a point that is on another band's image alone has no value
        to.known[asked.rows[beside]] = True
        left = ~(inside | beside)
        return AskedPairs(asked.part, asked.rows[left], asked.numbers[left]) if left.any() else None

    def offset(self, at: Numbers) -> Numbers:
        """The places of some positions in the block; -1 for those that it does not have."""
        positions = self.positions
        if not len(positions):
            return np.full(len(at), -1)
        first, last = int(positions[0]), int(positions[-1])
        if last - first + 1 == len(positions):  # as a rule
            return np.where((at >= first) & (at <= last), at - first, -1)
        offset = np.searchsorted(positions, at).clip(max=len(positions) - 1)
        return np.where(positions[offset] == at, offset, -1)


class PairGroup(NamedTuple):
    """Pairs of a band that are read together."""

    job: GroupJob
    values: Callable[[], tuple[Statistics, Missing]]
    """Gives the values of each, shape (n, width), and which are NULL; once all is read."""


class _Piece(NamedTuple):
    """Pairs of a block, by where they are in it."""

    block: Block
    offset: Numbers
    group: PairGroup


@dataclass(slots=True, eq=False)
class PairBatch:
    """Blocks that are read together.

    Args:
        context: What is read with.
        cancelled: The flag of the call that wants them.
        share: The part of the cache that their tiles may take; None: all of it.
    """

    context: ReadContext
    cancelled: Cancelled
    share: CacheShare | None
    blocks: dict[int, Block] = field(default_factory=dict)
    """By part."""
    _pieces: list[list[_Piece]] = field(default_factory=list)
    """What is read at a time: as much as may be held."""
    _held: int = 0
    """Bytes of the last of these."""
    _started: StartedJobs | None = None
    _is_dropped: bool = False

    def add(self, block: Block, groups: Iterable[tuple[Numbers, PairGroup]]) -> None:
        """Take a block, and what reads which of its positions; the others are left to be read one by one."""
        self.blocks[block.part] = block
        for positions, group in groups:
            if not self._pieces or self._held + group.job.memory > _MOST_HELD:
                self._pieces.append([])
                self._held = 0
            offset = np.searchsorted(block.positions, positions)
            self._pieces[-1].append(_Piece(block, offset, group))
            self._held += group.job.memory

    def covers(self, part: int, positions: Numbers) -> bool:
        """True where it has all of some positions of a part."""
        block = self.blocks.get(part)
        return block is not None and bool((block.offset(positions) >= 0).all())

    def has_some(self, asked: AskedPairs) -> bool:
        """True where it has any of some pairs."""
        block = self.blocks.get(asked.part)
        return block is not None and bool((block.offset(block.places[asked.numbers]) >= 0).any())

    def start(self) -> None:
        """Begin to read."""
        if self._pieces:
            self._started = self._start(self._pieces[0])

    def drop(self) -> None:
        """Read no more of it: nobody asks for it."""
        self._is_dropped = True
        if self._started is not None:
            self._started.stop()

    def _is_over(self) -> bool:
        return self._is_dropped or self.cancelled()

    def finish(self, *, told: bool = False) -> Iterable[Block]:
        """Wait until all is read; gives the blocks, with their values.

        Args:
            told: True: the context is told how many pairs are read, about.
        """
        pieces, started = self._pieces, self._started
        self._pieces, self._started = [], None
        pieces.reverse()
        pairs, done, jobs = sum(len(one.positions) for one in self.blocks.values()), 0, sum(map(len, pieces))

        def tell(finished: int) -> None:
            self.context.progress(pairs * (done + finished) // jobs, pairs, "pairs")

        while pieces and started is not None:
            piece = pieces.pop()
            following = self._start(pieces[-1]) if pieces else None
            try:
                started.wait(tell if told else None)
                done += len(piece)
                if not self._is_dropped:
                    self._compute(piece)
            except BaseException:
                if following is not None:
                    following.stop()
                raise
            started = following
        return self.blocks.values()

    def _start(self, pieces: list[_Piece]) -> StartedJobs:
        return self.context.start([piece.group.job for piece in pieces], self._is_over, self.share)

    def _compute(self, pieces: list[_Piece]) -> None:
        with self.context.receipt.reduce:
            for block, offset, (job, values) in pieces:
                # Else one by one: that tells which it concerns, and reads changed files again.
                if job.failure is None:
                    if not job.skipped:
                        block.found.values[offset], block.found.missing[offset] = values()
                    block.found.known[offset] = True
