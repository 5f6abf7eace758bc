"""Runs the functions that say how files are reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from sqlglot import exp

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError, RasteretError, did_you_mean
from rasteret_sql.functions import types
from rasteret_sql.functions.access import MADE_BACKENDS
from rasteret_sql.functions.calls.rows import named_arguments, one_row
from rasteret_sql.io.clouds.cloud import HostSecret
from rasteret_sql.io.redact import plain_text
from rasteret_sql.library.named_backends import HIDDEN, NamedBackend, make_backend
from rasteret_sql.session.session import Session

_HELD = {"access_token", "bearer_token", "client_secret", "connection_string", "extra_http_headers", "key_id", "secret"}


def create_backend(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Make a backend of each call, and give DuckDB the query of its row, which has no secret in it.

    The arguments would stand in the plan that EXPLAIN shows, if the plan had them. What is wrong with them is said when
    the query runs: with an error of its planning DuckDB shows the statement, which may have keys in it.
    """

    def one(text: str) -> str:
        name, wrong = str(json.loads(text)["name"] or ""), ""
        try:
            given = named_arguments("rasteret_create_backend", text)
            session.backends.add(given["name"], _made(session, given))
        except RasteretError as error:
            wrong = plain_text(str(error))
        shown = exp.Anonymous(
            this=MADE_BACKENDS.name, expressions=[exp.Literal.string(name), exp.Literal.string(wrong)]
        )
        return f"SELECT unnest({shown.sql('duckdb')}, max_depth := 2)"

    return pa.array([one(text) for text in texts.to_pylist()], pa.string())


def _made(session: Session, given: Mapping[str, Any]) -> NamedBackend:
    return _of_secret(session, given) if "secret" in given else make_backend(given)


def _of_secret(session: Session, given: Mapping[str, Any]) -> NamedBackend:
    name, others = given["secret"], sorted(given.keys() - {"name", "secret"})
    if not isinstance(name, str) or others:
        beside = f"; {', '.join(others)} cannot be given beside it" if others else ""
        raise InvalidArgumentError(f"secret names a DuckDB secret, which takes no other arguments{beside}")
    secret = session.secret(name)
    if secret is None:
        raise InvalidArgumentError(
            f'there is no DuckDB secret "{name}"; make it with CREATE SECRET, or give the credentials to '
            "rasteret_create_backend itself"
        )
    return NamedBackend(session.backends.of_secret(secret), "secret", _shown_secret(secret))


def _shown_secret(secret: HostSecret) -> dict[str, str]:
    said = {name: secret.values[name] for name in ("region", "endpoint", "account_name") if name in secret.values}
    return {
        "secret": secret.name,
        "type": secret.type,
        "scope": ", ".join(secret.scope),
        **{name: plain_text(value) for name, value in said.items()},
        **dict.fromkeys(sorted(secret.values.keys() & _HELD), HIDDEN),
    }


def backend_rows(session: Session) -> dict[str, dict[str, Any]]:
    """Backends of a session by name, as rows."""
    return {
        name: {"name": name, "kind": known.kind, "settings": list(known.settings.items())}
        for name, known in session.backends.shown().items()
    }


def backends(session: Session, _cancelled: Cancelled, names: pa.Array, wrong: pa.Array) -> pa.Array:
    """Show what was made of the backends of that name, or why they were not."""
    for message in wrong.to_pylist():
        if message:
            raise InvalidArgumentError(message)
    rows = {name.casefold(): row for name, row in backend_rows(session).items()}
    asked = [name.strip().casefold() for name in names.to_pylist()]
    return pa.array([[rows[name]] if name in rows else [] for name in asked], pa.list_(types.BACKEND))


def cloud_config(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Register how files of datasets are reached, or show what is registered."""

    def one(given: dict[str, Any]) -> dict[str, Any]:
        dataset = given.pop("dataset")
        if given:
            config = CloudConfig.from_value(given)
            assert config is not None
            CloudConfig.register(dataset, config)
        else:
            config = _registered(dataset)
        patterns = [(plain_text(prefix), plain_text(target)) for prefix, target in config.url_patterns.items()]
        return {"dataset": dataset, **config.to_dict(), "url_patterns": patterns}

    return one_row("rasteret_cloud_config", texts, one)


def _registered(dataset: str) -> CloudConfig:
    descriptor = DatasetRegistry.get(dataset)
    config = CloudConfig.get_config(dataset, descriptor.stac_collection if descriptor else None)
    if config is None:
        near = "" if descriptor else f" ({did_you_mean(dataset, [one.id for one in DatasetRegistry.list()], 3)})"
        raise InvalidArgumentError(
            f'nothing is registered for "{dataset}"{near}; say how its files are reached, for example '
            f"rasteret_cloud_config('{dataset}', provider := 'aws', requester_pays := true, region := 'us-west-2')"
        )
    return config
