"""Shows relations in notebooks: chips as pictures, geometries as short WKT, errors once."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError
from rasteret_sql.quoting import quote_name
from rasteret_sql.raster.chip_picture import draw_small
from rasteret_sql.reading.chip_column import Chip, chips_of
from rasteret_sql.result_types import CHIP, is_chip_type

ROWS = 20
"""Rows that are shown."""
PICTURE = 200
"""Most pixels of a picture's longer side."""
_SMALL = 100
"""Smaller pictures are enlarged up to about this size, each pixel a square."""
_IN_A_LIST = 5
"""Chips of a list that are shown."""
_TEXT = 60
"""Characters of a value that are shown."""
_GREY = ' style="color:#888"'

Bundle = dict[str, str]


class _Relation(Protocol):
    """A relation of DuckDB, whose class has another module in each version."""

    columns: list[str]
    types: list[Any]

    def limit(self, max_rows: int) -> _Relation: ...
    def project(self, projection: str) -> _Relation: ...
    def to_arrow_table(self) -> pa.Table: ...


class Shown:
    """A relation as a notebook shows it. Its rows are computed once, when they are first shown."""

    def __init__(self, relation: _Relation, rows: int = ROWS) -> None:
        self._relation = relation
        self._rows = rows
        self._kinds = [str(kind) for kind in relation.types]

    @cached_property
    def _table(self) -> pa.Table:
        wanted = ", ".join(f"{shown_sql(n, kind)} AS c{n}" for n, kind in enumerate(self._kinds, 1))
        return self._relation.limit(self._rows).project(wanted).to_arrow_table()

    @cached_property
    def _columns(self) -> list[list[Any]]:
        """The values of each column: chips, else texts."""
        return [_values(column, kind) for column, kind in zip(self._table.columns, self._kinds, strict=True)]

    def bundle(self) -> Bundle:
        """Both forms."""
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:  # noqa: ARG002 - as IPython asks
        return _or_error(self.bundle)

    def _repr_html_(self) -> str:
        heads = "".join(
            f"<th>{html.escape(name)}<br><small{_GREY}>{html.escape(kind_name(kind))}</small></th>"
            for name, kind in zip(self._relation.columns, self._kinds, strict=True)
        )
        cells = [[_cell(value) for value in column] for column in self._columns]
        lines = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>{self._note(html=True)}"

    def __repr__(self) -> str:
        texts = [[text_of(value) for value in column] for column in self._columns]
        names = [f"c{n}" for n in range(1, len(texts) + 1)]
        with duckdb.connect() as con:
            table = con.from_arrow(pa.table([pa.array(column, pa.string()) for column in texts], names=names))
            shown = ", ".join(
                f"{name} AS {quote_name(column)}" for name, column in zip(names, self._relation.columns, strict=True)
            )
            return f"{table.project(shown)}{self._note(html=False)}"

    def _note(self, *, html: bool) -> str:
        if self._table.num_rows < self._rows:
            return ""
        text = f"{self._rows} rows are shown; show(relation, rows={self._rows * 5}) shows more"
        return f"<small{_GREY}>{text}</small>" if html else f"{text}\n"


class Picture:
    """A chip as a notebook shows it."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip

    def _repr_png_(self) -> bytes:
        return draw(self._chip)

    def __repr__(self) -> str:
        return _words(self._chip)


def show(what: Any, rows: int = ROWS) -> Shown | Picture:
    """Show a relation with its chips as pictures, or one chip, as the last line of a cell.

    Args:
        what: a relation, such as `con.sql(...)` gives, or a CHIP, as a fetched row has it.
        rows: most rows of a relation that are shown. No others are computed.

    Returns:
        An object that a notebook displays: a table in which CHIP columns are pictures of at most 200 pixels and
        GEOMETRY columns are short WKT, or the picture of the chip.

    Raises:
        TypeError: it is neither.
        ValueError: `rows` is no number of rows, or the chip is NULL.
    """
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise InvalidArgumentError(f"rows={rows!r} cannot be used; expected a number of rows, 1 or more")
    if isinstance(what, Mapping | pa.StructScalar):
        return Picture(_one_chip(what))
    if not all(hasattr(what, name) for name in ("project", "limit", "types", "columns")):
        raise ArgumentTypeError(
            f"show takes a relation, such as con.sql('...') gives, or a chip of a fetched row; not {_class_name(what)}"
        )
    return Shown(what, rows)


def _class_name(what: Any) -> str:
    name = type(what).__name__
    return f"{name}: write con.sql(...) in place of con.execute(...)" if "Connection" in name else name


def _one_chip(chip: Mapping[str, Any] | pa.StructScalar) -> Chip:
    values = chip.as_py() if isinstance(chip, pa.StructScalar) else chip
    lacking = [field.name for field in CHIP if field.name not in (values or {})]
    if values is None or lacking:
        given = "it is NULL" if values is None else f"it lacks {', '.join(lacking)}"
        raise InvalidArgumentError(f"not a CHIP: {given}; expected a value of read_chip")
    plain = {
        name: bytes(value) if isinstance(value, bytearray | memoryview) else value for name, value in values.items()
    }
    (found,) = chips_of(pa.array([plain], CHIP))
    if found is None:
        raise InvalidArgumentError("the chip is NULL; expected a value of read_chip")
    return found


def draw(chip: Chip) -> bytes:
    """Draw a chip as a PNG of at most 200 pixels a side."""
    return draw_small(chip.data, chip.valid, PICTURE)


def bundle_of(relation: Any, include: Any = None, exclude: Any = None) -> Bundle:
    """A relation as IPython's mimebundle formatter wants it."""

    def made() -> Bundle:
        if any(_is_special(str(kind)) for kind in relation.types):
            return Shown(relation).bundle()
        own = getattr(relation, "_repr_mimebundle_", None)  # DuckDB 2.0 has a table in HTML
        found: Bundle | None = own(include=include, exclude=exclude) if own else None
        return found or {"text/plain": str(relation)}

    return _or_error(made)


