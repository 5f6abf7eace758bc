"""`Google`: routes addresses of Google Cloud Storage, opens its buckets, finds its credentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from obstore.store import GCSStore

from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Place
from rasteret_sql.io.clouds.cloud import (
    Cloud,
    HostSecret,
    Opened,
    Opening,
    SecretAccess,
    SecretCredentials,
    bucket_place,
    keys_of,
    renewal,
    with_scheme,
    words,
)
from rasteret_sql.io.clouds.s3_settings import s3_settings
from rasteret_sql.io.credentials import Provider

_HOST = "storage.googleapis.com"
_IN_THE_MANNER_OF_S3 = {"gs://": "s3://", "gcs://": "s3://", f"https://{_HOST}/": "s3://"}
_FILES = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH")
_PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")


class Google(Cloud):
    """Buckets of Google Cloud Storage."""

    kind = "gs"
    name = "gcp"
    word = "google"
    schemes = ("gs", "gcs")
    example = "gs://"
    variables = (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
    )
    prefixes = ("GOOGLE_", "GCLOUD_")
    whereabouts = ("STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL")
    likely = "gs://bucket/key"
    extra = "gcp"
    modules = ("google.auth",)
    obstore_class = ("obstore.auth.google", "GoogleCredentialProvider")
    secret_types = ("gcs",)

    def route(self, address: str) -> Place:
        return bucket_place(self.kind, address)

    def of_host(self, host: str, path: str) -> Place | None:
        if host != _HOST:
            return None
        first, _, rest = unquote(path).partition("/")
        return Place(self.kind, first, rest) if rest else None

    def open(self, place: Place, opening: Opening) -> Opened:
        emulator = opening.environment.get("STORAGE_EMULATOR_HOST") or opening.environment.get("GOOGLE_BASE_URL")
        config: dict[str, Any] = {}
        if emulator:
            config["base_url"] = emulator if "://" in emulator else f"http://{emulator}"
        base = config.get("base_url") or _base(opening)
        options = opening.client(allow_http=base.startswith("http://"))
        project = next((opening.environment[name] for name in _PROJECTS if opening.environment.get(name)), None)
        if "gcp" in opening.access.requester_pays and project:
            options["default_headers"] = {"x-goog-user-project": project}
        provider = opening.access.credentials and opening.access.credentials.of("gcp")
        signing, said = self.signing(
            opening,
            provider,
            machine="Google's application default credentials",
            anonymous="GOOGLE_APPLICATION_CREDENTIALS is not set, and no backend gives credentials",
        )
        store = GCSStore(place.root, client_options=options, **config, **signing, **opening.retries)
        return Opened(store, words(said), renewal(provider and opening.access.credentials))

    def mend(self, opening: Opening) -> str:
        if not opening.first(("GOOGLE_SERVICE_ACCOUNT_KEY",)):
            return "it has to name a file of credentials (JSON) that can be read"
        return super().mend(opening)

    def remedy(self, said: str) -> str:
        if "UserProjectMissing" in said:
            return "The reader pays for this bucket: set GOOGLE_CLOUD_PROJECT to a project that is billed for it."
        return "The bucket needs Google credentials: set GOOGLE_APPLICATION_CREDENTIALS."

    def of_secret(self, secret: HostSecret) -> SecretAccess:
        """A token as it is; keys are for Google's interface in the manner of S3."""
        if "bearer_token" in secret.values:
            token = {"token": secret.values["bearer_token"]}
            return SecretAccess(Access(credentials=Provider(SecretCredentials(secret.name, token), self.name)))
        keys = keys_of(secret)
        if keys is None:
            return SecretAccess(Access())
        endpoint = with_scheme(secret.values.get("endpoint", _HOST), secret.values)
        settings = s3_settings({"endpoint": endpoint, "region": secret.values.get("region", "auto")}, "secret")
        return SecretAccess(Access(url_patterns=_IN_THE_MANNER_OF_S3, s3=settings, credentials=keys))


def _base(opening: Opening) -> str:
    """The address to which the service account's file sends requests, which an emulator's says; empty for Google."""
    named = opening.first(_FILES)
    try:
        said = json.loads(Path(opening.environment[named]).read_text("utf-8")).get("gcs_base_url", "") if named else ""
    except (OSError, ValueError, AttributeError):
        return ""  # the store says what is wrong with the file
    return str(said)
