"""Azure and the Planetary Computer's tokens, from fresh processes: promises A3, B1, B2, B3, B29, B32, B33, B34."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from rasteret_sql.io.fetch import fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.library.secret_backends import backend_of_secret, parse_secret
from tests.cloud.world import Users, World, by_turns
from tests.sampling import some
from tests.servers.azure import ACCOUNT, ACCOUNT_KEY, AzureGate, AzureServer, azure_server, container_sas
from tests.servers.internet import Internet
from tests.servers.planetary_computer import SUBSCRIPTION_KEY, TokenEndpoint

__all__ = ["azure_server"]

SURFACES = pytest.mark.parametrize("surface", some(["python", "sql"], 2))
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


@pytest.mark.parametrize(
    ("surface", "prefix"), by_turns(BLOBS, f"abfs://scenes@{ACCOUNT}.dfs.core.windows.net/a b/", "az://scenes/a b/")
)
def test_b1_b2_b29_b33_a_token_endpoint(
    users: Users, azure: AzureGate, tokens: TokenEndpoint, surface: str, prefix: str
) -> None:
    """One token for all reads of a process; nothing is set but what an az:// address does not say."""
    environment = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT} if prefix.startswith("az:") else {}
    items = users.item_file(users.world.items(prefix))
    users.see(surface, users.run(surface, items, environment, setup=BY_ENDPOINT))
    assert tokens.asked == [(ACCOUNT, "scenes")]
    assert {(seen.signed, seen.status) for seen in azure.log} == {("SAS", 206)}


@pytest.mark.exhaustive
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


