"""Functions that say how files are reached: named backends, and access settings of datasets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from sqlglot import exp

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError, RasteretError, did_you_mean
from rasteret_sql.functions.spec import Argument, Function, Udf, struct_type
from rasteret_sql.io.plain import plain_text
from rasteret_sql.kernels.backends import HIDDEN, PROVIDERS, NamedBackend, make_backend
from rasteret_sql.kernels.building import required, sql_arguments
from rasteret_sql.kernels.host_secrets import HostSecret
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.session import Session

_BACKEND = struct_type([("name", "VARCHAR"), ("kind", "VARCHAR"), ("settings", "MAP(VARCHAR, VARCHAR)")])
_CONFIG = struct_type(
    [
        ("dataset", "VARCHAR"),
        ("provider", "VARCHAR"),
        ("requester_pays", "BOOLEAN"),
        ("region", "VARCHAR"),
        ("url_patterns", "MAP(VARCHAR, VARCHAR)"),
    ]
)
_MAP = pa.map_(pa.string(), pa.string())
_BACKEND_ROWS = pa.list_(pa.struct([("name", pa.string()), ("kind", pa.string()), ("settings", _MAP)]))
_CONFIG_ROWS = pa.list_(
    pa.struct(
        [
            ("dataset", pa.string()),
            ("provider", pa.string()),
            ("requester_pays", pa.bool_()),
            ("region", pa.string()),
            ("url_patterns", _MAP),
        ]
    )
)
_OBJECT = "STRUCT, MAP or JSON"


def _create_backend(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Make a backend of each call, and give DuckDB the query of its row, which has no secret in it.

    The arguments would stand in the plan that EXPLAIN shows, if the plan had them. What is wrong with them is said when
    the query runs: with an error of its planning DuckDB shows the statement, which may have keys in it.
    """

    def one(text: str) -> str:
        given = {name: value for name, value in json.loads(text).items() if value is not None}
        name, wrong = str(given.get("name") or ""), ""
        try:
            session.backends.add(required(given, "name"), _made(session, given))
        except RasteretError as error:
            wrong = plain_text(str(error))
        shown = exp.Anonymous(this=_SHOWN.name, expressions=[exp.Literal.string(name), exp.Literal.string(wrong)])
        return f"SELECT unnest({shown.sql('duckdb')}, max_depth := 2)"

    return pa.array([one(text) for text in texts.to_pylist()], pa.string())


def _made(session: Session, given: Mapping[str, Any]) -> NamedBackend:
    return _of_secret(session, given) if "secret" in given else make_backend(given)


def _of_secret(session: Session, given: Mapping[str, Any]) -> NamedBackend:
    name, others = given["secret"], sorted(given.keys() - {"name", "secret"})
    if not isinstance(name, str) or others:
        beside = f"; {', '.join(others)} cannot be given beside it" if others else ""
        raise InvalidArgumentError(f"secret is the name of a DuckDB secret, which says all there is to say{beside}")
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


_HELD = {"access_token", "bearer_token", "client_secret", "connection_string", "extra_http_headers", "key_id", "secret"}


def backend_rows(session: Session) -> dict[str, dict[str, Any]]:
    """Backends of a session by name, as rows."""
    return {
        name: {"name": name, "kind": known.kind, "settings": list(known.settings.items())}
        for name, known in session.backends.shown().items()
    }


def _backends(session: Session, _cancelled: Cancelled, names: pa.Array, wrong: pa.Array) -> pa.Array:
    for message in wrong.to_pylist():
        if message:
            raise InvalidArgumentError(message)
    rows = {name.casefold(): row for name, row in backend_rows(session).items()}
    asked = [name.strip().casefold() for name in names.to_pylist()]
    return pa.array([[rows[name]] if name in rows else [] for name in asked], _BACKEND_ROWS)


