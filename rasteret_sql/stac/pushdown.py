"""Decides which part of a condition a server is asked: by what its landing page conforms to, never more than it can.

What is sent may be weaker than the condition, never stronger: all items are tested here afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rasteret_sql.expr.instant import as_instant, rfc_3339
from rasteret_sql.expr.tree import (
    And,
    Column,
    Compare,
    Contains,
    In,
    IsNull,
    Like,
    Literal,
    Node,
    Not,
    Or,
    conjunction,
    conjuncts,
    disjunction,
)
from rasteret_sql.stac import cql2
from rasteret_sql.stac.query import COMPARISONS, Query

_NAMES = {op: name for name, op in COMPARISONS.items()}
_SLACK = timedelta(seconds=1)
"""Servers without types compare times as texts, where `12:00:00.000Z` comes before `12:00:00Z`."""


@dataclass(frozen=True, slots=True)
class Conformance:
    """The abilities of a server's item search, as its landing page says them."""

    query: bool = False
    """The query extension."""
    cql2_json: bool = False
    """The filter extension with Basic CQL2, in JSON."""
    cql2_text: bool = False
    """The same in text."""
    advanced: bool = False
    """IN and LIKE in CQL2."""
    ignores_case: bool = False
    """CASEI in CQL2."""
    compares_properties: bool = False
    """Comparisons of one property with another in CQL2."""

    @classmethod
    def of(cls, landing: Mapping[str, Any]) -> Conformance:
        """Read `conformsTo` of a landing page. Versions are not compared: classes kept their meaning."""
        classes = landing.get("conformsTo")
        if not isinstance(classes, list):
            # Servers before STAC API 1.0 declare nothing; nearly all of them knew the query extension.
            return cls(query=True)
        ends = tuple(one for one in classes if isinstance(one, str))

        def has(end: str) -> bool:
            return any(one.endswith(end) for one in ends)

        takes_filter = has("item-search#filter") and has("/conf/basic-cql2")
        return cls(
            query=has("item-search#query"),
            cql2_json=takes_filter and has("/conf/cql2-json"),
            cql2_text=takes_filter and has("/conf/cql2-text"),
            advanced=has("/conf/advanced-comparison-operators"),
            ignores_case=has("/conf/case-insensitive-comparison"),
            compares_properties=has("/conf/property-property"),
        )


def search_parameters(condition: Node | None, server: Conformance, method: str) -> list[dict[str, Any]]:
    """Members of a search's body, or parameters of its URL, that carry the condition or what of it can be sent.

    A plain conjunction of comparisons goes in `query` where the server knows it, all else in `filter`; nothing where it
    knows neither. A server without `filter` is asked `in`, `startsWith` and the like in `query`.

    Args:
        condition: What items have to meet.
        server: What the server takes.
        method: `GET` or `POST`.

    Returns:
        One or more, to be tried in turn while the server refuses them: some that declare the query extension take its
        comparisons only, some take nothing of what they declare. The last asks for nothing.
    """
    offers = [] if condition is None else _offers(condition, server, method)
    return [*(one for one in offers if one), {}]


def is_declared(parameters: Mapping[str, Any]) -> bool:
    """True where a server that declares what it was asked by takes these parameters of a search, as all of them say.

    Not all servers that declare the query extension know more than its comparisons.
    """
    query = parameters.get("query") or {}
    query = json.loads(query) if isinstance(query, str) else query
    comparisons = all(COMPARISONS.keys() >= operators.keys() for operators in query.values())
    return "filter" in parameters or (bool(query) and comparisons)


def _offers(condition: Node, server: Conformance, method: str) -> list[dict[str, Any]]:
    """As `search_parameters`, without the last."""
    query, is_whole = _query(condition, is_rich=False) if server.query else ({}, False)
    if is_whole:
        return [{"query": query}]
    comparisons: dict[str, Any] = {"query": query} if query else {}
    takes_text = server.cql2_text and method == "GET"
    if server.cql2_json or takes_text:
        weaker = weakened(condition, lambda term: _in_cql2(term, server))
        if weaker is None:
            return [comparisons]
        if takes_text:
            return [{"filter": cql2.to_text(weaker), "filter-lang": "cql2-text"}]
        return [{"filter": cql2.to_json(weaker), "filter-lang": "cql2-json"}]
    richer = _query(condition, is_rich=True)[0] if server.query else {}
    return [comparisons] if richer == query else [{"query": richer}, comparisons]


def weakened(node: Node, leaf: Callable[[Node], Node | None]) -> Node | None:
    """The condition with terms left out that cannot be sent, so that it is true wherever the whole is.

    Args:
        node: A condition in normal form: leaves never stand below a NOT of their own.
        leaf: A comparison or the like → how it is sent, as strict or weaker; None where it cannot be.

    Returns:
        None where nothing is left.
    """
    if isinstance(node, And):
        terms = [sent for term in node.terms if (sent := weakened(term, leaf)) is not None]
        return conjunction(terms) if terms else None
    if isinstance(node, Or):
        sent_terms = [weakened(term, leaf) for term in node.terms]
        return None if None in sent_terms else disjunction(term for term in sent_terms if term is not None)
    return leaf(node)


