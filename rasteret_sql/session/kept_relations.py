"""Keeps the relations of calls under tokens, by which the parts of a statement find them and what reads their pairs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.reading.explain_pairs import PairPlanner
from rasteret_sql.reading.pairs import PairReader
from rasteret_sql.reading.relation import Relation

_KEPT = 16
"""Relations that are kept in any case. DuckDB does not say when a statement ends."""
_SECONDS = 600.0
"""Beyond these, one is dropped that no statement has used for so long."""


class Kept(NamedTuple):
    """The zones or points of a call."""

    relation: Relation
    reader: PairReader | None
    """Reads the pairs, where these are numbers."""
    planner: PairPlanner | None
    """Plans them, where their cost is asked for or limited."""


T = TypeVar("T")


class KeptRelations(Generic[T]):
    """Relations by token, the one that was used last at the end."""

    def __init__(self) -> None:
        self._relations: OrderedDict[int, tuple[T, float]] = OrderedDict()
        self._tokens = count()
        self._lock = threading.Lock()

    def keep(self, relation: T) -> int:
        """Keep a relation; gives its token."""
        now = time.monotonic()
        with self._lock:
            token = next(self._tokens)
            self._relations[token] = relation, now
            while len(self._relations) > _KEPT:
                oldest, (_, used) = next(iter(self._relations.items()))
                if now - used < _SECONDS:
                    break
                del self._relations[oldest]
        return token

    def get(self, token: int) -> T:
        """The relation of a token.

        Raises:
            InvalidArgumentError: it was dropped.
        """
        with self._lock:
            kept = self._relations.get(token)
            if kept is None:
                raise InvalidArgumentError("the relation of this statement is not known any more; run it again")
            self._relations[token] = kept[0], time.monotonic()
            self._relations.move_to_end(token)
            return kept[0]

    def __len__(self) -> int:
        return len(self._relations)