def _or_error(made: Callable[[], Bundle]) -> Bundle:
    """The bundle that is made, or its error as text, which IPython would say for each form."""
    try:
        return made()
    except Exception as error:  # noqa: BLE001 - shown
        text = said_error(error)
        return {"text/plain": text, "text/html": f'<pre style="color:#c00">{html.escape(text)}</pre>'}


def said_error(error: Exception) -> str:
    """The message of an error; what our functions raise without what DuckDB puts around it, in 1.5 frames of ours."""
    text = str(error).split("\n\nAt:\n", maxsplit=1)[0]
    _, found, own = text.rpartition("exception occurred while executing the UDF: ")
    return own if found else f"{type(error).__name__}: {text}"


def _is_special(kind: str) -> bool:
    """True for types of which DuckDB would print bytes, also inside of others, and for geometries."""
    return "BLOB" in kind or "GEOMETRY" in kind


def _values(column: pa.ChunkedArray, kind: str) -> list[Any]:
    if is_chip_type(kind):
        return chip_column(column)
    return chip_lists(column) if is_chip_list(kind) else column.to_pylist()


def is_chip_list(kind: str) -> bool:
    """True for a type of lists of chips."""
    return kind.endswith("[]") and is_chip_type(kind[:-2])


def shown_sql(position: int, kind: str) -> str:
    """The SQL of a column as it is shown: by position, since names may come twice."""
    value = f"#{position}"
    if is_chip_type(kind):
        return value
    if is_chip_list(kind):
        return f"{value}[1:{_IN_A_LIST}]"
    if kind == "BLOB":
        return f"format('BLOB of {{:,}} bytes', octet_length({value}))"
    text = (
        f"ST_AsText({value})" if kind.startswith("GEOMETRY") and not kind.endswith("]") else f"CAST({value} AS VARCHAR)"
    )
    return f"CASE WHEN length({text}) > {_TEXT} THEN left({text}, {_TEXT - 1}) || '…' ELSE {text} END"


def kind_name(kind: str) -> str:
    """A type as it is shown: a short one."""
    if is_chip_type(kind):
        return "CHIP"
    if is_chip_list(kind):
        return "CHIP[]"
    return kind if len(kind) <= _TEXT else kind[: _TEXT - 1] + "…"


def chip_column(column: pa.ChunkedArray) -> list[Chip | None]:
    """The chips of a column."""
    array = column.combine_chunks()
    chunks: Sequence[pa.Array] = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return [chip for chunk in chunks for chip in chips_of(chunk.cast(CHIP))]


def chip_lists(column: pa.ChunkedArray) -> list[list[Chip | None] | None]:
    """The chips of each list."""
    return [
        chips_of(scalar.values.cast(CHIP)) if scalar.is_valid else None for chunk in column.chunks for scalar in chunk
    ]


def _words(chip: Chip) -> str:
    shape = "×".join(map(str, chip.data.shape))
    return " ".join(filter(None, ["chip", shape, chip.data.dtype.name, chip.crs]))


def text_of(value: Any) -> str | None:
    """A value in words: a chip, a list of chips, or a text."""
    if isinstance(value, list):
        return ", ".join(text_of(one) or "NULL" for one in value)
    return _words(value) if isinstance(value, Chip) else value


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"<td>{' '.join(_image(one) for one in value)}</td>"
    if isinstance(value, str):
        return f'<td style="text-align:left">{html.escape(value)}</td>'
    return f"<td>{_image(value)}</td>"


def _image(chip: Chip | None) -> str:
    """A chip as an element of HTML."""
    if chip is None:
        return f"<i{_GREY}>NULL</i>"
    height, width = chip.data.shape[1:]
    if not height or not width:
        return html.escape(_words(chip))
    longest = max(height, width)
    scale = max(1, _SMALL // longest) if longest <= PICTURE else PICTURE / longest
    data = base64.b64encode(draw(chip)).decode()
    title = html.escape(_words(chip), quote=True)
    return (
        f'<img src="data:image/png;base64,{data}" title="{title}" alt="{title}" width="{max(1, round(width * scale))}" '
        f'height="{max(1, round(height * scale))}" style="image-rendering:pixelated">'
    )
