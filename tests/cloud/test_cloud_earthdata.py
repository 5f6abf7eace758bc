"""NASA Earthdata from fresh processes: promises B5, B7, B30, B32, C10, C11 and the names of its hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.cloud.conftest import BUCKETS
from tests.cloud.world import Users, by_turns
from tests.sampling import some
from tests.servers.earthdata import BEARER_TOKEN, HOST, PASSWORD, USER, Login
from tests.servers.internet import Internet
from tests.servers.s3_gate import S3Gate
from tests.servers.secrets import planted
from tests.servers.stac_api import StacApiServer

pytestmark = pytest.mark.exhaustive  # of clouds, the tests of S3 and Azure run by themselves

SURFACES = pytest.mark.parametrize("surface", some(["python", "sql"], 2))
LOGIN_AT = "https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials"
BUCKET = "lp-prod-protected"
WRONG_PASSWORD = "a-wrong-password-of-earthdata"
ACCOUNT = {"EARTHDATA_USERNAME": USER, "EARTHDATA_PASSWORD": PASSWORD}


@pytest.fixture
def login(amazon: S3Gate, internet: Internet) -> Iterator[Login]:
    """A login whose temporary keys alone open the bucket, as `readers` has it."""
    readers: set[str] = set()

    def issue(lifetime: timedelta) -> tuple[str, str, str]:
        made = amazon.issue(lifetime)
        readers.add(made[0])
        return made

    BUCKETS[BUCKET].readers = readers
    with Login(issue) as login:
        internet.routes = {"*.amazonaws.com": amazon.url, "*.nasa.gov": login.url}
        yield login
    BUCKETS[BUCKET].readers = None


@pytest.fixture
def registered(users: Users) -> Iterator[Callable[[], dict[str, str]]]:
    """The setup of a dataset that says where its credentials are to be had."""
    with StacApiServer(users.world.items(f"s3://{BUCKET}/a b/")) as api:
        yield lambda: {
            "dataset": "nasa/scenes",
            "setup": (
                "rasteret_sql.register(rasteret_sql.DatasetDescriptor(id='nasa/scenes', requires_auth=True, "
                f"stac_api={api.url!r}, stac_collection='scenes', s3_credentials_url={LOGIN_AT!r}))"
            ),
        }


@pytest.mark.parametrize(("surface", "how"), by_turns("netrc", "account", "token"))
def test_b7_b30_c10_c11_a_login_is_found(
    users: Users, amazon: S3Gate, login: Login, registered, *, surface: str, how: str
) -> None:
    """The dataset alone tells all; one login serves build and read, and its region is known."""
    environment = {"netrc": {}, "account": ACCOUNT, "token": {"EARTHDATA_TOKEN": BEARER_TOKEN}}[how]
    if how == "netrc":
        (users.directory / "home").mkdir()
        file = planted(users.directory / "home" / ".netrc")
        file.write_text(f"machine {HOST} login {USER} password {PASSWORD}\n")
        file.chmod(0o600)
    users.see(surface, users.run(surface, None, environment, **registered()))
    assert login.given == 1
    assert set(login.logins) == (set() if how == "token" else {HOST})
    assert {(seen.region, seen.endpoint, seen.status) for seen in amazon.log} == {("us-west-2", "us-west-2", 206)}


def test_b5_a_provider_of_obstore(users: Users, amazon: S3Gate, login: Login) -> None:
    setup = (
        "from obstore.auth.earthdata import NasaEarthdataCredentialProvider\n"
        f"provider = NasaEarthdataCredentialProvider(credentials_url={LOGIN_AT!r})\n"
        "backend = rasteret_sql.create_backend(credential_provider=provider, region='us-west-2')"
    )
    items = users.item_file(users.world.items(f"https://{BUCKET}.s3.us-west-2.amazonaws.com/a%20b/"))
    users.see("python", users.run("python", items, ACCOUNT, setup=setup))
    assert login.given == 1
    assert {seen.status for seen in amazon.log} == {206}


def test_b32_keys_that_are_about_to_expire_are_renewed(users: Users, amazon: S3Gate, login: Login, registered) -> None:
    """Keys that say themselves that they live for a second: none is used after its end."""
    login.lifetime = timedelta(seconds=1)
    users.see("sql", users.run("sql", None, ACCOUNT, pause=1.1, **registered()))
    assert login.given >= 2
    assert {seen.status for seen in amazon.log} == {206}


@SURFACES
def test_b32_keys_that_expire_in_the_middle_of_a_read_are_renewed(
    users: Users, amazon: S3Gate, login: Login, registered, surface: str
) -> None:
    """They said that they would live for an hour. S3 refuses them after the fifth request: renewed, and asked again."""
    issue, login.granted = login.keys, timedelta(hours=1)
    assert callable(issue)

    def first_is_short(lifetime: timedelta) -> tuple[str, str, str]:
        made = issue(lifetime)
        amazon.keys[made[0]].uses = 5 if login.given == 1 else None
        return made

    login.keys = first_is_short
    users.see(surface, users.run(surface, None, ACCOUNT, **registered()))
    assert login.given == 2
    assert amazon.count(400, "ExpiredToken") >= 1
    assert len({seen.access_key for seen in amazon.log if seen.status == 206}) == 2


@pytest.mark.parametrize(("surface", "how"), by_turns("wrong password", "wrong token", "no login"))
def test_b34_refused(users: Users, login: Login, registered, surface: str, how: str) -> None:
    """The login's answer, or where a login is looked for."""
    environment = {
        "wrong password": ACCOUNT | {"EARTHDATA_PASSWORD": WRONG_PASSWORD},
        "wrong token": {"EARTHDATA_TOKEN": WRONG_PASSWORD},
        "no login": {},
    }[how]
    report = users.run(surface, None, environment, **registered())
    assert report.did == "nothing"
    if how == "no login":
        words = ("~/.netrc", "EARTHDATA_TOKEN", "rasteret-sql[earthdata]", f"machine {HOST}")
    else:
        words = (f"s3://{BUCKET}/a b/one_B1.tif", "NasaEarthdataCredentialProvider gave no credentials: HTTP 401")
        assert "AccessDenied" in report.words + " ".join(report.classes)
    for word in words:
        assert word in report.words, report.words
    assert login.given == 0