@pytest.mark.parametrize(("surface", "how"), some([("python", "key"), ("sql", "SAS")], 2))
def test_keys_and_tokens_of_the_environment(users: Users, azure: AzureGate, surface: str, how: str) -> None:
    sas = container_sas("scenes", timedelta(hours=1))
    environment = {"AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY} if how == "key" else {"AZURE_STORAGE_SAS_TOKEN": sas}
    users.see(surface, users.run(surface, users.item_file(users.world.items(BLOBS)), environment))
    assert {(seen.signed, seen.status) for seen in azure.log} == {(how, 206)}


@pytest.mark.exhaustive
def test_an_open_container_and_an_endpoint_of_its_own(users: Users, azure: AzureGate) -> None:
    azure.public.add("scenes")
    items = users.item_file(users.world.items("az://scenes/a b/"))
    environment = {"AZURE_STORAGE_ENDPOINT": f"{azure.url}/{ACCOUNT}", "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT}
    users.see("sql", users.run("sql", items, environment))
    assert {(seen.account, seen.signed, seen.status) for seen in azure.log} == {(ACCOUNT, "", 206)}


@pytest.mark.parametrize("provider", some(["planetary-computer", ENDPOINT], 2))
def test_b1_b33_a_backend_named_in_sql(users: Users, azure: AzureGate, tokens: TokenEndpoint, provider: str) -> None:
    make = f"FROM rasteret_create_backend('mine', credential_provider := '{provider}')"
    users.see("sql", users.run("sql", users.item_file(users.world.items(BLOBS)), sql_setup=[make]))
    assert tokens.asked == [(ACCOUNT, "scenes")]
    assert {(seen.signed, seen.status) for seen in azure.log} == {("SAS", 206)}


@pytest.mark.exhaustive
def test_b2_a_token_endpoint_named_in_sql(users: Users, azure: AzureGate, tokens: TokenEndpoint) -> None:
    make = f"FROM rasteret_create_backend('mine', credential_provider := '{ENDPOINT}')"
    users.see("sql", users.run("sql", users.item_file(users.world.items(BLOBS)), sql_setup=[make]))
    assert tokens.asked == [(ACCOUNT, "scenes")]
    assert {(seen.signed, seen.status) for seen in azure.log} == {("SAS", 206)}


@pytest.mark.exhaustive
def test_b32_tokens_that_are_about_to_expire_are_renewed(users: Users, azure: AzureGate, tokens: TokenEndpoint) -> None:
    """Tokens that live for some seconds, as a busy machine needs them to: none is used after its end."""
    tokens.lifetime = timedelta(seconds=3)
    items = users.item_file(users.world.items(BLOBS))
    users.see("python", users.run("python", items, setup=BY_ENDPOINT, pause=3.1))
    assert len(tokens.asked) >= 2
    assert {seen.status for seen in azure.log} == {206}


@pytest.mark.exhaustive
@SURFACES
def test_b32_a_token_that_is_refused_in_the_middle_of_a_read_is_renewed(
    users: Users, azure: AzureGate, tokens: TokenEndpoint, surface: str
) -> None:
    """It said that it would live for an hour; Azure refuses it when the pixels are read."""
    tokens.lifetime, tokens.granted = timedelta(seconds=2), timedelta(hours=1)
    items = users.item_file(users.world.items(BLOBS))
    users.see(surface, users.run(surface, items, setup=BY_ENDPOINT, pause=2.2))
    assert len(tokens.asked) == 2
    assert [seen.status for seen in azure.log].count(403) >= 1


REFUSED = {
    # setup, variables of which each is a token of so many seconds, status or lifetime of the endpoint's, words
    "nothing": ("", {}, 0, ("anonymous: no AZURE_STORAGE_* variable", "PublicAccessNotPermitted", "SAS token")),
    "expired": (
        "",
        {"AZURE_STORAGE_SAS_TOKEN": -60},
        0,
        ("AuthenticationFailed", "AZURE_STORAGE_SAS_TOKEN", "expired"),
    ),
    "no such container": (BY_ENDPOINT, {}, 404, ("token endpoint", "answered HTTP 404")),
    "expired at once": (BY_ENDPOINT, {}, -60, ("AuthenticationFailed", "SasTokenEndpoint", "expired")),
}


@pytest.mark.parametrize(("surface", "case"), by_turns(*REFUSED))
def test_b34_refused(users: Users, azure: AzureGate, tokens: TokenEndpoint, surface: str, case: str) -> None:
    """The host's answer, which credential was tried and from where, and the remedy."""
    setup, environment, odd, words = REFUSED[case]
    given = {name: container_sas("scenes", timedelta(seconds=seconds)) for name, seconds in environment.items()}
    if odd > 0:
        tokens.status = odd
    elif odd < 0:
        tokens.lifetime, tokens.granted = timedelta(seconds=odd), timedelta(hours=1)
    report = users.run(surface, users.item_file(users.world.items(BLOBS)), given, setup=setup)
    assert report.did == "nothing"
    if surface == "python":
        assert "PermissionError" in report.classes, report.words
    else:
        assert "AccessDeniedError: rasteret_build_from_stac: " in report.words, report.words
    for word in (f"{BLOBS}one_B1.tif", *words):
        assert word in report.words, report.words
    assert "sig=" not in report.words
    assert "\n" not in report.words.partition("\n\nLINE")[0]


@pytest.mark.parametrize("how", ["key", "SAS"])
def test_a_secret_of_duckdb(azure_gate: AzureGate, azure_server: AzureServer, world: World, how: str) -> None:
    """A connection string as DuckDB keeps it: key or token, and an endpoint of its own."""
    token = container_sas("scenes", timedelta(hours=1))
    given = f"AccountKey={ACCOUNT_KEY}" if how == "key" else f"SharedAccessSignature={token}"
    text = (
        "name=x;type=azure;provider=config;serializable=true;scope=azure://,az://;connection_string="
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};{given};BlobEndpoint={azure_server.endpoint}"
    )
    backend = backend_of_secret(parse_secret("x", "azure", ["azure://", "az://"], text))
    expected = world.files()["one_B1.tif"]
    for prefix in ("az://scenes/a b/", BLOBS):
        data, _ = run(fetch_prefix(backend, f"{prefix}one_B1.tif", 64))
        assert bytes(data) == expected[:64]