def _query(condition: Node, *, is_rich: bool) -> tuple[Query, bool]:
    """The condition for the query extension, and whether nothing of it was left out.

    Args:
        condition: What items have to meet.
        is_rich: True: with all operators of the extension; False: with comparisons only.
    """
    query: Query = {}
    is_whole = True
    for term in conjuncts(condition):
        sent = _in_query(term) if is_rich or isinstance(term, Compare) else None
        for name, op, value in sent or ():
            if op in query.setdefault(name, {}):  # one value for each operator of a property
                sent = None
            else:
                query[name][op] = value
        is_whole = is_whole and sent is not None
    return query, is_whole


def _in_query(term: Node) -> list[tuple[str, str, Any]] | None:
    """(property, operator, value) of a term; None where the query extension has no words for it."""
    match term:
        case Compare(_, Column(name), Literal()) if not _is_top_level(name):
            loose = _loosened(term, also_timestamps=True)
            if loose is not None:
                return [(name, _NAMES[one.op], _json(one.right)) for one in loose]
        case In(Column(name), choices) if not _is_top_level(name) and _are_plain(choices):
            return [(name, "in", [choice.value for choice in choices if choice.value is not None])]
        case Contains(Column(name), Literal(str() | int() | float() as part)) if not _is_top_level(name):
            return [(name, "contains", part)]
        case Like(Column(name), pattern, False) if not _is_top_level(name):
            return _fixed_part(name, pattern)
    return None


def _is_top_level(name: str) -> bool:
    """Members of an item that are no properties: the query extension looks among properties only."""
    return name in ("id", "collection")


def _fixed_part(name: str, pattern: str) -> list[tuple[str, str, Any]] | None:
    """A pattern with % at its ends only."""
    match = re.fullmatch(r"(%?)((?:\\.|[^%_\\])*)(%?)", pattern, re.DOTALL)
    if match is None or not match[2]:
        return None
    op = {("", ""): "eq", ("", "%"): "startsWith", ("%", ""): "endsWith", ("%", "%"): "contains"}[match[1], match[3]]
    return [(name, op, re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL))]


def _in_cql2(term: Node, server: Conformance) -> Node | None:
    match term:
        case Compare(_, Column(), Column()):
            return term if server.compares_properties else None
        case Compare(_, Column(), Literal()):
            loose = _loosened(term, also_timestamps=False)
            return None if loose is None else conjunction(loose)
        case In(Column() as column, choices) if _are_plain(choices):
            known = tuple(choice for choice in choices if choice.value is not None)
            if server.advanced:
                return In(column, known)
            return disjunction(Compare("=", column, choice) for choice in known)
        case Not(In(Column() as column, choices)) if _are_plain(choices) and Literal(None) not in choices:
            return term if server.advanced else conjunction(Compare("<>", column, choice) for choice in choices)
        case Like(Column(), _, ignore_case) | Not(Like(Column(), _, ignore_case)):
            return term if server.advanced and (server.ignores_case or not ignore_case) else None
        case IsNull(Column()) | Not(IsNull(Column())):
            return term
    return None


def _are_plain(choices: tuple[Literal, ...]) -> bool:
    """True where a server compares them as we do, and one is no NULL."""
    values = [choice.value for choice in choices]
    return any(value is not None for value in values) and not any(
        isinstance(value, datetime | tuple) or (isinstance(value, str) and as_instant(value) is not None)
        for value in values
    )


def _loosened(term: Compare, *, also_timestamps: bool) -> list[Compare] | None:
    """A comparison with a constant so that servers which compare texts lose nothing; None where there is no such.

    Args:
        term: The comparison; its right side is a Literal.
        also_timestamps: True: timestamps become texts; else only texts that are times are loosened.
    """
    assert isinstance(term.right, Literal)
    value = term.right.value
    if value is None or isinstance(value, tuple):
        return None
    if isinstance(value, datetime) and not also_timestamps:
        return [term]
    at = value if isinstance(value, datetime) else as_instant(value) if isinstance(value, str) else None
    if at is None:
        # '9' < '20' is for SQL a comparison of numbers where the property is one, for a server perhaps one of texts.
        return None if isinstance(value, str) and _is_number(value) and term.op not in ("=", "<>") else [term]
    try:
        early, late = (Literal(rfc_3339(edge.replace(microsecond=0))) for edge in (at - _SLACK, at + 2 * _SLACK))
    except OverflowError:
        return None
    since, until = Compare(">=", term.left, early), Compare("<=", term.left, late)
    return {"=": [since, until], "<>": None, "<": [until], "<=": [until], ">": [since], ">=": [since]}[term.op]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json(node: Node) -> Any:
    assert isinstance(node, Literal)
    return node.value
