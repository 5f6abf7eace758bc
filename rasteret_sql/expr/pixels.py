"""Computes expressions over bands with numpy: in float64, NULL as SQL has it, some thousands of pixels at a time."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.pixel_chunk import Evaluator, Pixels, Valid, Values, finite
from rasteret_sql.expr.pixel_functions import CASTS, FUNCTIONS
from rasteret_sql.expr.pixel_parts import parts, parts_checked_later
from rasteret_sql.expr.tree import (
    And,
    Call,
    Case,
    Column,
    Compare,
    In,
    IsNull,
    Literal,
    Node,
    Not,
    Or,
    columns,
    rebuilt,
)
from rasteret_sql.expr.value_type import FRACTIONS, TRUTH, ValueType, common, integers, type_of_dtype

_CHUNK_BYTES = 1 << 18
"""Bytes of an array of the pixels that are computed at a time: some of them fit into the processor's cache."""
_MOST_PIXELS = 1 << 20
"""Pixels that one thread computes."""
_MOST_THREADS = 8
_EXACT = 2**24
"""Integers up to here are exact in float32."""
_MOST = float(np.finfo(np.float32).max)
_EXACT_FUNCTIONS = {"+", "-", "*", "negative", "abs", "sign"}
"""Functions that give integers of integers."""
_ROUNDED_ONCE = {"+", "-", "*", "/", "sqrt"}
"""Functions of exact float32 whose result in float32 is that of float64, rounded: it has more than twice the digits and
two (S. A. Figueroa, When is double rounding innocuous?, 1995)."""
_OF_ANY_SIGN = {"negative", "abs", "sign"}
"""Functions that give values of float32 of such, with a fraction or not."""
_CHOICES = {"coalesce", "greatest", "least", "nullif"}
"""Functions that give one of their arguments."""


