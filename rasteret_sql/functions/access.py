"""Declares the functions that say how files are reached: named backends, access settings of datasets."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import TEXT, Kind, mapping
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.functions.sql_types import sql_type

_OBJECT = Kind("STRUCT, MAP or JSON")
_WORD = Kind("VARCHAR")
"""Checked where a backend is made of it, which shows no value: it may be a secret."""

MADE_BACKENDS = Udf("__rasteret_backends", (pa.string(), pa.string()), pa.list_(types.BACKEND), run="access.backends")

ACCESS_FUNCTIONS = (
    Function(
        name="rasteret_create_backend",
        family="access",
        body="query",
        arguments=(
            Argument("name", TEXT, "its name for backend :=, in all connections of the database"),
            Argument(
                "credential_provider",
                _WORD,
                "address of a SAS token endpoint, or the name of a provider, such as planetary-computer, earthdata, "
                "aws, google or azure; the environment by default",
                "NULL",
            ),
            Argument(
                "region",
                _WORD,
                "region of all S3 buckets, such as us-west-2, unless default_s3_config or cloud_config names another",
                "NULL",
            ),
            Argument(
                "default_s3_config",
                _OBJECT,
                "settings of all S3 buckets in the words of obstore's S3Store and its client, also with aws_ before "
                "them: {'access_key_id': ..., 'secret_access_key': ..., 'endpoint': ...}; keys sign the requests",
                "NULL",
            ),
            Argument(
                "cloud_config",
                _OBJECT,
                "rewriting of addresses, and region and payer of the S3 buckets that these lead to: "
                "{'provider': 'aws', 'requester_pays': true, 'region': ..., 'url_patterns': {...}}",
                "NULL",
            ),
            Argument(
                "headers",
                _OBJECT,
                "sent to STAC APIs, and to web servers that are not a cloud's bucket, to sign in: "
                "{'Authorization': 'Bearer ...'}; never kept, never shown",
                "NULL",
            ),
            Argument("secret", _WORD, "name of a DuckDB secret, in place of all other arguments", "NULL"),
            Argument("profile", _WORD, "AWS profile, with credential_provider := 'aws'", "NULL"),
            Argument(
                "credentials_url",
                _WORD,
                "where an archive gives S3 credentials, with credential_provider := 'earthdata'",
                "NULL",
            ),
        ),
        returns=pa.string(),
        gives=f"TABLE of {sql_type(types.BACKEND)}: what was made, secrets shown as ***",
        doc="Makes a backend with a name, for backend := of every call that reads. A backend with the same name is "
        "replaced. Runs while the statement is planned, so that no plan shows its arguments.",
        example="SELECT name, kind FROM rasteret_create_backend('west', region := 'us-west-2', "
        "default_s3_config := {'skip_signature': true})",
        run="access.create_backend",
        others=(MADE_BACKENDS,),
    ),
    Function(
        name="rasteret_cloud_config",
        family="access",
        body="rows",
        arguments=(
            Argument("dataset", TEXT, "id of a dataset, or of a STAC collection"),
            Argument("provider", _WORD, "name of a cloud, such as aws, gcp or azure", "NULL"),
            Argument("requester_pays", Kind("BOOLEAN"), "true: the reader pays, requests are signed", "NULL"),
            Argument("region", _WORD, "region of its buckets; us-west-2 by default", "NULL"),
            Argument(
                "url_patterns",
                mapping("{'https://cdn.example.com/': 's3://bucket/'}", checked=False),
                "prefix of addresses to what replaces it, in either direction",
                "NULL",
            ),
        ),
        returns=types.CLOUD_CONFIG,
        doc="Sets how builds and reads of this process reach the files of a dataset, if they name no backend. With the "
        "dataset alone, shows what is registered for it.",
        example="SELECT region FROM rasteret_cloud_config('my-org/scenes', provider := 'aws', requester_pays := true, "
        "region := 'eu-central-1', url_patterns := {'https://cdn.example.com/': 's3://my-bucket/'})",
        run="access.cloud_config",
    ),
)
