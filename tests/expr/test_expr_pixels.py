"""Expressions over bands: the same numbers as DuckDB's own for the same text, NULL where there is no number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr import pixels
from rasteret_sql.expr.band_expression import parse_band_expression
from rasteret_sql.expr.pixels import Computation
from tests.sampling import examples

BANDS: dict[str, tuple[np.ndarray, np.ndarray | None]] = {
    "a": (
        np.array([0, 1, 2, 3, 4, 100, 255, 7, 12, 60], np.uint8),
        np.array([1, 1, 1, 1, 1, 1, 1, 0, 1, 1], bool),
    ),
    "b": (np.array([5, 0, 9000, 65535, 4, 100, 255, 7, 12, 1], np.uint16), None),
    "c": (
        np.array([-5, 0, 9000, -32768, 32767, 100, -255, 7, -12, 1], np.int16),
        np.array([1, 0, 1, 1, 1, 1, 1, 0, 1, 1], bool),
    ),
    "d": (np.array([-0.5, 0, 0.25, 1e6, -3.75, 0.1, 2.5, 7, -1.5, np.nan], np.float32), None),
}
TYPES = {"a": "UTINYINT", "b": "USMALLINT", "c": "SMALLINT", "d": "FLOAT"}


def computed(text: str) -> tuple[np.ndarray, list[Any]]:
    """The result's array, and its values with None for NULL."""
    expression = parse_band_expression(text)
    used = {name: BANDS[name] for name in expression.bands}
    made = Computation.of(expression.node, {name: values.dtype for name, (values, _) in used.items()})
    values, valid = made.compute(used)
    there = np.ones(len(values), bool) if valid is None else valid
    return values, [value if ok else None for value, ok in zip(values.tolist(), there.tolist(), strict=True)]


@pytest.fixture(scope="module")
def con() -> Any:
    con = duckdb.connect()
    con.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})")
    rows = [
        [None if (ok is not None and not ok[at]) or values[at] != values[at] else values[at].item()
         for values, ok in BANDS.values()]
        for at in range(10)
    ]  # fmt: skip
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    # In the widest types: DuckDB's own would overflow where ours compute in float64.
    con.execute("CREATE VIEW wide AS SELECT a::BIGINT AS a, b::BIGINT AS b, c::BIGINT AS c, d::DOUBLE AS d FROM t")
    return con


NUMBERS = st.one_of(
    st.sampled_from(list(BANDS)),
    st.integers(0, 300).map(str),
    st.sampled_from(["0.5e0", "2.5e0", "1e2", "1e-3", "NULL"]),
)


def _extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def made(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda given: form.format(*given))

    whole = inner.map(lambda text: f"TRY_CAST(TRY_CAST(({text}) AS INTEGER) % 1000 AS INTEGER)")
    condition = st.one_of(
        st.tuples(inner, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), inner).map(lambda s: f"({' '.join(s)})"),
        made("({}) BETWEEN {} AND 200", inner, inner),
        made("(({}) IN (1, 2, 100, {}))", inner, st.sampled_from(["3", "NULL", "0.5e0"])),
        made("(({}) IS NULL)", inner),
        made("(({}) IS NOT NULL)", inner),
    )
    truth = st.one_of(
        condition,
        made("({} AND {})", condition, condition),
        made("({} OR {})", condition, condition),
        made("(NOT {})", condition),
    )
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda s: f"({' '.join(s)})"),
        st.tuples(inner, st.sampled_from(["+ 3 *", "- 2 *", "* 2 -"]), inner).map(" ".join).map("({})".format),
        made("({} / nullif({}, 0))", inner, inner),
        made("({} // nullif({}, 0))", whole, whole),
        made("({} % nullif({}, 0))", whole, whole),
        made("({} & {})", whole, whole),
        made("({} | {})", whole, whole),
        made("xor({}, {})", whole, whole),
        made("(- {})", inner),
        made("abs({})", inner),
        made("sqrt(abs({}))", inner),
        made("ln(abs({}) + 1)", inner),
        made("floor({})", inner),
        made("ceil({})", inner),
        made("round({})", inner),
        made("sign({})", inner),
        made("sin({})", inner),
        made("greatest({}, {})", inner, inner),
        made("least({}, {}, 7)", inner, inner),
        made("coalesce({}, {})", inner, inner),
        made("nullif({}, {})", inner, inner),
        made("CASE WHEN {} THEN {} ELSE {} END", truth, inner, inner),
        made("CASE WHEN {} THEN {} WHEN {} THEN 5 END", truth, inner, truth),
        made("if({}, {}, {})", truth, inner, inner),
        truth.map(lambda text: f"CAST({text} AS INTEGER)"),
    )


