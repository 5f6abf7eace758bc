"""Makes a view for each collection, in the catalogs that were installed in one database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import duckdb

from rasteret_sql.quoting import quote_name, quote_text


class CollectionViews:
    """Shows collections by name. Views are planned when queried, so what they cost at first is their making.

    Args:
        cursor: gives a cursor of the database; None once no connection of it is open.
    """

    STUB = "SELECT NULL AS id"
    """What a merely cached collection seems to be while its view is made: DuckDB plans a view then, and again whenever
    it is used, with the columns of that time. So hundreds of cached collections need not be opened to be seen."""

    def __init__(self, cursor: Callable[[], duckdb.DuckDBPyConnection | None]) -> None:
        self._cursor = cursor
        self._lock = threading.Lock()
        self._creator: int | None = None
        self._catalogs: dict[str, str] = {}
        """Name as DuckDB compares it → as given."""
        self._names: dict[str, str] = {}

    @property
    def creating(self) -> bool:
        """True on the thread that is making views right now: DuckDB plans on the thread that asks."""
        return self._creator == threading.get_ident()

    def has_catalog(self, catalog: str) -> bool:
        return catalog.casefold() in self._catalogs

    def add_catalog(self, catalog: str, names: Iterable[str]) -> None:
        """Show collections in a new catalog: those of `names`, and all that were shown before."""
        self._catalogs[catalog.casefold()] = catalog
        self._names = {name.casefold(): name for name in names} | self._names
        self._create([catalog], [*self._names.values()])

    def show(self, name: str) -> None:
        """Show a collection in all catalogs."""
        self._names[name.casefold()] = name
        self._create([*self._catalogs.values()], [name])

    def hide(self, name: str) -> None:
        """Show a collection no more."""
        shown = self._names.pop(name.casefold(), None)
        if shown is not None:
            self._run([*self._catalogs.values()], lambda catalog: [_drop_view(catalog, shown)])

    def _create(self, catalogs: Iterable[str], names: Iterable[str]) -> None:
        shown = list(names)
        self._run(catalogs, lambda catalog: [_create_view(catalog, name) for name in shown])

    def _run(self, catalogs: Iterable[str], statements: Callable[[str], list[str]]) -> None:
        with self._lock:
            cursor = self._cursor()
            if cursor is None:
                return
            self._creator = threading.get_ident()
            try:
                for catalog in catalogs:  # each in its own transaction: one may write to one catalog only
                    cursor.execute("; ".join(["BEGIN", *statements(catalog), "COMMIT"]))
            finally:
                self._creator = None
                cursor.close()


def _drop_view(catalog: str, name: str) -> str:
    return f"DROP VIEW IF EXISTS {quote_name(catalog)}.main.{quote_name(name)}"


def _create_view(catalog: str, name: str) -> str:
    view = f"{quote_name(catalog)}.main.{quote_name(name)}"
    return f"CREATE OR REPLACE VIEW {view} AS FROM query(__rasteret_view({quote_text(name)}))"
