"""Completes and colours what is typed at the prompt, by what DuckDB and the open collections know."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import duckdb
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from rasteret_sql.cli.commands import COMMANDS
from rasteret_sql.cli.output import FORMATS
from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.quoting import quote_name

# What is being typed: a word, a quoted identifier, a qualified name, or the beginning of a string.
_WORD = re.compile(r"""(?:[A-Za-z_][\w$]*|"[^"]*"?)?$""")
_QUALIFIED = re.compile(r"""(?:([A-Za-z_][\w$]*|"[^"]*")\.)?(?:[A-Za-z_][\w$]*|"[^"]*"?)?$""")
_AFTER_FROM = re.compile(r"\b(?:from|join|into|update|table|describe|summarize)\s+[\w.\"$]*$", re.IGNORECASE)
_COLLECTION_NAME = re.compile(r"""(?:collection\s*:=\s*|read_\w+\(\s*|rasteret_\w+\(\s*)'([^']*)$""", re.IGNORECASE)
_CALLED = re.compile(r"[A-Za-z_]\w*$")
_SAID = re.compile(r"(\w+)\s*(?::=|=>)")
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
    "database": "SELECT database_name, '' FROM duckdb_databases() WHERE NOT internal",
}
_STATIC = {"keyword", "function", "raster"}


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
        inside = _COLLECTION_NAME.search(before)
        if inside is not None:
            yield from _matching(inside[1], self._names.of("collection"), lambda name: name.replace("'", "''"))
            return
        if before.count("'") % 2:
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


def _arguments_at(before: str) -> Iterator[tuple[str, str, str]]:
    """Named arguments of the call of ours whose argument begins after a text; none elsewhere."""
    if not before.rstrip().endswith(("(", ",")):
        return
    before = re.sub(r"'[^']*'", lambda text: "_" * len(text[0]), before)  # a parenthesis in a text opens nothing
    depth = 0
    for place in range(len(before) - 1, -1, -1):
        depth += (before[place] in ")]}") - (before[place] in "([{")
        if depth < 0:
            called = _CALLED.search(before[:place]) if before[place] == "(" else None
            function = next((one for one in FUNCTIONS if called and one.name == called[0].lower()), None)
            said = {name.lower() for name in _SAID.findall(before[place:])}
            for argument in function.arguments if function else ():
                if not argument.required and argument.name not in said:
                    yield argument.name, "", "named argument"
            return


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
