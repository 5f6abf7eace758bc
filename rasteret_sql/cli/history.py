"""Keeps the lines of earlier sessions, without those that hold credentials."""

from __future__ import annotations

import re

from prompt_toolkit.history import FileHistory

from rasteret_sql.io.redact import is_secret_name, plain_text

_NAMED = re.compile(r"""([\w.-]+)['"]?\s*(?::=|=>|:|=)\s*['"]""")
_HEADERS = re.compile(r"\b(?:default_)?headers['\"]?\s*(?::=|=>|:|=)", re.IGNORECASE)
_SECRET = re.compile(r"\bCREATE\b[^;]*\bSECRET\b", re.IGNORECASE)


class CarefulHistory(FileHistory):
    """Keeps lines in a file, but those with a credential only until the shell ends."""

    def store_string(self, string: str) -> None:
        if not holds_credential(string):
            super().store_string(string)


def holds_credential(statement: str) -> bool:
    """True for a DuckDB secret, a named argument or member that is called as a credential, and a signed address.

    >>> holds_credential("FROM rasteret_create_backend('x', default_s3_config := {'secret_access_key': 'abc'})")
    True
    """
    if _SECRET.search(statement) or _HEADERS.search(statement) or plain_text(statement) != statement:
        return True
    return any(is_secret_name(name) for name in _NAMED.findall(statement))
