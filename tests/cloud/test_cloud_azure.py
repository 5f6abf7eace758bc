"""Azure and the Planetary Computer's tokens, from fresh processes: promises A3, B1, B2, B3, B29, B32, B33, B34."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.cloud.world import Users, World
from tests.servers.azure import ACCOUNT, ACCOUNT_KEY, AzureGate, AzureServer, azure_server, container_sas
from tests.servers.internet import Internet
from tests.servers.planetary_computer import SUBSCRIPTION_KEY, TokenEndpoint

__all__ = ["azure_server"]
pytestmark = pytest.mark.xdist_group("cloud-azure")

SURFACES = pytest.mark.parametrize("surface", ["python", "sql"])
BLOBS = f"https://{ACCOUNT}.blob.core.windows.net/scenes/a%20b/"
ENDPOINT = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
BY_ENDPOINT = f"backend = rasteret_sql.create_backend({ENDPOINT!r})"


@pytest.fixture(scope="session")
def azure_gate(azure_server: AzureServer, world: World) -> Iterator[AzureGate]:
    store = azure_server.store("scenes")
    for name, data in world.files().items():
        store.put(f"a b/{name}", data)
    with AzureGate(azure_server.url) as gate:
        yield gate


@pytest.fixture(autouse=True)
def azure(azure_gate: AzureGate, internet: Internet, tokens: TokenEndpoint) -> AzureGate:
    internet.routes = {"*.core.windows.net": azure_gate.url, "planetarycomputer.microsoft.com": tokens.origin}
    azure_gate.log.clear()
    azure_gate.public.clear()
    azure_gate.revoked.clear()
    return azure_gate


@pytest.fixture
def tokens() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        yield endpoint


@SURFACES
@pytest.mark.parametrize("prefix", [BLOBS, f"abfs://scenes@{ACCOUNT}.dfs.core.windows.net/a b/", "az://scenes/a b/"])
def test_b1_b2_b29_b33_a_token_endpoint(
    users: Users, azure: AzureGate, tokens: TokenEndpoint, surface: str, prefix: str
) -> None:
    """One token for all reads of a process; nothing is set but what an az:// address does not say."""
    environment = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT} if prefix.startswith("az:") else {}
    items = users.item_file(users.world.items(prefix))
    users.see(surface, users.run(surface, items, environment, setup=BY_ENDPOINT))
    assert tokens.asked == [(ACCOUNT, "scenes")]
    assert {(seen.signed, seen.status) for seen in azure.log} == {("SAS", 206)}


@SURFACES
def test_a3_a_provider_of_obstore(users: Users, azure: AzureGate, tokens: TokenEndpoint, surface: str) -> None:
    setup = (
        "from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider\n"
        f"provider = PlanetaryComputerCredentialProvider({BLOBS!r}, subscription_key={SUBSCRIPTION_KEY!r})\n"
        "backend = rasteret_sql.create_backend(credential_provider=provider)"
    )
    users.see(surface, users.run(surface, users.item_file(users.world.items(BLOBS)), setup=setup))
    assert tokens.asked == [(ACCOUNT, "scenes")]
    assert set(tokens.keys) == {SUBSCRIPTION_KEY}
    assert {(seen.signed, seen.status) for seen in azure.log} == {("SAS", 206)}


@SURFACES
@pytest.mark.parametrize("how", ["key", "SAS"])
def test_keys_and_tokens_of_the_environment(users: Users, azure: AzureGate, surface: str, how: str) -> None:
    sas = container_sas("scenes", timedelta(hours=1))
    environment = {"AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY} if how == "key" else {"AZURE_STORAGE_SAS_TOKEN": sas}
    users.see(surface, users.run(surface, users.item_file(users.world.items(BLOBS)), environment))
    assert {(seen.signed, seen.status) for seen in azure.log} == {(how, 206)}


@SURFACES
def test_an_open_container_and_an_endpoint_of_its_own(users: Users, azure: AzureGate, surface: str) -> None:
    azure.public.add("scenes")
    items = users.item_file(users.world.items("az://scenes/a b/"))
    environment = {"AZURE_STORAGE_ENDPOINT": f"{azure.url}/{ACCOUNT}", "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT}
    users.see(surface, users.run(surface, items, environment))
    assert {(seen.account, seen.signed, seen.status) for seen in azure.log} == {(ACCOUNT, "", 206)}
