"""`Azure`: routes addresses of Azure Blob Storage, opens its containers, finds its credentials."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from obstore.store import AzureStore

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Place, safe_address
from rasteret_sql.io.clouds.cloud import Cloud, HostSecret, Opened, Opening, SecretAccess, SecretCredentials, words
from rasteret_sql.io.credentials import Provider

_HOST = re.compile(r"(?P<account>[a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net")


class Azure(Cloud):
    """Containers of Azure."""

    kind = "az"
    name = word = "azure"
    schemes = ("az", "azure", "abfs", "abfss", "adl")
    example = "az:// or abfs://"
    variables = (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_ID",
    )
    prefixes = ("AZURE_",)
    whereabouts = ("AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_ACCOUNT_NAME")
    likely = "abfs://container@account.dfs.core.windows.net/x"
    extra = "azure"
    modules = ("azure.identity",)
    obstore_class = ("obstore.auth.azure", "AzureCredentialProvider")
    secret_types = ("azure",)

    def route(self, address: str) -> Place:
        """`abfs://container@account.dfs.core.windows.net/path`, `az://account/container/path` or `az://container/path`.

        The last two are told apart by the store: an account of the process makes the first part a container.
        """
        authority, _, path = address.partition("://")[2].partition("/")
        container, at, account_host = authority.partition("@")
        account = account_host.partition(".")[0] if at else None
        if not container or not path:
            msg = f'"{safe_address(address)}" lacks a container or path: expected az://account/container/path'
            raise InvalidArgumentError(msg)
        return Place(self.kind, container, path, account=account)

    def of_host(self, host: str, path: str) -> Place | None:
        match = _HOST.fullmatch(host)
        first, _, rest = unquote(path).partition("/")
        return Place(self.kind, first, rest, account=match["account"]) if match and rest else None

    def open(self, place: Place, opening: Opening) -> Opened:
        container, account = place.root, place.account or opening.environment.get("AZURE_STORAGE_ACCOUNT_NAME")
        if account is None:
            msg = (
                f'the Azure container "{container}" is in no known account: '
                "write abfs://container@account.dfs.core.windows.net/path or set AZURE_STORAGE_ACCOUNT_NAME"
            )
            raise InvalidArgumentError(msg)
        config: dict[str, Any] = {}
        endpoint = opening.environment.get("AZURE_STORAGE_ENDPOINT")
        if endpoint:  # a gateway or an emulator
            config["endpoint"] = endpoint
        provider = opening.access.credentials and opening.access.credentials.of("azure", account, container)
        signing, said = self.signing(
            opening,
            provider,
            machine="the identity of this machine",
            anonymous="no AZURE_STORAGE_* variable gives a key or token, and no backend does",
        )
        options = opening.client(allow_http=(endpoint or "").startswith("http://"))
        store = AzureStore(
            container, account_name=account, client_options=options, **config, **signing, **opening.retries
        )
        forget = opening.access.credentials.forget_container if provider and opening.access.credentials else None
        return Opened(store, words(said), forget and (lambda: forget(account, container)))

    def remedy(self, said: str) -> str:  # noqa: ARG002
        return "The container needs a SAS token or account key, or the token has expired."

    def of_secret(self, secret: HostSecret) -> SecretAccess:
        values = secret.values
        said = dict(part.split("=", 1) for part in values.get("connection_string", "").split(";") if "=" in part)
        account = values.get("account_name") or said.get("AccountName")
        environment = {"AZURE_STORAGE_ACCOUNT_NAME": account, "AZURE_STORAGE_ENDPOINT": said.get("BlobEndpoint")}
        given: dict[str, str] | None = None
        if "AccountKey" in said:
            given = {"access_key": said["AccountKey"]}
        elif "SharedAccessSignature" in said:
            given = {"sas_token": said["SharedAccessSignature"].removeprefix("?")}
        elif "access_token" in values:
            given = {"token": values["access_token"]}
        provider: Any = None
        if given is not None:
            provider = SecretCredentials(secret.name, given, account)
        elif "client_secret" in values or "chain" in values:
            provider = _identity(secret)
        return SecretAccess(
            Access(credentials=Provider(provider, self.name) if provider is not None else None),
            {name: value for name, value in environment.items() if value},
        )


def _identity(secret: HostSecret) -> Any:
    """A service principal, or whoever is signed in."""
    try:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential  # noqa: PLC0415
        from obstore.auth.azure import AzureCredentialProvider  # noqa: PLC0415
    except ImportError:
        raise InvalidArgumentError(
            f"the secret \"{secret.name}\" needs more packages: pip install 'rasteret-sql[azure]'"
        ) from None
    values = secret.values
    if "client_secret" not in values:
        return AzureCredentialProvider(DefaultAzureCredential())
    lacking = [name for name in ("tenant_id", "client_id") if name not in values]
    if lacking:
        raise InvalidArgumentError(f'the secret "{secret.name}" lacks {" and ".join(lacking)}')
    return AzureCredentialProvider(
        ClientSecretCredential(values["tenant_id"], values["client_id"], values["client_secret"])
    )
