"""Lists the operators and functions of expressions over bands: arguments, types, and how numpy computes them.

They mean what they mean in DuckDB. Where DuckDB raises an error or gives an infinite number or NaN for a pixel, as for
a division by zero or the logarithm of a negative number, the pixel is NULL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.expr import value_type
from rasteret_sql.expr.value_type import FRACTIONS, ValueType, integers

Floats = npt.NDArray[np.float64]
_WIDE = integers(-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class PixelFunction:
    """An operator or function. Each argument is NULL for a pixel, or all are values."""

    compute: Callable[..., Any]
    """Arrays or scalars of float64, of int64 where it is of bits → array."""
    type: Callable[..., ValueType]
    """Types of the arguments → that of the values."""
    least: int = 1
    """Arguments."""
    most: int = 1
    partial: bool = False
    """True where values may have no result: where that is not finite, the pixel is NULL."""
    of_bits: bool = False
    """True where the arguments have to be integers."""
    allowed: Callable[..., npt.NDArray[np.bool_]] | None = None
    """Arguments → False for pixels that have no result; None: all have one."""


def _fraction(*_types: ValueType) -> ValueType:
    return FRACTIONS


def _same(one: ValueType, *_more: ValueType) -> ValueType:
    return integers(one.low, one.high)


def _sign(*_types: ValueType) -> ValueType:
    return integers(-1, 1)


def _round_type(one: ValueType, digits: ValueType | None = None) -> ValueType:
    lowest = 0 if digits is None else digits.low
    more = 10 ** max(0, -int(lowest)) if math.isfinite(lowest) else math.inf
    return integers(one.low - more + 1, one.high + more - 1)


def _rounded(values: Floats, digits: float = 0) -> Any:
    """Half away from zero, as SQL rounds."""
    scale = 10.0**digits
    scaled = values * scale
    whole = np.trunc(scaled)
    return (whole + np.sign(scaled) * (np.abs(scaled - whole) >= 0.5)) / scale


def _logarithm(first: Floats, second: Floats | None = None) -> Any:
    """`log(x)` to base 10, `log(base, x)` to any."""
    return np.log10(first) if second is None else np.log(second) / np.log(first)


def _remainder(left: Floats, right: Floats) -> Any:
    return np.fmod(left, right)


def _can_shift_left(values: Any, by: Any) -> Any:
    inside = (by >= 0) & (by < 63)
    return inside & ((values << np.where(inside, by, 0)) >> np.where(inside, by, 0) == values)


def _can_shift_right(_values: Any, by: Any) -> Any:
    return (by >= 0) & (by < 64)


def _shifted(one: ValueType, by: ValueType) -> ValueType:
    if by.low == by.high and 0 <= by.low < 63:
        return value_type.multiplied(one, integers(2**by.low, 2**by.low))
    return _WIDE


def _qa_type(_value: ValueType, first: ValueType, last: ValueType) -> ValueType:
    return integers(0, 2 ** (int(last.high) - int(first.low) + 1) - 1)


def _qa_bits(values: Any, first: Any, last: Any) -> Any:
    return (values >> first) & ((1 << (last - first + 1)) - 1)


def _bit_count(values: Any) -> Any:
    return np.bitwise_count(np.asarray(values).view(np.uint64)).astype(np.int64)


def _number(compute: Callable[..., Any], *, partial: bool = False, args: int = 1) -> PixelFunction:
    return PixelFunction(compute, _fraction, args, args, partial)


FUNCTIONS: dict[str, PixelFunction] = {
    "+": PixelFunction(np.add, value_type.added, 2, 2),
    "-": PixelFunction(np.subtract, lambda a, b: value_type.added(a, value_type.negated(b)), 2, 2),
    "*": PixelFunction(np.multiply, value_type.multiplied, 2, 2),
    "/": PixelFunction(np.divide, _fraction, 2, 2, partial=True),
    "//": PixelFunction(np.divide, value_type.divided_whole, 2, 2, partial=True),  # see `divides_whole`
    "%": PixelFunction(_remainder, value_type.remainder, 2, 2, partial=True),
    "negative": PixelFunction(np.negative, value_type.negated),
    "pow": _number(np.power, partial=True, args=2),
    "&": PixelFunction(np.bitwise_and, value_type.masked_bits, 2, 2, of_bits=True),
    "|": PixelFunction(np.bitwise_or, value_type.bits, 2, 2, of_bits=True),
    "xor": PixelFunction(np.bitwise_xor, value_type.bits, 2, 2, of_bits=True),
    "~": PixelFunction(np.invert, lambda a: integers(-a.high - 1, -a.low - 1), of_bits=True),
    "<<": PixelFunction(np.left_shift, _shifted, 2, 2, of_bits=True, allowed=_can_shift_left),
    ">>": PixelFunction(
        np.right_shift,
        lambda a, _b: integers(min(a.low, 0), max(a.high, 0)),
        2,
        2,
        of_bits=True,
        allowed=_can_shift_right,
    ),
    "qa_bits": PixelFunction(_qa_bits, _qa_type, 3, 3, of_bits=True),
    "bit_count": PixelFunction(_bit_count, lambda _a: integers(0, 64), of_bits=True),
    "abs": PixelFunction(np.abs, value_type.absolute),
    "sign": PixelFunction(np.sign, _sign),
    "sqrt": _number(np.sqrt, partial=True),
    "cbrt": _number(np.cbrt),
    "exp": _number(np.exp, partial=True),
    "ln": _number(np.log, partial=True),
    "log": PixelFunction(_logarithm, _fraction, 1, 2, partial=True),
    "log2": _number(np.log2, partial=True),
    "log10": _number(np.log10, partial=True),
    "floor": PixelFunction(np.floor, _same),
    "ceil": PixelFunction(np.ceil, _same),
    "trunc": PixelFunction(np.trunc, _same),
    "round": PixelFunction(_rounded, _round_type, 1, 2),
    "sin": _number(np.sin, partial=True),
    "cos": _number(np.cos, partial=True),
    "tan": _number(np.tan, partial=True),
    "cot": _number(lambda x: 1 / np.tan(x), partial=True),
    "asin": _number(np.arcsin, partial=True),
    "acos": _number(np.arccos, partial=True),
    "atan": _number(np.arctan),
    "atan2": _number(np.arctan2, args=2),
    "sinh": _number(np.sinh, partial=True),
    "cosh": _number(np.cosh, partial=True),
    "tanh": _number(np.tanh),
    "degrees": _number(np.degrees),
    "radians": _number(np.radians),
    "pi": _number(lambda: np.pi, args=0),
}
"""Name → what it does. `greatest`, `least`, `coalesce`, `nullif` and casts treat NULL in their own way: `pixels.py`."""
OPERATORS = {"+", "-", "*", "/", "//", "%", "&", "|", "~", "<<", ">>"}
"""Those that stand between values, or before one."""
NULL_AWARE: dict[str, tuple[int, int]] = {"greatest": (1, 99), "least": (1, 99), "coalesce": (1, 99), "nullif": (2, 2)}
"""Functions that treat NULL in their own way → their least and most arguments."""
CASTS: dict[str, ValueType] = {
    "BOOLEAN": value_type.TRUTH,
    **{
        name: integers(-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
        for name, size in (("TINYINT", 1), ("SMALLINT", 2), ("INTEGER", 4), ("BIGINT", 8))
    },
    **{
        name: integers(0, 2 ** (8 * size) - 1)
        for name, size in (("UTINYINT", 1), ("USMALLINT", 2), ("UINTEGER", 4), ("UBIGINT", 8))
    },
    "REAL": FRACTIONS,
    "DOUBLE": FRACTIONS,
}
"""Type that a value can be cast to → the values that it has."""


def value_names() -> list[str]:
    """Names of functions that are written as such, for messages."""
    written = {name for name in FUNCTIONS if name not in OPERATORS} - {"negative"}
    return sorted(written | set(NULL_AWARE) | {"if"})
