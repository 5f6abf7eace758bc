"""Random expressions over files: equal to numpy, and to what DuckDB makes of the same text over the pixels of bands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import examples

SHAPE = (6, 7)
RNG = np.random.default_rng(13)
FILES = {
    "a": RNG.integers(0, 12, SHAPE).astype("uint8"),  # 0 is nodata
    "b": RNG.integers(0, 60_000, SHAPE).astype("uint16") * (RNG.random(SHAPE) < 0.8),
    "c": RNG.integers(-9_000, 9_000, SHAPE).astype("int16"),
}
FILES["b"] = FILES["b"].astype("uint16")
Values = tuple[np.ndarray, np.ndarray]
"""Numbers, and where there is one."""


class Expression(NamedTuple):
    """An expression in SQL and in numpy."""

    sql: str
    values: Callable[[], Values]
    is_total: bool = True
    """False where DuckDB has an error or an infinite number where a pixel is NULL."""


def number(value: float) -> Expression:
    return Expression(repr(value), lambda: (np.full(SHAPE, float(value)), np.ones(SHAPE, bool)))


BAND = st.sampled_from(sorted(FILES)).map(
    lambda name: Expression(name, lambda: (FILES[name].astype(float), FILES[name] != 0))
)
LEAF = st.one_of(BAND, BAND, st.integers(0, 20).map(number), st.sampled_from([0.5, 2.25]).map(number))


def _each(form: str, work: Callable[..., np.ndarray], has: Callable[..., Any] | None = None) -> Any:
    """An operator that is NULL where a part of it is, and where `has` says that it has no value."""

    def made(*parts: Expression) -> Expression:
        def values() -> Values:
            numbers, valid = zip(*(part.values() for part in parts), strict=True)
            found = np.asarray(work(*numbers), float)
            return found, np.logical_and.reduce(valid) & (True if has is None else has(*numbers)) & np.isfinite(found)

        return Expression(form.format(*(part.sql for part in parts)), values, has is None and _are_total(*parts))

    return made


def _are_total(*parts: Expression) -> bool:
    return all(part.is_total for part in parts)


def _extreme(name: str, work: np.ufunc) -> Any:
    """NULL counts only where all are NULL."""

    def made(one: Expression, other: Expression) -> Expression:
        def values() -> Values:
            (x, has_x), (y, has_y) = one.values(), other.values()
            both = work(x, y)
            return np.where(has_x & has_y, both, np.where(has_x, x, y)), has_x | has_y

        return Expression(f"{name}({one.sql}, {other.sql})", values, _are_total(one, other))

    return made


def coalesce(one: Expression, other: Expression) -> Expression:
    def values() -> Values:
        (x, has_x), (y, has_y) = one.values(), other.values()
        return np.where(has_x, x, y), has_x | has_y

    return Expression(f"coalesce({one.sql}, {other.sql})", values, _are_total(one, other))


def nullif(one: Expression, other: Expression) -> Expression:
    def values() -> Values:
        (x, has_x), (y, has_y) = one.values(), other.values()
        return x, has_x & ~(has_y & (x == y))

    return Expression(f"nullif({one.sql}, {other.sql})", values, _are_total(one, other))


CONDITIONS: dict[str, Callable[..., np.ndarray]] = {
    "{} < {}": lambda x, y: x < y,
    "{} >= {}": lambda x, y: x >= y,
    "{} <> {}": lambda x, y: x != y,
    "NOT ({} = {})": lambda x, y: x != y,
    "{} BETWEEN -50 AND {}": lambda x, y: (x >= -50) & (x <= y),
}


def case(form: str, one: Expression, other: Expression, yes: Expression, no: Expression) -> Expression:
    def values() -> Values:
        (x, has_x), (y, has_y) = one.values(), other.values()
        true = CONDITIONS[form](x, y) & has_x & has_y
        (then, has_then), (otherwise, has_otherwise) = yes.values(), no.values()
        return np.where(true, then, otherwise), np.where(true, has_then, has_otherwise)

    text = f"CASE WHEN {form.format(one.sql, other.sql)} THEN {yes.sql} ELSE {no.sql} END"
    return Expression(text, values, _are_total(one, other, yes, no))


def _bits(form: str, work: Callable[..., np.ndarray]) -> Any:
    return _each(form, lambda x: work(x.astype(np.int64)))


ONE = [
    _each("abs({})", np.abs),
    _each("(- {})", np.negative),
    _each("floor({})", np.floor),
    _each("ceil({})", np.ceil),
    _each("sign({})", np.sign),
    _each("cos({})", np.cos),
    _each("sqrt({})", lambda x: np.sqrt(np.abs(x)), lambda x: x >= 0),
    _each("ln({})", lambda x: np.log(np.where(x > 0, x, 1)), lambda x: x > 0),
    _each("sqrt(abs({}))", lambda x: np.sqrt(np.abs(x))),
    _each("ln(abs({}) + 1)", lambda x: np.log(np.abs(x) + 1)),
]
TWO = [
    _each("({} + {})", np.add),
    _each("({} - {})", np.subtract),
    _each("({} * {})", np.multiply),
    _each("({} / {})", lambda x, y: x / np.where(y == 0, 1, y), lambda _, y: y != 0),
    _each("({} / nullif({}, 0))", lambda x, y: x / np.where(y == 0, np.nan, y)),
    _extreme("greatest", np.maximum),
    _extreme("least", np.minimum),
    coalesce,
    nullif,
]
OF_BAND = [
    _bits("({} & 10)", lambda x: x & 10),
    _bits("({} | 5)", lambda x: x | 5),
    _bits("xor({}, 6)", lambda x: x ^ 6),
    _bits("({} >> 2)", lambda x: x >> 2),
]


def _more(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.builds(lambda make, x: make(x), st.sampled_from(ONE), inner),
        st.builds(lambda make, x, y: make(x, y), st.sampled_from(TWO), inner, inner),
        st.builds(lambda make, x, y: make(x, y), st.sampled_from(TWO), inner, inner),
        st.builds(lambda make, x: make(x), st.sampled_from(OF_BAND), BAND),
        st.builds(case, st.sampled_from(sorted(CONDITIONS)), inner, inner, inner, inner),
    )


EXPRESSIONS = st.recursive(LEAF, _more, max_leaves=10).filter(lambda one: re.search(r"\b[abc]\b", one.sql) is not None)


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bands")
    for name, pixels in FILES.items():
        profile = {"driver": "GTiff", "width": SHAPE[1], "height": SHAPE[0], "count": 1, "dtype": pixels.dtype}
        place = {"crs": "EPSG:32632", "transform": from_origin(600_000, 5_100_000, 10, 10), "nodata": 0}
        with rasterio.open(folder / f"{name}.tif", "w", **profile, **place) as file:
            file.write(pixels, 1)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "s", "links": [],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "geometry": {"type": "Point", "coordinates": [9, 46]}, "bbox": [9, 46, 9, 46],
        "assets": {name: {"href": f"./{name}.tif", "type": "image/tiff"} for name in FILES},
    }  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    with rasteret_sql.connect(workspace_dir=folder / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('w', '{folder}/items.json')").fetchall()
        # Integers as they are stored: the columns of read_pixels are DOUBLE.
        bands = ", ".join(f"CAST({name} AS BIGINT) AS {name}" for name in FILES)
        con.execute(f"CREATE TABLE pixels AS SELECT row, col, {bands} FROM read_pixels(rasteret.w, ['a', 'b', 'c'])")
        yield con


@pytest.mark.hypothesis
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(EXPRESSIONS)
def test_the_same_as_numpy_and_as_duckdb_over_pixels(con: Any, expression: Expression) -> None:
    text = expression.sql
    with np.errstate(all="ignore"):
        numbers, there = expression.values()
    right = [n if ok else None for n, ok in zip(numbers.ravel().tolist(), there.ravel().tolist(), strict=True)]
    read = "SELECT v FROM read_pixels(rasteret.w, {'v': $1}) ORDER BY row, col"
    ours = [row[0] for row in con.execute(read, [text]).fetchall()]
    theirs = right
    if expression.is_total:
        sql = f"SELECT TRY(CAST(({text}) AS DOUBLE)) FROM pixels ORDER BY row, col"
        theirs = [row[0] for row in con.execute(sql).fetchall()]
    assert len(ours) == len(theirs) == len(right) == numbers.size
    for mine, of_numpy, of_duckdb in zip(ours, right, theirs, strict=True):
        if of_numpy is not None and abs(of_numpy) > 1e30:  # more than float32 may hold
            continue
        assert mine == (None if of_numpy is None else pytest.approx(of_numpy, rel=1e-5, abs=1e-5)), text
        is_too_large = of_duckdb is None and "*" in text  # for integers of 64 bits; pixels are computed as floats
        if not is_too_large:
            assert mine == (None if of_duckdb is None else pytest.approx(of_duckdb, rel=1e-5, abs=1e-5)), text
