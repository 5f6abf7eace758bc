"""Declares the functions that show and change settings, and show what could not be read."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import FLAG, Kind
from rasteret_sql.functions.spec import Argument, Function
from rasteret_sql.library.settings import SETTINGS, Setting

_TAKES = {"bytes": "BIGINT or text such as '1 GiB'", "integer": "INTEGER", "seconds": "DOUBLE"}


def _argument(setting: Setting) -> Argument:
    """Settings are declared once, too, in `library/settings`, which checks their values."""
    words = " or ".join(f"'{word}'" for word in setting.kind.split("|")) + ": " if "|" in setting.kind else ""
    kind = Kind(_TAKES.get(setting.kind, "VARCHAR"))
    return Argument(setting.name, kind, f"{words}{setting.doc} ({setting.scope})", "NULL")


SETTING_FUNCTIONS = (
    Function(
        name="rasteret_settings",
        family="access",
        body="rows",
        arguments=tuple(_argument(setting) for setting in SETTINGS),
        returns=types.SETTING,
        doc="Shows settings and named backends, secrets as ***, and changes those that are given; 'default' restores "
        "a default. Settings of the process apply to all its databases, those of the session for all connections of "
        "one.",
        example="SELECT name, value FROM rasteret_settings(request_timeout := 30, cache_bytes := '256 MiB')",
        run="settings.settings",
    ),
    Function(
        name="rasteret_failures",
        family="access",
        body="rows",
        arguments=(Argument("clear", FLAG, "true: delete them after listing them", "NULL"),),
        returns=types.FAILURE,
        doc="Lists what on_error := 'null' turned into NULL because it could not be read: each function, scene, band "
        "and message once, with its latest time. Keeps the newest 10,000 of the session, oldest first.",
        example="SELECT count(*) FROM rasteret_failures()",
        run="settings.failures",
    ),
    Function(
        name="rasteret_stats",
        family="access",
        body="rows",
        arguments=(Argument("clear", FLAG, "true: forget them, once they are given", "NULL"),),
        returns=types.RECEIPT,
        doc="What the latest 100 statements of the session that read pixels took, oldest first, also those that "
        "failed, and get_numpy of Python. Those of a transaction that was begun with BEGIN are one. began_at: "
        "now() of the statement. seconds: while a call ran. Of its stages, which overlap, each says how long "
        "any thread was at it: plan (scenes looked up, geometries placed), fetch (with waits and "
        "repetitions), decode, reduce (pixels put in place, statistics). pairs: a scene and a geometry, and "
        "each band that is read apart; skipped are those without pixels to read. tiles: those that calls "
        "asked for; cache_hits: of these, tiles that were decoded before or on their way for another call. "
        "requests: for pixels, with retries; bytes: received. error: the first that ended a call.",
        example="SELECT seconds, requests, bytes FROM rasteret_stats() ORDER BY began_at DESC LIMIT 1",
        run="settings.stats",
    ),
    Function(
        name="rasteret_running",
        family="access",
        body="rows",
        arguments=(),
        returns=types.RECEIPT,
        doc="Lists the statements of the session of which a function reads, builds or searches now, on whatever "
        "connection, as rasteret_stats shows them when they have ended.",
        example="SELECT count(*) = 0 FROM rasteret_running()",
        run="settings.running",
    ),
    Function(
        name="rasteret_stop",
        family="access",
        body="value",
        arguments=(
            Argument(
                "began_at",
                Kind("TIMESTAMPTZ"),
                "began_at of the statement in rasteret_running()",
                column=types.AS_INSTANT,
            ),
        ),
        returns=pa.bool_(),
        doc="Stops one statement, and no other: its functions end within a second, with an error. false where no "
        "statement began then. SELECT rasteret_stop(began_at) FROM rasteret_running() WHERE seconds > 60 stops what "
        "takes long.",
        example="SELECT rasteret_stop(now())",
        run="settings.stop",
    ),
)
