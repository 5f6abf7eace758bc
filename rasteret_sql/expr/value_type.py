"""`ValueType`: says what the values of an expression over bands can be, and which dtype holds them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

EXACT = 2**53
"""Integers up to here are exact in float64, in which expressions are computed."""
_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")


@dataclass(frozen=True, slots=True)
class ValueType:
    """Integers of a range, truths, or numbers with a fraction."""

    low: float = -math.inf
    """The least integer that a value can be; infinite for numbers with a fraction."""
    high: float = math.inf
    truth: bool = False
    """True where values are true or false."""

    @property
    def is_integer(self) -> bool:
        """True where all values are integers."""
        return math.isfinite(self.low)

    @property
    def dtype(self) -> np.dtype:
        """The smallest dtype of integers that has all values, and float32 for numbers with a fraction.

        Integers beyond 2^53 are not computed exactly; they are float64.
        """
        if not self.is_integer:
            return np.dtype("float32")
        if max(-self.low, self.high) > EXACT:
            return np.dtype("float64")
        fits = (name for name in _INTEGERS if np.iinfo(name).min <= self.low and self.high <= np.iinfo(name).max)
        return np.dtype(next(fits))


FRACTIONS = ValueType()
TRUTH = ValueType(0, 1, truth=True)


def integers(low: float, high: float) -> ValueType:
    """Integers from `low` to `high`; fractions where these are not finite."""
    return ValueType(low, high) if math.isfinite(low) and math.isfinite(high) else FRACTIONS


def type_of_dtype(dtype: np.dtype) -> ValueType:
    """The type of a band's pixels."""
    if dtype.kind == "b":
        return TRUTH
    return integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) if dtype.kind in "iu" else FRACTIONS


def common(types: Iterable[ValueType]) -> ValueType:
    """The type of values that may be of any of some types."""
    every = list(types)
    if not every:
        return FRACTIONS
    low, high = min(one.low for one in every), max(one.high for one in every)
    return ValueType(low, high, all(one.truth for one in every)) if all(one.is_integer for one in every) else FRACTIONS


def added(left: ValueType, right: ValueType) -> ValueType:
    """The type of sums."""
    return integers(left.low + right.low, left.high + right.high)


def negated(one: ValueType) -> ValueType:
    """The type of values with the other sign."""
    return integers(-one.high, -one.low)


def multiplied(left: ValueType, right: ValueType) -> ValueType:
    """The type of products."""
    if not (left.is_integer and right.is_integer):
        return FRACTIONS
    ends = [int(a) * int(b) for a, b in product((left.low, left.high), (right.low, right.high))]
    return integers(min(ends), max(ends))


def absolute(one: ValueType) -> ValueType:
    """The type of values without their sign."""
    low = 0 if one.low <= 0 <= one.high else min(abs(one.low), abs(one.high))
    return integers(low, max(abs(one.low), abs(one.high)))


def divided_whole(left: ValueType, right: ValueType) -> ValueType:
    """The type of quotients of integers without their fraction; with a fraction, DuckDB's // divides as / does."""
    if not (left.is_integer and right.is_integer):
        return FRACTIONS
    most = max(abs(left.low), abs(left.high))
    return integers(0 if left.low >= 0 and right.low >= 0 else -most, most)


def remainder(left: ValueType, right: ValueType) -> ValueType:
    """The type of remainders, which have the sign of what is divided."""
    if not (left.is_integer and right.is_integer):
        return FRACTIONS
    most = min(max(abs(left.low), abs(left.high)), max(abs(right.low), abs(right.high), 1) - 1)
    return integers(-most if left.low < 0 else 0, most if left.high > 0 else 0)


def bits(*parts: ValueType) -> ValueType:
    """The type of values that have no more bits than any of some have."""
    count = max(int(max(abs(one.low), abs(one.high))).bit_length() for one in parts)
    return integers(-(2**count) if any(one.low < 0 for one in parts) else 0, 2**count - 1)


def masked_bits(left: ValueType, right: ValueType) -> ValueType:
    """The type of bits that both have: no more than a side that is not negative has."""
    tops = [one.high for one in (left, right) if one.low >= 0]
    return integers(0, min(tops)) if tops else bits(left, right)
