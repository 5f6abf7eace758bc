"""`ReadAhead`: follows a statement that asks for pairs in order, and says which to read before it asks."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

_MOST_AHEAD = 1 << 16
"""Pairs that are read before they are asked for, at most."""
_TIMES = 2
"""Times as many pairs are read ahead as were asked for: with fewer, a statement goes on faster than what is read."""
_ENOUGH = 1 << 12
"""Pairs for which it does not pay to read the next scene together with them."""

Size = Callable[[int], int]
"""Gives the pairs that are expected of a scene; 0 where they cannot be read ahead."""


class Order(Enum):
    """The pairs of a call, beside those that were expected after the call before."""

    NEXT = "the next ones"
    SHORTER = "the next ones, of the next scene: of that before, fewer were asked for"
    GAPS = "in order, but others"
    ELSEWHERE = "not in order"


class Place(NamedTuple):
    """One of the pairs of a statement, in the order in which it asks for them."""

    scene: int
    """Number of the scene, among those that have pairs."""
    position: int
    """Number of the pair, among those that are expected of the scene."""


class Span(NamedTuple):
    """Neighbouring pairs among those that are expected of a scene."""

    scene: int
    begin: int
    end: int


class ReadAhead:
    """Decides from what was asked for.

    A statement that asks for one pair after the other will mostly go on, but may have a LIMIT: at most `_TIMES` as many
    are read ahead as it has asked for, and the rest of a scene.
    """

    def __init__(self) -> None:
        self._asked = 0
        """Pairs that were asked for in order."""
        self._begun = Place(0, 0)
        """What is to be read next."""
        self._waiting = 0
        """Pairs that are read and were not asked for."""
        self._most = 0
        """Pairs to be read ahead now."""

    def ask(self, last: Place, count: int, order: Order, size: Size) -> None:
        """Take note of so many pairs that are asked for, up to one of them.

        Args:
            last: The last of them.
            count: How many.
            order: Whether they are those that were expected.
            size: As it is now.
        """
        self._most = min(_TIMES * self._asked, _MOST_AHEAD) if order in {Order.NEXT, Order.SHORTER} else 0
        self._asked = count if order is Order.ELSEWHERE else self._asked + count
        is_end = last.position + 1 >= size(last.scene)
        following = Place(last.scene + 1, 0) if is_end else Place(last.scene, last.position + 1)
        if order is Order.NEXT:
            self._waiting = max(0, self._waiting - count)
            self._begun = max(self._begun, following)
        else:  # what was begun was not asked for
            self._waiting = 0
            self._begun = following

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
