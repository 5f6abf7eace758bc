"""`ReadAhead`: follows a statement that asks for pairs in order, and says which to read before it asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_MOST_AHEAD = 1 << 16
"""Pairs that are read before they are asked for, at most."""
_ENOUGH = 1 << 12
"""Pairs for which it does not pay to read the next scene together with them."""

Size = Callable[[int], int]
"""Gives the pairs of a scene; 0 where they cannot be read ahead."""


class Place(NamedTuple):
    """One of the pairs of a statement, in the order in which it asks for them."""

    scene: int
    """Number of the scene, among those that have pairs."""
    position: int
    """Number of the pair, among those of the scene."""


class Span(NamedTuple):
    """Neighbouring pairs of a scene, by their positions."""

    scene: int
    begin: int
    end: int


class ReadAhead:
    """Decides from what was asked for.

    A statement that asks for one pair after the other will mostly go on, but may have a LIMIT: no more are read ahead
    than it has asked for.
    """

    def __init__(self) -> None:
        self._asked = 0
        """Pairs that were asked for one after the other."""
        self._next = Place(0, 0)
        """What comes next, if the statement goes on."""
        self._begun = Place(0, 0)
        """What is to be read next."""
        self._waiting = 0
        """Pairs that are read and were not asked for."""
        self._most = 0
        """Pairs to be read ahead now."""

    def ask(self, first: Place, last: Place, count: int, size: Size) -> None:
        """Take note of so many pairs that are asked for."""
        goes_on = first == self._next
        self._most = min(self._asked, _MOST_AHEAD) if goes_on else 0
        self._asked = self._asked + count if goes_on else count
        self._waiting = max(0, self._waiting - count) if goes_on else 0
        is_end = last.position + 1 >= size(last.scene)
        self._next = Place(last.scene + 1, 0) if is_end else Place(last.scene, last.position + 1)
        self._begun = max(self._begun, self._next) if goes_on else self._next

    def more(self, size: Size) -> list[Span]:
        """The pairs to begin to read now, together; none where enough are."""
        spans: list[Span] = []
        if self._waiting * 2 > self._most:
            return spans
        most, taken = self._most - self._waiting, 0
        while taken < most:
            scene, begin = self._begun
            left = size(scene) - begin
            if left <= 0:
                break
            # A rest that is small beside what is read goes with it.
            some = left if left <= 2 * (most - taken) else most - taken
            spans.append(Span(scene, begin, begin + some))
            taken += some
            self._begun = Place(scene + 1, 0) if some == left else Place(scene, begin + some)
            if some == left and taken >= _ENOUGH:
                break
        self._waiting += taken
        return spans