@dataclass(frozen=True, slots=True, eq=False)
class Computation:
    """An expression over bands of known dtypes."""

    node: Node
    dtype: np.dtype
    """Of the result."""
    numbers: np.dtype = field(default_factory=lambda: np.dtype("float64"))
    """In which it is computed: float32 where that gives the same."""

    @classmethod
    def of(cls, node: Node, dtypes: Mapping[str, np.dtype]) -> Computation:
        """Prepare an expression for bands.

        Args:
            node: The expression.
            dtypes: Of each of its bands.

        Raises:
            InvalidArgumentError: An operator on bits has an operand that is no integer.
        """
        types = {name: type_of_dtype(dtype) for name, dtype in dtypes.items()}
        node = _with_types(node, types)
        if isinstance(node, Column):
            return cls(node, dtypes[node.name])
        if isinstance(node, Call) and node.function == "cast DOUBLE":
            return cls(node, np.dtype("float64"))
        singles = frozenset(name for name, dtype in dtypes.items() if dtype.kind == "f" and dtype.itemsize <= 4)
        is_same = _is_same_in_float32(node, types, singles)
        return cls(node, type_of(node, types).dtype, np.dtype("float32" if is_same else "float64"))

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands, each once."""
        return columns(self.node)

    @property
    def is_band(self) -> bool:
        """True where it is a band as it is."""
        return isinstance(self.node, Column)

    def compute(self, bands: Mapping[str, Pixels]) -> Pixels:
        """Compute the expression; of many pixels, on several threads.

        Args:
            bands: Pixels of each band, of one shape, and True where they are valid; None: all are.

        Returns:
            Values of `dtype` in that shape, and where they are valid. Others have any value.
        """
        if isinstance(self.node, Column):
            return bands[self.node.name]
        shape = _shape(bands)
        values = np.empty(math.prod(shape), self.dtype)
        valid = _ValidPixels(len(values))
        is_float = self.dtype.kind == "f"
        checked_later = parts_checked_later(self.node) if is_float else frozenset[int]()

        def take(some: slice, found: Values, ok: Valid) -> None:
            if is_float:
                values[some] = found
                ok = finite(values[some], ok)
            else:
                values[some] = found if ok is None else np.where(ok, found, 0)
            if ok is not None:
                valid.set(some, ok)

        self._run(bands, take, checked_later)
        return values.reshape(shape), None if valid.found is None else valid.found.reshape(shape)

    def true(self, bands: Mapping[str, Pixels]) -> npt.NDArray[np.bool_]:
        """True for pixels of which the expression, a condition, is true: neither false nor NULL."""
        shape = _shape(bands)
        found = np.empty(math.prod(shape), bool)

        def take(some: slice, values: Values, ok: Valid) -> None:
            found[some] = values if ok is None else values & ok

        self._run(bands, take, frozenset(), of_truth=True)
        return found.reshape(shape)

    def _run(
        self,
        bands: Mapping[str, Pixels],
        take: Callable[[slice, Values, Valid], None],
        checked_later: frozenset[int],
        *,
        of_truth: bool = False,
    ) -> None:
        """Compute all pixels, some at a time, and give these to `take`."""
        masks = [ok for _, ok in bands.values()]
        flat = [values.reshape(-1) for values, _ in bands.values()]
        # A mask that several bands have stays one object.
        known = {id(ok): ok.reshape(-1) for ok in masks if ok is not None}
        count, size = math.prod(_shape(bands)), _CHUNK_BYTES // self.numbers.itemsize

        def do(begin: int, end: int) -> None:
            evaluator = Evaluator(
                self.node,
                list(bands),
                [one.dtype for one in flat],
                min(size, end - begin),
                self.numbers,
                checked_later,
                of_truth=of_truth,
            )
            with np.errstate(all="ignore"):
                for first in range(begin, end, size):
                    some = slice(first, min(first + size, end))
                    here = {key: ok[some] for key, ok in known.items()}
                    found = evaluator.compute(
                        [one[some] for one in flat], [None if ok is None else here[id(ok)] for ok in masks]
                    )
                    take(some, *found)
            evaluator.close()

        threads = min(_MOST_THREADS, os.cpu_count() or 1, count // _MOST_PIXELS)
        if threads < 2:
            do(0, count)
            return
        ends = [count * number // threads // size * size for number in range(threads)] + [count]
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(do, ends[:-1], ends[1:]):
                pass


class _ValidPixels:
    """Notes which of so many pixels are valid; several threads may tell."""

    def __init__(self, count: int) -> None:
        self.found: Valid = None
        """None: all of them."""
        self._count = count
        self._lock = threading.Lock()

    def set(self, some: slice, valid: npt.NDArray[np.bool_]) -> None:
        """Take note of some."""
        if np.all(valid):
            return
        with self._lock:
            if self.found is None:
                self.found = np.ones(self._count, bool)
        self.found[some] = valid


def _is_same_in_float32(node: Node, types: Mapping[str, ValueType], singles: frozenset[str]) -> bool:
    """True where an expression, computed in float32, gives what it gives in float64, as float32.

    Args:
        node: The expression.
        types: Of each of its bands.
        singles: Bands of float32, or of less.
    """
    if isinstance(node, Call) and node.function in _ROUNDED_ONCE and not type_of(node, types).is_integer:
        return all(_is_exact_in_float32(one, types, singles) for one in node.arguments)
    if isinstance(node, Case):
        return all(
            _is_exact_in_float32(when, types, singles) and _is_same_in_float32(then, types, singles)
            for when, then in (*node.branches, (Literal(True), node.otherwise))
        )
    return _is_exact_in_float32(node, types, singles)


def _is_exact_in_float32(node: Node, types: Mapping[str, ValueType], singles: frozenset[str]) -> bool:
    """True where the values, and all of which they are computed, are such that float32 holds."""
    match node:
        case Column(name):
            return name in singles or _fits_float32(types[name])
        case Literal(value):
            if not isinstance(value, int | float):
                return value is None
            return abs(value) <= _MOST and float(np.float32(value)) == value
        case In(value, choices):
            return all(_is_exact_in_float32(one, types, singles) for one in (value, *choices))
        case Compare() | IsNull() | Not() | And() | Or() | Case():
            pass
        case Call(function):
            if function not in _OF_ANY_SIGN | _CHOICES and not (
                function in _EXACT_FUNCTIONS and _fits_float32(type_of(node, types))
            ):
                return False
        case _:
            return False
    return all(_is_exact_in_float32(one, types, singles) for one in parts(node))


def _fits_float32(values: ValueType) -> bool:
    """True for integers that are exact in float32."""
    return values.is_integer and max(-values.low, values.high) <= _EXACT


def type_of(node: Node, types: Mapping[str, ValueType]) -> ValueType:
    """The type of an expression's values.

    Args:
        node: The expression.
        types: Of each of its bands.
    """
    match node:
        case Column(name):
            return types[name]
        case Literal(bool()):
            return TRUTH
        case Literal(int() as value):
            return integers(value, value)
        case Literal(None):
            return integers(0, 0)
        case Literal():
            return FRACTIONS
        case In() | IsNull() | Not() | And() | Or() | Compare():
            return TRUTH
        case Case(branches, otherwise):
            return _common([value for _, value in branches] + [otherwise], types)
        case Call("greatest" | "least" | "coalesce", arguments):
            return _common(arguments, types)
        case Call("nullif", arguments):
            return type_of(arguments[0], types)
        case Call(function, arguments):
            if function.startswith("cast "):
                return CASTS[function.removeprefix("cast ")]
            found: ValueType = FUNCTIONS[function].type(*(type_of(one, types) for one in arguments))
            return found
    raise AssertionError(node)


def _common(nodes: Any, types: Mapping[str, ValueType]) -> ValueType:
    """The type of any of some; NULL has none of its own."""
    return common([type_of(one, types) for one in nodes if not (isinstance(one, Literal) and one.value is None)])


def _with_types(node: Node, types: Mapping[str, ValueType]) -> Node:
    """The expression with what depends on the types of bands settled; equal parts stay one object."""
    known: dict[int, Node] = {}

    def settled(one: Node) -> Node:
        if id(one) not in known:
            known[id(one)] = made(one)
        return known[id(one)]

    def made(one: Node) -> Node:
        if not isinstance(one, Call):
            return rebuilt(one, settled)
        given = [type_of(argument, types) for argument in one.arguments]
        if one.function in FUNCTIONS and FUNCTIONS[one.function].of_bits:
            _check_integers(one.function, given)
        if one.function == "//":  # of numbers with a fraction, DuckDB's // divides as / does
            quotient = Call("/", tuple(map(settled, one.arguments)))
            return Call("trunc", (quotient,)) if all(each.is_integer for each in given) else quotient
        return rebuilt(one, settled)

    return settled(node)


def _check_integers(function: str, given: list[ValueType]) -> None:
    if not all(one.is_integer for one in given):
        raise InvalidArgumentError(
            f"{function} works on bits, so on integers, and a value here has a fraction; cast it: CAST(... AS INTEGER)"
        )


def _shape(bands: Mapping[str, Pixels]) -> tuple[int, ...]:
    return next(iter(bands.values()))[0].shape
