"""Google Cloud Storage from fresh processes, in Python and in SQL: promises A14, B21, B34."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.world import Users, World, by_turns
from tests.servers.google import Bucket, GoogleGate, GoogleServer, google_server
from tests.servers.internet import Internet

pytestmark = pytest.mark.exhaustive  # of clouds, the tests of S3 and Azure run by themselves

__all__ = ["google_server"]

FORMS = ("gs://{}/a b/", "https://storage.googleapis.com/{}/a%20b/")


@pytest.fixture(scope="session")
def google_gate(google_server: GoogleServer, world: World) -> Iterator[GoogleGate]:
    buckets = {
        "private-scenes": Bucket(),
        "open-scenes": Bucket(public=True),
        "paid-scenes": Bucket(requester_pays=True),
    }
    for bucket in buckets:
        for name, data in world.files().items():
            google_server.put(bucket, f"a b/{name}", data)
    with GoogleGate(google_server.url) as gate:
        gate.buckets.update(buckets)
        yield gate


@pytest.fixture(autouse=True)
def google(google_gate: GoogleGate, internet: Internet) -> GoogleGate:
    internet.routes = dict.fromkeys(("*.googleapis.com", "accounts.google.com"), google_gate.url)
    google_gate.log.clear()
    return google_gate


@pytest.mark.parametrize(("surface", "form"), by_turns(*FORMS))
def test_a_service_account(users: Users, google: GoogleGate, surface: str, form: str) -> None:
    key = google.service_account(users.directory / "service-account.json")
    items = users.item_file(users.world.items(form.format("private-scenes")))
    users.see(surface, users.run(surface, items, {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}))
    assert {(seen.bearer, seen.status) for seen in google.log} == {("service account", 206)}


def test_a_user_who_has_logged_in(users: Users, google: GoogleGate) -> None:
    """What `gcloud auth application-default login` leaves, named by the variable: a refresh token."""
    file = google.user(users.directory / "application_default_credentials.json")
    items = users.item_file(users.world.items("gs://private-scenes/a b/"))
    users.see("sql", users.run("sql", items, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}))
    assert {(seen.bearer, seen.status) for seen in google.log} == {("user", 206)}


@pytest.mark.parametrize(("surface", "form"), by_turns(*FORMS)[1:])
def test_open_buckets_need_nothing(users: Users, google: GoogleGate, surface: str, form: str) -> None:
    items = users.item_file(users.world.items(form.format("open-scenes")))
    users.see(surface, users.run(surface, items))
    assert {(seen.bearer, seen.status) for seen in google.log} == {("", 206)}


def test_b21_requester_pays(users: Users, google: GoogleGate) -> None:
    """The project that pays goes along."""
    key = google.service_account(users.directory / "service-account.json")
    environment = {"GOOGLE_APPLICATION_CREDENTIALS": str(key), "GOOGLE_CLOUD_PROJECT": "tests-project"}
    setup = "backend = rasteret_sql.create_backend(cloud_config={'provider': 'gcp', 'requester_pays': True})"
    items = users.item_file(users.world.items("gs://paid-scenes/a b/"))
    users.see("python", users.run("python", items, environment, setup=setup))
    assert {(seen.bearer, seen.project, seen.status) for seen in google.log} == {
        ("service account", "tests-project", 206)
    }


@pytest.mark.parametrize(("surface", "how"), [("python", "variable"), ("sql", "file")])
def test_an_emulator(users: Users, google: GoogleGate, google_server: GoogleServer, surface: str, how: str) -> None:
    """Named by STORAGE_EMULATOR_HOST, or by the service account's file, with which nothing is signed."""
    environment = {"STORAGE_EMULATOR_HOST": google_server.url.removeprefix("http://")}
    if how == "file":
        file = google.service_account(
            users.directory / "service-account.json", gcs_base_url=google_server.url, disable_oauth=True
        )
        environment = {"GOOGLE_SERVICE_ACCOUNT": str(file)}
    users.see(surface, users.run(surface, users.item_file(users.world.items("gs://private-scenes/a b/")), environment))


ANONYMOUS = ("HTTP 403, AccessDenied", "anonymous: GOOGLE_APPLICATION_CREDENTIALS is not set")
OTHER_ACCOUNT = ("HTTP 401, AuthenticationRequired", "signed by GOOGLE_APPLICATION_CREDENTIALS of the environment")
NO_PROJECT = ("HTTP 400, UserProjectMissing", "GOOGLE_CLOUD_PROJECT")


@pytest.mark.parametrize(
    ("surface", "bucket", "words"),
    [
        ("python", "private-scenes", ANONYMOUS),
        ("sql", "private-scenes", ANONYMOUS),
        ("python", "private-scenes", OTHER_ACCOUNT),
        pytest.param("sql", "paid-scenes", NO_PROJECT),
    ],
)
def test_b34_refused(
    users: Users, google: GoogleGate, google_server: GoogleServer, *, surface: str, bucket: str, words: tuple[str, ...]
) -> None:
    """The host's answer, which credential was tried and from where, and the remedy."""
    file = users.directory / "service-account.json"
    environment = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    if words is OTHER_ACCOUNT:
        with GoogleGate(google_server.url) as another:
            another.service_account(file)
    elif words is NO_PROJECT:
        google.service_account(file)
    else:
        environment = {}
    report = users.run(surface, users.item_file(users.world.items(f"gs://{bucket}/a b/")), environment)
    assert report.did == "nothing"
    if surface == "python":
        assert "PermissionError" in report.classes, report.words
    else:
        assert "AccessDeniedError: rasteret_build_from_stac: " in report.words, report.words
    for word in (f"gs://{bucket}/a b/one_B1.tif", "GOOGLE_APPLICATION_CREDENTIALS", *words):
        assert word in report.words, report.words
