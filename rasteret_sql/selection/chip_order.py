"""Sorts chips for an epoch: file by file and tile by tile, shuffled among some files, shared out among workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.selection.chip_places import ChipPlaces

_RUNS = 8
"""Of a share, at least."""
Chips = npt.NDArray[np.int64]
"""Numbers of chips."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Defines which part of the chips is meant: `number` of `count` parts that are about equal."""

    number: int = 0
    count: int = 1


def in_tile_order(places: ChipPlaces, chips: Chips) -> Chips:
    """Sort chips of one image: those that begin in one stored tile come one after the other."""
    tile = places.extents[int(places.image[chips[0]])].tile
    down, across = (max(of_tile, of_chip) for of_tile, of_chip in zip(tile, places.size, strict=True))
    row, col = places.row[chips], places.col[chips]
    return chips[np.lexsort((col, row, col // across, row // down))]


def runs_of(places: ChipPlaces, chips: Chips, usual: int, most: int) -> list[Chips]:
    """Cut chips of one image, in the order of tiles, into runs.

    Args:
        places: of the chips.
        chips: of one image.
        usual: about how many a run has; it ends with a tile.
        most: how many it has at most: a tile with more is cut.
    """
    chips = in_tile_order(places, chips)
    tile = places.extents[int(places.image[chips[0]])].tile
    down, across = (max(of_tile, of_chip) for of_tile, of_chip in zip(tile, places.size, strict=True))
    keys = np.column_stack([places.row[chips] // down, places.col[chips] // across])
    ends = np.append(np.flatnonzero((np.diff(keys, axis=0) != 0).any(1)) + 1, len(chips))
    runs, begin = [], 0
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is None or following - begin > usual:
            runs += [chips[at : min(at + most, end)] for at in range(begin, end, most)]
            begin = int(end)
    return runs


def shared_out(files: Sequence[Sequence[Chips]], shares: Shares) -> list[list[Chips]]:
    """The runs of one share: neighbours, so that few files are in two shares."""
    sizes = np.array([len(run) for runs in files for run in runs], np.int64)
    if not len(sizes):
        return []
    middles = np.cumsum(sizes) - sizes / 2
    owner = iter(np.minimum((middles * shares.count / sizes.sum()).astype(int), shares.count - 1).tolist())
    own = [[run for run in runs if next(owner) == shares.number] for runs in files]
    return [runs for runs in own if runs]


def shuffled_rounds(
    places: ChipPlaces, round_chips: int, files_at_once: int, shares: Shares, random: np.random.Generator
) -> Iterator[Chips]:
    """Chips in an order of chance: files come in one, some at a time, and chips of these are mixed.

    All parts that one generator of the same state gives, of all shares together, have each chip once.

    Args:
        places: of the chips.
        round_chips: about how many are mixed at a time.
        files_at_once: so many images are read beside each other.
        shares: which part.
        random: the same for all parts.
    """
    files = [chips for _, chips in places.by_image()]
    # Of few chips, shares would differ by a large part of them.
    run_chips = max(1, min(round_chips // files_at_once, len(places) // (_RUNS * shares.count)))
    order = random.permutation(len(files))
    seeds = random.spawn(shares.count)
    cut = [runs_of(places, files[number], run_chips, round_chips) for number in order]
    waiting = deque(deque(runs) for runs in shared_out(cut, shares))
    random = seeds[shares.number]
    active: deque[deque[Chips]] = deque()
    mixed: list[Chips] = []
    while waiting or active:
        while waiting and len(active) < files_at_once:
            active.append(waiting.popleft())
        runs = active.popleft()
        mixed.append(runs.popleft())
        if runs:
            active.append(runs)
        if sum(map(len, mixed)) >= round_chips:
            yield random.permutation(np.concatenate(mixed))
            mixed = []
    if mixed:
        yield random.permutation(np.concatenate(mixed))


def rounds_in_order(count: int, round_chips: int, shares: Shares) -> Iterator[Chips]:
    """Chips in the order of their numbers.

    Args:
        count: how many there are.
        round_chips: how many are read at a time.
        shares: which part.
    """
    first, end = (count * number // shares.count for number in (shares.number, shares.number + 1))
    for begin in range(first, end, round_chips):
        yield np.arange(begin, min(begin + round_chips, end))


def whole_batches(rounds: Iterator[Chips], batch: int, *, drop_last: bool) -> Iterator[Chips]:
    """Cut rounds anew so that each is some whole batches; only the last may have an incomplete one."""
    rest = np.empty(0, np.int64)
    for some in rounds:
        rest = np.concatenate([rest, some])
        whole = len(rest) // batch * batch
        if whole:
            yield rest[:whole]
            rest = rest[whole:]
    if len(rest) and not drop_last:
        yield rest
