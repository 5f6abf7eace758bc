"""Completes and colours what is typed at the prompt, by what DuckDB and the open collections know."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import duckdb
import pyarrow as pa
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from rasteret_sql.cli.commands import COMMANDS
from rasteret_sql.cli.output import FORMATS
from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.functions.spec import Function
from rasteret_sql.products.masks import KINDS
from rasteret_sql.quoting import quote_name
from rasteret_sql.raster.statistic_names import STATS
from rasteret_sql.raster.warp.resampling import RESAMPLINGS

# What is being typed: a word, a quoted identifier, a qualified name, or the beginning of a string.
_WORD = re.compile(r"""(?:[A-Za-z_][\w$]*|"[^"]*"?)?$""")
_QUALIFIED = re.compile(r"""(?:([A-Za-z_][\w$]*|"[^"]*")\.)?(?:[A-Za-z_][\w$]*|"[^"]*"?)?$""")
_AFTER_FROM = re.compile(r"\b(?:from|join|into|update|table|describe|summarize)\s+[\w.\"$]*$", re.IGNORECASE)
_TAKES_COLLECTION = re.compile(r"(?:collection\s*:=\s*|read_\w+\(\s*|rasteret_\w+\(\s*)$", re.IGNORECASE)
_CALLED = re.compile(r"[A-Za-z_]\w*$")
_SAID = re.compile(r"(\w+)\s*(?::=|=>)")
_FIELD = re.compile(r"(?<=\))\.(\w*)$")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")

# Each is one question to DuckDB: kind → SQL giving name (and what it belongs to).
_SOURCES = {
    "keyword": "SELECT keyword_name, '' FROM duckdb_keywords()",
    "function": "SELECT DISTINCT function_name, '' FROM duckdb_functions() "
    "WHERE regexp_matches(function_name, '^[a-z][a-z0-9_]*$') AND function_name NOT LIKE '\\_\\_%' ESCAPE '\\'",
    "raster": "SELECT DISTINCT name, '' FROM rasteret_functions()",
    "collection": "SELECT DISTINCT name, '' FROM rasteret_collections()",
    "table": "SELECT DISTINCT table_name, database_name FROM duckdb_tables() WHERE NOT internal",
    "view": "SELECT DISTINCT view_name, database_name FROM duckdb_views() WHERE NOT internal",
    "column": "SELECT DISTINCT column_name, table_name FROM duckdb_columns() WHERE NOT internal",
    "band": "SELECT DISTINCT unnest(bands), name FROM rasteret_collections()",
    "index": "SELECT DISTINCT name, '' FROM rasteret_indices()",
    "dataset": "SELECT id, '' FROM rasteret_datasets()",
    "database": "SELECT database_name, '' FROM duckdb_databases() WHERE NOT internal",
}
_VALUES: dict[str, tuple[str, ...]] = {
    "stats": STATS,
    "stat": STATS,
    "resampling": RESAMPLINGS,
    "on_error": ("raise", "null"),
    "on_change": ("raise", "refresh"),
    "alpha": ("auto", "always"),
    "mask": KINDS,
}
"""Argument → the texts that it takes."""
_STATIC = {"keyword", "function", "raster", "index", "dataset"}


