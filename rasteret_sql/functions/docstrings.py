"""Writes the arguments of Python functions into their docstrings, in the words of their SQL functions."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from rasteret_sql.functions.spec import Function

_WIDTH = 120
_SECTION = re.compile(r"^ *(Args|Returns|Raises|Yields):$")
_IN_PYTHON = " In Python "
"""From here on the words of a shared argument are written by hand: what it takes in Python beside what SQL takes."""


@dataclass(frozen=True, slots=True)
class Twin:
    """The SQL function that does what a function of Python does."""

    function: Function
    own: frozenset[str] = frozenset()
    """Arguments that are of another type in Python, or mean more there: their words are written by hand."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of an argument in Python → its name in SQL, where they differ."""

    def docs(self, parameters: list[str]) -> dict[str, str]:
        """Shared argument → its words, in the order of the parameters."""
        declared = {argument.name: argument.doc for argument in self.function.arguments}
        shared = ((name, self.names.get(name, name)) for name in parameters if name not in self.own)
        return {name: in_python(declared[sql]) for name, sql in shared if sql in declared}


def with_arguments(source: str, twins: Mapping[str, Twin]) -> str:
    """The text of a module in whose docstrings shared arguments have the words of the declarations.

    Args:
        source: The text as it is. Arguments that SQL does not have stay as they are written.
        twins: Name of a function or method → the SQL function that does the same.
    """
    lines = source.splitlines(keepends=True)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and node.name in twins]
    for node in sorted(found, key=lambda one: -one.lineno):
        said = node.body[0]
        assert isinstance(said, ast.Expr)
        start, end = said.lineno - 1, said.end_lineno
        parameters = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        docs = twins[node.name].docs(parameters)
        lines[start:end] = _documented(lines[start:end], docs, parameters, " " * said.col_offset)
    return "".join(lines)


def in_python(doc: str) -> str:
    """Words of a declaration with the constants of Python."""
    return re.sub(r"(?<![a-z] )\b(true|false)(?=[:,}]| \(default\))", lambda word: word[1].title(), doc)


def _documented(lines: list[str], docs: Mapping[str, str], parameters: list[str], indent: str) -> list[str]:
    """The lines of a docstring with the section of its arguments made anew."""
    head, end = f"{indent}Args:\n", f'{indent}"""\n'
    if len(lines) == 1:
        lines = [lines[0].rstrip().removesuffix('"""') + "\n", end]
    sections = [number for number, line in enumerate(lines) if _SECTION.match(line.rstrip())]
    if head in lines:
        start = lines.index(head)
        stop = next((n for n in range(start, len(lines)) if lines[n].strip() in ("", '"""')), len(lines))
        written = _entries(lines[start + 1 : stop], indent)
        before, after = lines[:start], lines[stop:]
    else:
        stop = sections[0] if sections else len(lines) - 1
        written, before, after = {}, lines[:stop], lines[stop:]
        before += ["\n"] if before[-1].strip() else []
        after = ["\n", *after] if sections else after
    for name, doc in docs.items():
        by_hand = written.get(name, "").partition(_IN_PYTHON)[2]
        written[name] = f"{name}: {doc}." + (f"{_IN_PYTHON}{by_hand}" if by_hand else "")
    order = [name for name in parameters if name in written]
    order += [name for name in written if name not in order]  # such as **filters
    return [*before, head, *(line for name in order for line in _filled(written[name], indent)), *after]


def _entries(lines: list[str], indent: str) -> dict[str, str]:
    """Argument → its entry in one line."""
    found: dict[str, str] = {}
    for line in lines:
        if line.startswith(f"{indent}     "):
            last = next(reversed(found))
            found[last] += f" {line.strip()}"
        else:
            found[line.partition(":")[0].strip()] = line.strip()
    return found


def _filled(entry: str, indent: str) -> list[str]:
    within = f"{indent}    "
    text = textwrap.fill(
        entry, _WIDTH, initial_indent=within, subsequent_indent=f"{within}    ", break_on_hyphens=False
    )
    return [f"{line}\n" for line in text.split("\n")]