EXPRESSIONS = st.recursive(NUMBERS, _extended, max_leaves=8).filter(
    lambda text: text not in BANDS and any(name in parts_of(text) for name in BANDS)
)


def parts_of(text: str) -> list[str]:
    """Words of a text."""
    return "".join(one if one.isalnum() else " " for one in text).split()


@pytest.mark.hypothesis
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
@given(EXPRESSIONS)
def test_the_same_numbers_as_duckdb(con: Any, text: str) -> None:
    right = [row for (row,) in con.execute(f"SELECT TRY(({text})::DOUBLE) FROM wide").fetchall()]
    values, found = computed(text)
    assert len(found) == len(right) == 10
    for mine, theirs in zip(found, right, strict=True):
        if theirs is None or not np.isfinite(theirs) or abs(theirs) > 1e30:
            assert mine is None or (theirs is not None and abs(theirs) > 1e30), text
        else:
            assert mine is not None, text
            assert mine == pytest.approx(theirs, rel=1e-5 if values.dtype == np.float32 else 1e-9, abs=1e-5), text


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a / b", [0, None, 2 / 9000, 3 / 65535, 1, 1, 1, None, 1, 60]),
        ("1 / (1 / a)", [None, 1, 2, 3, 4, 100, 255, None, 12, 60]),
        ("a % 0", [None] * 10),
        ("a // 0", [None] * 10),
        ("7 // c", [-1, None, 0, 0, 0, 0, 0, None, 0, 7]),
        ("ln(c)", [None, None, np.log(9000), None, np.log(32767), np.log(100), None, None, None, 0]),
        ("sqrt(d)", [None, 0, 0.5, 1000, None, np.sqrt(0.1), np.sqrt(2.5), np.sqrt(7), None, None]),
        ("log(b)", [np.log10(5), None, *np.log10([9000, 65535, 4, 100, 255, 7, 12, 1])]),
        ("exp(b)", [np.exp(5), 1, None, None, np.exp(4), None, None, np.exp(7), np.exp(12), np.exp(1)]),
        ("pow(c, 0.5)", [None, None, np.sqrt(9000), None, np.sqrt(32767), 10, None, None, None, 1]),
        ("coalesce(d, -1)", [-0.5, 0, 0.25, 1e6, -3.75, 0.1, 2.5, 7, -1.5, -1]),
        ("asin(a)", [0, np.pi / 2, None, None, None, None, None, None, None, None]),
    ],
)
def test_null_where_there_is_no_number(text: str, right: list[float | None]) -> None:
    _, found = computed(text)
    assert [one is None for one in found] == [one is None for one in right]
    assert [one for one in found if one is not None] == pytest.approx([one for one in right if one is not None], 1e-6)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("a", "uint8"),
        ("d", "float32"),
        ("a + 1", "uint16"),
        ("a - b", "int32"),
        ("b * b", "uint32"),
        ("b * b * b", "int64"),
        ("b * b * b * b", "float64"),
        ("b * 1.0", "float32"),
        ("a / b", "float32"),
        ("CASE WHEN a IN (4, 5) THEN b END", "uint16"),
        ("b & 8", "uint8"),
        ("c & 8", "uint8"),
        ("a << 3", "uint16"),
        ("qa_bits(b, 8, 9)", "uint8"),
        ("a > 5", "uint8"),
        ("abs(c)", "uint16"),
        ("-a", "int16"),
        ("sign(d)", "int8"),
        ("round(d)", "float32"),
        ("round(d)::SMALLINT", "int16"),
        ("CAST(a AS DOUBLE)", "float64"),
        ("coalesce(a, 300)", "uint16"),
        ("nullif(a, 0)", "uint8"),
    ],
)
def test_dtype_of_the_result(text: str, dtype: str) -> None:
    assert computed(text)[0].dtype == np.dtype(dtype)


def test_integers_do_not_wrap() -> None:
    assert computed("a + b")[1][3] == 65538
    assert computed("c - 1")[1][3] == -32769
    assert computed("b * b")[1][3] == 65535**2
    assert computed("-c")[1][3] == 32768


def test_bits() -> None:
    values = {"q": (np.array([21824, 22280, 1, 23888, 30048, 54596], np.uint16), None)}
    expression = parse_band_expression("qa_bits(q, 8, 9)")
    found, _ = Computation.of(expression.node, {"q": np.dtype("uint16")}).compute(values)
    assert found.tolist() == [(value >> 8) & 3 for value in (21824, 22280, 1, 23888, 30048, 54596)]


