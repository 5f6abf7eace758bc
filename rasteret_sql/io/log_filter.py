"""Takes credentials out of what libraries log of addresses and headers, at level debug and in warnings."""

from __future__ import annotations

import functools
import logging
import re

from rasteret_sql.io.redact import is_secret_name, plain_query, plain_text

_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "pystac_client.stac_api_io", "pystac_client.item_search")
_QUERY = re.compile(r"\?([^\s\"'<>]+)")
_PAIR = re.compile(r"""(['"])([\w.-]+)\1(\s*:\s*b?)(['"])(.*?)\4""")
_HEADERS = ("authorization", "cookie", "set-cookie")


class CredentialFilter(logging.Filter):
    """Passes every record, with what looks like a credential taken out of its text."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        safe = _PAIR.sub(_pair, _QUERY.sub(_query, plain_text(text)))
        if safe != text:
            record.msg, record.args = safe, ()
        return True


@functools.cache
def guard_logs() -> None:
    """Filter what the libraries log through which documents are asked for; once for the process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(CredentialFilter())


def _query(found: re.Match[str]) -> str:
    kept = plain_query(found[1])
    return f"?{kept}" if kept else ""


def _pair(found: re.Match[str]) -> str:
    quote, name, colon, mark, _ = found.groups()
    if name.lower() in _HEADERS or is_secret_name(name):
        return f"{quote}{name}{quote}{colon}{mark}***{mark}"
    return found[0]
