"""Takes secrets out of addresses: signatures, keys and tokens in the query string, and user info.

An address without them, the plain one, is what may be written: it still names the file. What the rest of the query
says, such as a version, stays as it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_plus

_SECRET = re.compile(
    r"sig|.*signature|.*token_*|jwt|hmac|bearer|ticket|auth|authorization|verify|appid|connectid|hdn(?:ea|ts)|__gda__"
    r"|.*(?:secret|password|passwd|pwd|credentials?)|session(?:[-_]?id)?"
    r"|.*(?:api|access|auth|subscription|account|private|session|client|license|shared|sas)[-_.]?key(?:[-_.]?id)?"
    r"|googleaccessid|key-pair-id|x-(?:amz|goog|oss|cos|obs)-.*|q-(?:sign-.*|signature|ak|.*-(?:time|list))"
)
"""Names of parameters, in lower case, that hold a secret or belong to nothing but one."""
_ONE_FILE_NAME = re.compile(r"\.[A-Za-z]\w{1,4}$")
_AZURE = frozenset(
    {"sv", "ss", "srt", "sp", "st", "se", "sr", "spr", "sip", "si", "ses", "sdd", "saoid", "suoid", "scid"}
    | {"skoid", "sktid", "skt", "ske", "sks", "skv", "sduoid", "skdutid"}
)
"""Of a SAS token, beside `sig`: these mean something else where there is none."""
_BESIDE = re.compile(r"expires|expiry|exp|policy|hash-algorithm|md5|x-id|response-.*|rsc[cdelt]")
"""What a signature covers, and no unsigned request may have."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_ESCAPES = (("\\/", "/"), ("\\u0026", "&"), ("\\u003d", "="), ("&amp;", "&"))
"""How JSON and XML inside of text write parts of an address."""
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?:\\?/){2}(?:\\/|\\u00[0-9a-fA-F]{2}|[^\s\"'<>`\\])+")
_BARE = re.compile(
    r"""((?:^|[?&;\s"'])(?:sig|X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token))=)[^&\s"'<>\\]+""", re.IGNORECASE
)
_ACCOUNT_FIRST = ("abfs", "abfss", "wasb", "wasbs")
"""Schemes where a container, not a user, stands before the @."""


class Taken(NamedTuple):
    """An address taken apart."""

    plain: str
    user: str
    """User info that was taken off, empty where there was none."""
    query: str
    """The whole query where some of it was taken off, else empty."""
    names: frozenset[str]
    """Parameters that were taken off, in lower case."""

    @property
    def is_opaque(self) -> bool:
        """True where what was taken off may be all that tells this file from others at the same path."""
        path = self.plain.partition("#")[0]
        standard = any(name.startswith(("x-amz-", "x-goog-")) or name in ("sig", "signature") for name in self.names)
        return bool(self.names) and not standard and "?" not in path and not _ONE_FILE_NAME.search(path)


def take_apart(address: str) -> Taken:
    """Split what is secret off an address; a local path has nothing secret."""
    found = _SCHEME.match(address)
    if found is None:
        return Taken(plain_text(address) if "://" in address else address, "", "", frozenset())
    scheme = found[1].lower()
    if scheme == "file":
        return Taken(address, "", "", frozenset())
    rest, hash_sign, fragment = address[found.end() :].partition("#")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    user, at, name = authority.rpartition("@")
    if at and not (scheme in _ACCOUNT_FIRST and ":" not in user):
        authority = name
    else:
        user = ""
    kept, names = _without_secrets(query)
    kept_fragment, more = _without_secrets(fragment)
    plain = found[0] + authority + slash + path
    plain += f"?{kept}" if kept else ""
    plain += f"#{kept_fragment}" if hash_sign and (kept_fragment or not more) else ""
    return Taken(plain, user, query if names else "", names)


def plain_address(address: str) -> str:
    """The address as it may be written.

    >>> plain_address("https://a.blob.core.windows.net/c/x.tif?version=3&sv=2024-08-04&se=2030&sig=abc")
    'https://a.blob.core.windows.net/c/x.tif?version=3'
    """
    if "?" not in address and "@" not in address and "#" not in address:
        return address
    return take_apart(address).plain


def known_by(address: str) -> str:
    """A text that tells a file from others, for keys that are hashed: the plain address, unless others may have it."""
    if "?" not in address and "@" not in address:
        return address
    taken = take_apart(address)
    return address if taken.is_opaque else taken.plain


def plain_text(text: str) -> str:
    """Text of any kind with the addresses in it made plain."""
    if "=" not in text and "@" not in text:
        return text
    if "://" in text or ":\\/\\/" in text:
        text = _IN_TEXT.sub(_plain_match, text)
    return _BARE.sub(r"\1***", text) if "=" in text else text


def plain_query(query: str) -> str:
    """The part of a query string that may be written."""
    return _without_secrets(query)[0]


def is_secret_name(name: str) -> bool:
    """True where a parameter or header of that name holds a secret."""
    return _SECRET.fullmatch(name.lower()) is not None or name.lower() == "key"


def plain_values(value: Any) -> Any:
    """JSON values with the addresses in all their texts made plain."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {name: plain_values(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(one) for one in value]
    return value


def expiry_of(query: str) -> float | None:
    """The end of a signature, in seconds since 1970; None where its query does not say."""
    said = {name.lower(): value for name, value in parse_qsl(query)}
    try:
        if "sig" in said and "se" in said:  # Azure
            end = datetime.fromisoformat(said["se"])
            return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()
        for prefix in ("x-amz-", "x-goog-"):
            if f"{prefix}date" in said and f"{prefix}expires" in said:
                begin = datetime.strptime(said[f"{prefix}date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return begin.timestamp() + float(said[f"{prefix}expires"])
        return float(said["expires"]) if "expires" in said else None
    except ValueError:
        return None  # then the server tells


def _plain_match(found: re.Match[str]) -> str:
    text = found[0]
    address = text
    for escaped, sign in _ESCAPES:
        address = address.replace(escaped, sign)
    plain = plain_address(address)
    if plain == address:
        return text
    return plain.replace("/", "\\/") if "\\/" in text else plain


def _without_secrets(query: str) -> tuple[str, frozenset[str]]:
    """The part of a query that stays, byte by byte, and the names of what does not."""
    if "=" not in query:
        return query, frozenset()
    parts = [(unquote_plus(part.partition("=")[0]).lower(), part) for part in query.split("&")]
    there = {name for name, _ in parts}
    secret = {name for name, part in parts if _SECRET.fullmatch(name) or (name == "key" and _is_key(part))}
    if secret:
        secret |= {name for name in there if _BESIDE.fullmatch(name)}
        secret |= there & _AZURE if "sig" in there else set()
    return "&".join(part for name, part in parts if name not in secret), frozenset(secret)


def _is_key(part: str) -> bool:
    """`key` may be that of an object in a bucket."""
    return not _ONE_FILE_NAME.search(unquote(part.partition("=")[2]))