def test_condition_that_is_null_is_not_true() -> None:
    expression = parse_band_expression("a > 3 OR b > 60000", "mask")
    used = {name: BANDS[name] for name in expression.bands}
    made = Computation.of(expression.node, {name: values.dtype for name, (values, _) in used.items()})
    assert made.true(used).tolist() == [False, False, False, True, True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("1 + 2", "names no band"),
        ("a +", "cannot be read as SQL"),
        ("a; b", "holds a ;"),
        ("(SELECT 1)", "a subquery"),
        ("sum(a)", "aggregates have no place"),
        ("sqr(a)", "there is no function sqr: did you mean"),
        ("a + 'x'", "in double quotes"),
        ("a LIKE 'x'", "not a text"),
        ("a IN ('x')", "not a text"),
        ("sqrt(a, b)", "cannot be read as SQL"),
        ("qa_bits(a, 1)", "takes 3 argument(s), not 2"),
        ("qa_bits(a, 3, 1)", "first and last bit"),
        ("qa_bits(a, b, 1)", "first and last bit"),
        ("CAST(a AS VARCHAR)", "cannot be cast to TEXT"),
        ("a.b", "in quotes"),
        ("a IS DISTINCT FROM b", "IS NULL"),
        ("+".join(["a"] * 6000), "characters long"),
        ("(" * 300 + "a" + ")" * 300, "nested too deep"),
        ("a || b", "(at character 1)"),
        ("1 + sum(abs(a))", "(at character 5); it is computed for each pixel"),
        ("a * Rand()", "(at character 5); there is no function rand: "),
        ("a + random()", "(at character 5); there is no function random: "),
        ("abs(a) + sqroot(a)", "(at character 10); there is no function sqroot: did you mean"),
        ("b + 'x'", "(at character 5); a band stands without quotes"),
        ("a + CAST(b AS VARCHAR)", "(at character 5); a pixel cannot be cast to TEXT: "),
        ("CAST(a AS INTEGR)", 'a pixel cannot be cast to INTEGR: did you mean "INTEGER"? Known: BOOLEAN'),
        ("1 + row_number() OVER ()", "at character"),
        ("a & 0x04", "numbers are decimal, as in DuckDB: 0x04 is written 4"),
        ("(a & 0B110) = 6", "numbers are decimal, as in DuckDB: 0B110 is written 6"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        parse_band_expression(text)
    assert message in str(error.value)


def test_bits_of_a_fraction_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="works on bits"):
        computed("d & 1")


def test_many_pixels_as_few() -> None:
    """Pixels are computed some at a time; the borders do not show."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 10, (300, 217)).astype(np.uint8), rng.random((300, 217)) < 0.9
    expression = parse_band_expression("CASE WHEN a > 4 THEN 1.0 / (a - 7) END")
    made = Computation.of(expression.node, {"a": np.dtype("uint8")})
    found, valid = made.compute({"a": values})
    right = values[1] & (values[0] > 4) & (values[0] != 7)
    assert valid is not None
    assert np.array_equal(valid, right)
    assert np.allclose(found[right], 1 / (values[0][right].astype(float) - 7))


@pytest.mark.parametrize("text", ["(a - b) / (a + b)", "a / (b - 3)", "sqrt(a)", "a * 300 - b", "abs(a - b)"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_integers_in_float32_as_in_float64(text: str, dtype: str) -> None:
    """To the last bit, where it is said to be so: every pair of some, with the ends of what there is."""
    info = np.iinfo(dtype)
    some = np.unique(np.r_[info.min, info.min + 1, -1, 0, 1, 3, 7, 100, 255, info.max - 1, info.max].clip(info.min))
    some = np.concatenate([some, np.random.default_rng(2).integers(info.min, info.max, 300)]).astype(dtype)
    pairs = {name: (one.ravel(), None) for name, one in zip("ab", np.meshgrid(some, some), strict=True)}
    expression = parse_band_expression(text)
    used = {name: pairs[name] for name in expression.bands}
    single = Computation.of(expression.node, {name: np.dtype(dtype) for name in used})
    values, valid = single.compute(used)
    right, right_valid = replace(single, numbers=np.dtype("float64")).compute(used)
    assert single.numbers == ("float64" if text.startswith("a * 300") and dtype == "uint16" else "float32")
    assert values.dtype == right.dtype
    np.testing.assert_array_equal(valid, right_valid)
    at = slice(None) if valid is None else valid
    assert values[at].tobytes() == right[at].tobytes()


SINGLES = np.array(
    [
        0,
        -0.0,
        1,
        -1,
        0.1,
        0.5,
        1 / 3,
        3,
        16777217,
        1e-45,
        1.2e-38,
        -7e-39,
        3.4e38,
        -3.4e38,
        1e20,
        np.inf,
        -np.inf,
        np.nan,
    ],
    np.float32,
)


@pytest.mark.parametrize(
    "text",
    [
        *("d + e", "d - e", "d * e", "d / e", "d / a", "0.5 / b", "d * 0.25", "sqrt(d)", "abs(d)", "-d", "sign(d)"),
        *(
            "CASE WHEN d > 0.5 THEN e ELSE a END",
            "CASE WHEN d IN (0.5, 3) AND e < d THEN e / d WHEN a = 3 THEN d * e END",
        ),
        *("coalesce(nullif(d, e), 2)", "greatest(d, e, 1)", "least(d, a)", "CASE WHEN d IS NULL THEN 1 ELSE 0 END"),
        *("d > e", "NOT (d <= e OR a = 7)", "d BETWEEN e AND 3"),
    ],
)
def test_numbers_of_float32_in_float32_as_in_float64(text: str) -> None:
    """Where they are only chosen and compared, or a result is rounded once; also at the ends of what float32 has."""
    rng = np.random.default_rng(4)
    near = rng.random(200, dtype=np.float32) * np.float32(2) ** rng.integers(-149, 127, 200).astype(np.float32)
    some = np.concatenate([SINGLES, near * rng.choice([-1, 1], 200).astype(np.float32)])
    d, e = (one.ravel() for one in np.meshgrid(some, some))
    bands = {
        "d": d,
        "e": e,
        "a": rng.integers(0, 256, d.size).astype(np.uint8),
        "b": np.arange(d.size, dtype=np.uint16),
    }
    expression = parse_band_expression(text)
    used = {name: (bands[name], None) for name in expression.bands}
    single = Computation.of(expression.node, {name: bands[name].dtype for name in used})
    assert single.numbers == "float32"
    values, valid = single.compute(used)
    right, right_valid = replace(single, numbers=np.dtype("float64")).compute(used)
    assert values.dtype == right.dtype
    np.testing.assert_array_equal(valid, right_valid)
    at = slice(None) if valid is None else valid
    np.testing.assert_array_equal(values[at], right[at])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a / 3 + d",
            "(a - 7.5) * 3 + d",
            "a * 100000",
            "a / b / b",
            "0.1 / b",
            "d * 0.1",
            "(d + e) / 2",
            "sqrt(d * d)",
        ),
        *("CASE WHEN d > 0.1 THEN e ELSE a END", "d IN (0.1)", "CASE WHEN d + e > 1 THEN d END", "ln(d)", "abs(d + e)"),
    ],
)
def test_what_is_rounded_more_than_once_is_computed_in_float64(text: str) -> None:
    expression = parse_band_expression(text)
    dtypes = {name: np.dtype("float32" if name in "de" else "uint16") for name in expression.bands}
    assert Computation.of(expression.node, dtypes).numbers == "float64"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", ["-1.7976931348623157e308", "1e39", "1" + "0" * 40])
def test_numbers_beyond_float32_are_no_warning(number: str) -> None:
    expression = parse_band_expression(f"CASE WHEN d > {number} OR d IN ({number}) THEN d END")
    assert Computation.of(expression.node, {"d": np.dtype("float32")}).numbers == "float64"


def test_threads_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pixels of one thread alone are NULL."""
    rng = np.random.default_rng(3)
    values = rng.random((500, 401)).astype(np.float32)
    values[-1, -5:] = 0
    expression = parse_band_expression("CASE WHEN d > 0.5 THEN 1 / d ELSE d END + 1 / d")
    made = Computation.of(expression.node, {"d": values.dtype})
    one, one_valid = made.compute({"d": (values, None)})
    monkeypatch.setattr(pixels, "_MOST_PIXELS", 60_000)
    monkeypatch.setattr(pixels, "_CHUNK_BYTES", 1 << 15)
    monkeypatch.setattr(pixels.os, "cpu_count", lambda: 3)
    several, several_valid = made.compute({"d": (values, None)})
    assert one_valid is not None
    assert (~one_valid).sum() == 5
    np.testing.assert_array_equal(one_valid, several_valid)
    np.testing.assert_array_equal(one[one_valid], several[one_valid])


def test_a_part_that_recurs_is_computed_though_it_was_left_out_before() -> None:
    """coalesce leaves its second argument out where the first is never NULL, in one chunk and not in another."""
    count = 200_000
    values = np.arange(count, dtype=np.float64) % 97 + 1
    valid = np.arange(count) >= 150_000
    expression = parse_band_expression("coalesce(d, sqrt(e * 3 + 1)) + (e - 2) * (sqrt(e * 3 + 1) - e / 7)")
    made = Computation.of(expression.node, {"d": values.dtype, "e": values.dtype})
    for mask in (valid, ~valid):
        found, known = made.compute({"d": (values, mask), "e": (values[::-1].copy(), None)})
        other = values[::-1]
        root = np.sqrt(other * 3 + 1)
        right = np.where(mask, values, root) + (other - 2) * (root - other / 7)
        assert known is None
        np.testing.assert_array_equal(found, right.astype(np.float32))