def _cloud_config(_session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        dataset = required(arguments, "dataset")
        if not isinstance(dataset, str):
            raise InvalidArgumentError(f"dataset := {dataset!r} cannot be used; expected a text")
        given = {name: value for name, value in arguments.items() if name != "dataset"}
        if given:
            config = CloudConfig.from_value(given)
            assert config is not None
            CloudConfig.register(dataset, config)
        else:
            config = _registered(dataset)
        patterns = [(plain_text(prefix), plain_text(target)) for prefix, target in config.url_patterns.items()]
        return {"dataset": dataset, **config.to_dict(), "url_patterns": patterns}

    return pa.array([[one(sql_arguments(text))] for text in texts.to_pylist()], _CONFIG_ROWS)


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


_SHOWN = Udf("__rasteret_backends", ("VARCHAR", "VARCHAR"), f"{_BACKEND}[]", pure=False, run=_backends)

ACCESS_FUNCTIONS = (
    Function(
        name="rasteret_create_backend",
        family="access",
        table=True,
        arguments=(
            Argument("name", "VARCHAR", "what backend := names it by, in all connections of the database"),
            Argument(
                "credential_provider",
                "VARCHAR",
                f"address of a SAS token endpoint, or one of {', '.join(PROVIDERS)}; the environment by default",
                "NULL",
            ),
            Argument("region", "VARCHAR", "of S3 buckets, such as us-west-2", "NULL"),
            Argument(
                "default_s3_config",
                _OBJECT,
                "settings of S3 buckets: {'access_key_id': ..., 'secret_access_key': ..., 'endpoint': ...}",
                "NULL",
            ),
            Argument(
                "cloud_config",
                _OBJECT,
                "{'provider': 'aws', 'requester_pays': true, 'region': ..., 'url_patterns': {...}}",
                "NULL",
            ),
            Argument("secret", "VARCHAR", "name of a DuckDB secret, in place of all other arguments", "NULL"),
            Argument("profile", "VARCHAR", "AWS profile, with credential_provider := 'aws'", "NULL"),
            Argument(
                "credentials_url",
                "VARCHAR",
                "where an archive gives S3 credentials, with credential_provider := 'earthdata'",
                "NULL",
            ),
        ),
        returns=f"TABLE of {_BACKEND}: what was made, secrets shown as ***",
        doc="Makes a backend known by a name, for backend := of every call that reads; one of the same name is "
        "replaced. Runs while the statement is planned, so that no plan shows its arguments.",
        example="SELECT name, kind FROM rasteret_create_backend('west', region := 'us-west-2', "
        "default_s3_config := {'skip_signature': true})",
        udfs=(
            Udf("__rasteret_create_backend", ("VARCHAR",), "VARCHAR", pure=False, run=_create_backend),
            _SHOWN,
        ),
    ),
    Function(
        name="rasteret_cloud_config",
        family="access",
        table=True,
        arguments=(
            Argument("dataset", "VARCHAR", "id of a dataset, or of a STAC collection"),
            Argument("provider", "VARCHAR", "aws, gcp or azure", "NULL"),
            Argument("requester_pays", "BOOLEAN", "true: the reader pays, requests are signed", "NULL"),
            Argument("region", "VARCHAR", "of its buckets; us-west-2 by default", "NULL"),
            Argument("url_patterns", _OBJECT, "prefix of addresses to what replaces it, either way", "NULL"),
        ),
        returns=f"TABLE of {_CONFIG}",
        doc="Says how the files of a dataset are reached by builds and reads of this process that name no backend; the "
        "dataset alone: what is registered for it.",
        example="SELECT region FROM rasteret_cloud_config('my-org/scenes', provider := 'aws', requester_pays := true, "
        "region := 'eu-central-1', url_patterns := {'https://cdn.example.com/': 's3://my-bucket/'})",
        udfs=(Udf("__rasteret_cloud_config", ("VARCHAR",), f"{_CONFIG}[]", pure=False, run=_cloud_config),),
    ),
)