class Names:
    """Names that can be typed now; asked for again after each statement, and only when somebody presses Tab."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._known: dict[str, list[tuple[str, str]]] = {}

    def refresh(self) -> None:
        """A statement ran: what it made or dropped is to be seen."""
        self._known = {kind: names for kind, names in self._known.items() if kind in _STATIC}

    def of(self, *kinds: str) -> Iterator[tuple[str, str, str]]:
        """(name, what it belongs to, kind) of everything of these kinds."""
        for kind in kinds:
            if kind not in self._known:
                self._known[kind] = self._ask(kind)
            for name, owner in self._known[kind]:
                yield name, owner, kind

    def _ask(self, kind: str) -> list[tuple[str, str]]:
        try:
            with self._connection.cursor() as cursor:
                return [(name, owner) for name, owner in cursor.execute(_SOURCES[kind]).fetchall()]
        except duckdb.Error:
            # In an aborted transaction, say, DuckDB answers nothing: then there is nothing to propose.
            return []


class SqlCompleter(Completer):
    """Proposes keywords, functions with their named arguments, collections, tables and columns."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        """Completions of what stands before the cursor, the likeliest first."""
        before = document.text_before_cursor
        if before.lstrip().startswith("."):
            yield from self._commands(before.lstrip())
            return
        if before.count("'") % 2:
            head, _, word = before.rpartition("'")
            values = list(self._values(head, document.text))
            if not values and _TAKES_COLLECTION.search(head):
                values = list(self._names.of("collection"))
            yield from _matching(word, values, lambda name: name.replace("'", "''"))
            return
        fields = _FIELD.search(before)
        if fields is not None and (called := _function_before(before[: fields.start()])) is not None:
            yield from _matching(fields[1], _fields_of(called), quoted)
            return
        word = (_WORD.search(before) or [""])[0]
        yield from _matching(word, _arguments_at(before[: len(before) - len(word)]), lambda name: f"{name} := ")
        qualified = _QUALIFIED.search(before)
        if qualified is not None and qualified[1]:
            owner = qualified[1].strip('"').lower()
            members = self._names.of("column", "table", "view")
            yield from _matching(word, (m for m in members if m[1].lower() == owner), quoted)
            return
        if _AFTER_FROM.search(before):
            yield from _matching(word, self._relations(), lambda name: name)
            return
        if not word:
            return
        yield from _matching(word, self._names.of("raster", "column"), quoted)
        yield from _matching(word, self._relations(), lambda name: name)
        upper = word.isupper() or not word.islower()
        yield from _matching(word, self._names.of("keyword"), str.upper if upper else str)
        yield from _matching(word, self._names.of("function"), quoted)

    def _values(self, before: str, text: str) -> Iterator[tuple[str, str, str]]:
        """Values of the argument whose text begins after `before`; bands are those of collections in the statement."""
        argument = argument_at(before)
        if argument in _VALUES:
            yield from ((value, "", argument) for value in _VALUES[argument])
        elif argument == "band":
            bands = list(self._names.of("band"))
            lower = text.lower()
            meant = [one for one in bands if one[1] and one[1].lower() in lower]
            yield from meant or bands
            yield from self._names.of("index")
        elif argument in {"collection", "name"}:
            yield from self._names.of("collection")
        elif argument == "dataset":
            yield from self._names.of("dataset")

    def _relations(self) -> Iterator[tuple[str, str, str]]:
        """Tables and views as they are written in a FROM clause; collections under their catalog."""
        for name, owner, kind in self._names.of("view", "table"):
            yield (f"rasteret.{quoted(name)}" if owner == "rasteret" else quoted(name)), owner, kind
        for name, owner, kind in self._names.of("raster", "database"):
            if kind == "database" or name.startswith("rasteret_"):
                yield quoted(name), owner, kind

    def _commands(self, text: str) -> Iterable[Completion]:
        if text.startswith(".mode "):
            options = [(form, "", "format") for form in FORMATS]
            return _matching(text.removeprefix(".mode ").lstrip(), options, str)
        return _matching(text, [(name, "", command.help) for name, command in COMMANDS.items()], str)


def _call_at(before: str) -> tuple[Function | None, str]:
    """The call in which a text ends: the function, None where it is none of ours, and its arguments so far."""
    masked = re.sub(r"'[^']*'", lambda text: "_" * len(text[0]), before)  # a parenthesis in a text opens nothing
    depth = 0
    for place in range(len(masked) - 1, -1, -1):
        depth += (masked[place] in ")]}") - (masked[place] in "([{")
        if depth < 0 and masked[place] == "(":
            return _function_before(masked[:place], opened=True), masked[place + 1 :]
        depth = max(depth, 0)  # a list or STRUCT that is open is a part of the argument
    return None, ""


def _function_before(text: str, *, opened: bool = False) -> Function | None:
    """The function of ours that is called at the end of a text, whose arguments are closed or begin there."""
    if not opened:
        masked = re.sub(r"'[^']*'", lambda one: "_" * len(one[0]), text)
        depth = 0
        for place in range(len(masked) - 1, -1, -1):
            depth += (masked[place] == ")") - (masked[place] == "(")
            if depth == 0:
                text = masked[:place]
                break
    called = _CALLED.search(text)
    return next((one for one in FUNCTIONS if called and one.name == called[0].lower()), None)


def argument_at(before: str) -> str:
    """The name of the argument of a call of ours in which a text ends; empty elsewhere."""
    function, given = _call_at(before)
    if function is None:
        return ""
    parts, depth = [""], 0
    for character in given:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    said = _SAID.match(parts[-1].strip())
    if said:
        return said[1].lower()
    return function.arguments[len(parts) - 1].name if len(parts) <= len(function.arguments) else ""


def _fields_of(function: Function) -> Iterator[tuple[str, str, str]]:
    """Fields of the STRUCT that a function gives."""
    if pa.types.is_struct(function.returns) and not function.table:
        yield from ((field.name, "", str(field.type)) for field in function.returns)


def _arguments_at(before: str) -> Iterator[tuple[str, str, str]]:
    """Named arguments of the call of ours whose argument begins after a text; none elsewhere."""
    if not before.rstrip().endswith(("(", ",")):
        return
    function, given = _call_at(before)
    if sum((one in "([{") - (one in ")]}") for one in given):
        return  # in a list or STRUCT
    said = {name.lower() for name in _SAID.findall(given)}
    for argument in function.arguments if function else ():
        if not argument.required and argument.name not in said:
            yield argument.name, "", "named argument"


def quoted(name: str) -> str:
    """A name as SQL needs it: in double quotes where it is not a plain lower-case word."""
    return name if _PLAIN.match(name) else quote_name(name)


def _matching(word: str, names: Iterable[tuple[str, str, str]], write: Callable[[str], str]) -> Iterator[Completion]:
    """Names that begin with a word, whatever their case; then those that hold it."""
    wanted = word.strip('"').lower()
    seen: set[str] = set()
    later: list[Completion] = []
    for name, _owner, kind in names:
        plain = name.replace('"', "").lower()
        tail = plain.removeprefix("rasteret.")
        if name in seen or wanted not in plain:
            continue
        seen.add(name)
        completion = Completion(write(name), start_position=-len(word), display=name, display_meta=kind)
        if plain.startswith(wanted) or tail.startswith(wanted):
            yield completion
        elif len(wanted) > 2:
            later.append(completion)
    yield from later


_STYLES = {
    duckdb.token_type.keyword: "class:keyword",
    duckdb.token_type.string_const: "class:string",
    duckdb.token_type.numeric_const: "class:number",
    duckdb.token_type.comment: "class:comment",
    duckdb.token_type.operator: "class:operator",
}


class SqlLexer(Lexer):
    """Colours from DuckDB's own tokenizer."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Styled pieces of each line."""
        lines = _coloured(document.text)
        return lambda number: lines[number] if number < len(lines) else []


def _coloured(text: str) -> list[StyleAndTextTuples]:
    data = text.encode()
    try:
        tokens = duckdb.tokenize(text)
    except duckdb.Error:
        tokens = []
    # DuckDB counts bytes and says where a token starts: it reaches to the next one.
    starts = [(0, "")] if not tokens or tokens[0][0] else []
    starts += [(offset, _STYLES.get(kind, "")) for offset, kind in tokens]
    lines: list[StyleAndTextTuples] = [[]]
    for (offset, style), (end, _) in zip(starts, [*starts[1:], (len(data), "")], strict=True):
        first, *others = data[offset:end].decode(errors="replace").split("\n")
        lines[-1].append((style, first))
        lines += [[(style, other)] for other in others]
    return lines
