"""Google Cloud Storage from fresh processes, in Python and in SQL: promises A14, B21, B34."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.world import Users, World
from tests.servers.google import Bucket, GoogleGate, GoogleServer, google_server
from tests.servers.internet import Internet

__all__ = ["google_server"]
pytestmark = pytest.mark.xdist_group("cloud-google")

SURFACES = pytest.mark.parametrize("surface", ["python", "sql"])
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


@SURFACES
@pytest.mark.parametrize("form", FORMS)
def test_a_service_account(users: Users, google: GoogleGate, surface: str, form: str) -> None:
    key = google.service_account(users.directory / "service-account.json")
    items = users.item_file(users.world.items(form.format("private-scenes")))
    users.see(surface, users.run(surface, items, {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}))
    assert {(seen.bearer, seen.status) for seen in google.log} == {("service account", 206)}


@SURFACES
def test_a_user_who_has_logged_in(users: Users, google: GoogleGate, surface: str) -> None:
    """What `gcloud auth application-default login` leaves, named by the variable: a refresh token."""
    file = google.user(users.directory / "application_default_credentials.json")
    items = users.item_file(users.world.items("gs://private-scenes/a b/"))
    users.see(surface, users.run(surface, items, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}))
    assert {(seen.bearer, seen.status) for seen in google.log} == {("user", 206)}


@SURFACES
@pytest.mark.parametrize("form", FORMS)
def test_open_buckets_need_nothing(users: Users, google: GoogleGate, surface: str, form: str) -> None:
    items = users.item_file(users.world.items(form.format("open-scenes")))
    users.see(surface, users.run(surface, items))
    assert {(seen.bearer, seen.status) for seen in google.log} == {("", 206)}


@SURFACES
def test_b21_requester_pays(users: Users, google: GoogleGate, surface: str) -> None:
    """The project that pays goes along."""
    key = google.service_account(users.directory / "service-account.json")
    environment = {"GOOGLE_APPLICATION_CREDENTIALS": str(key), "GOOGLE_CLOUD_PROJECT": "tests-project"}
    setup = "backend = rasteret_sql.create_backend(cloud_config={'provider': 'gcp', 'requester_pays': True})"
    items = users.item_file(users.world.items("gs://paid-scenes/a b/"))
    users.see(surface, users.run(surface, items, environment, setup=setup))
    assert {(seen.bearer, seen.project, seen.status) for seen in google.log} == {
        ("service account", "tests-project", 206)
    }


@SURFACES
@pytest.mark.parametrize("how", ["variable", "file"])
def test_an_emulator(users: Users, google_server: GoogleServer, surface: str, how: str) -> None:
    """Named by STORAGE_EMULATOR_HOST, or by the service account's file, with which nothing is signed."""
    environment = {"STORAGE_EMULATOR_HOST": google_server.url.removeprefix("http://")}
    if how == "file":
        gate = GoogleGate(google_server.url)
        file = gate.service_account(
            users.directory / "service-account.json", gcs_base_url=google_server.url, disable_oauth=True
        )
        environment = {"GOOGLE_SERVICE_ACCOUNT": str(file)}
    users.see(surface, users.run(surface, users.item_file(users.world.items("gs://private-scenes/a b/")), environment))
