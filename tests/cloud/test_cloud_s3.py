"""Amazon S3 from fresh processes, in Python and in SQL: promises A5, A7, B9, B10, B12, B13, B15, B16, B17, B35."""

from __future__ import annotations

import pytest

from tests.cloud.world import Users, by_turns
from tests.sampling import some
from tests.servers.internet import Internet
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import S3Gate
from tests.servers.stac_api import StacApiServer

SURFACES = pytest.mark.parametrize("surface", some(["python", "sql"], 2))
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
WEST = {"AWS_REGION": "us-west-2"}
FORMS = (
    "s3://{}/a b/",
    "https://{}.s3.us-west-2.amazonaws.com/a%20b/",
    "https://{}.s3.amazonaws.com/a%20b/",
    "https://s3.us-west-2.amazonaws.com/{}/a%20b/",
)
"""How items address a bucket."""


@pytest.fixture(autouse=True)
def hosts(internet: Internet, amazon: S3Gate) -> None:
    internet.routes = {"*.amazonaws.com": amazon.url}


@pytest.mark.parametrize(("surface", "form"), by_turns(*FORMS))
def test_b12_b13_signed_by_the_environment(users: Users, amazon: S3Gate, surface: str, form: str) -> None:
    items = users.item_file(users.world.items(form.format("private-scenes")))
    users.see(surface, users.run(surface, items, {**KEYS, **WEST}))
    came = {(seen.access_key, seen.region, seen.endpoint, seen.status) for seen in amazon.log}
    assert came == {(ACCESS_KEY, "us-west-2", "us-west-2", 206)}


@pytest.mark.exhaustive
def test_b12_a_session_token_of_the_environment(users: Users, amazon: S3Gate) -> None:
    access_key, secret_key, token = amazon.issue()
    amazon.buckets["private-scenes"].readers = {access_key}
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_SESSION_TOKEN": token}
    items = users.item_file(users.world.items("s3://private-scenes/a b/"))
    try:
        users.see("sql", users.run("sql", items, {**keys, **WEST}))
    finally:
        amazon.buckets["private-scenes"].readers = None


@pytest.mark.exhaustive
@SURFACES
def test_b16_b17_keys_of_a_backend_sign_for_a_stac_api(users: Users, amazon: S3Gate, surface: str) -> None:
    """Nothing is set in the environment; explicit keys sign, whatever else holds."""
    setup = (
        "backend = rasteret_sql.create_backend(region='us-west-2', default_s3_config={"
        f"'aws_access_key_id': {ACCESS_KEY!r}, 'aws_secret_access_key': {SECRET_KEY!r}}})"
    )
    with StacApiServer(users.world.items("s3://private-scenes/a b/")) as api:
        users.see(surface, users.run(surface, api.url, setup=setup))
        assert api.count("/search") == 1
    assert {(seen.access_key, seen.region, seen.status) for seen in amazon.log} == {(ACCESS_KEY, "us-west-2", 206)}


@pytest.mark.parametrize(("surface", "form"), by_turns(*FORMS[:2]))
def test_a19_unsigned(users: Users, amazon: S3Gate, surface: str, form: str) -> None:
    """Open data needs nothing: the region of the bucket is found where the address does not tell it."""
    items = users.item_file(users.world.items(form.format("open-scenes")))
    users.see(surface, users.run(surface, items))
    assert {seen.access_key for seen in amazon.log} == {None}
    asked_elsewhere = [seen for seen in amazon.log if seen.status == 301]
    if form.startswith("s3://"):
        assert asked_elsewhere
        assert "HEAD" in {seen.method for seen in amazon.log}
    else:
        assert not asked_elsewhere


@pytest.mark.exhaustive
def test_b15_skip_signature_reads_without_the_keys_of_the_environment(users: Users, amazon: S3Gate) -> None:
    setup = "backend = rasteret_sql.create_backend(default_s3_config={'region': 'us-west-2', 'skip_signature': 'true'})"
    items = users.item_file(users.world.items("s3://open-scenes/a b/"))
    unknown = {"AWS_ACCESS_KEY_ID": "AKIDNOBODYKNOWS00000", "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    users.see("python", users.run("python", items, unknown, setup=setup))
    assert {(seen.access_key, seen.endpoint, seen.status) for seen in amazon.log} == {(None, "us-west-2", 206)}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("surface", "how"), by_turns("registered", "environment", "config"))
def test_a5_b9_b10_requester_pays(users: Users, amazon: S3Gate, surface: str, how: str) -> None:
    """Buckets where the reader pays: told by a variable, by a CloudConfig, or by the one of a dataset."""
    config = "rasteret_sql.CloudConfig(provider='aws', requester_pays=True, region='us-west-2')"
    environment = dict(KEYS)
    setup = ""
    if how == "environment":
        environment |= {**WEST, "AWS_REQUEST_PAYER": "requester"}
    elif how == "config":
        setup = f"backend = rasteret_sql.create_backend(cloud_config={config})"
    else:
        setup = f"rasteret_sql.CloudConfig.register('scenes', {config})"
    with StacApiServer(users.world.items("s3://paid-scenes/a b/", collection="scenes")) as api:
        dataset = None
        if how == "registered":
            setup += (
                "\nrasteret_sql.register(rasteret_sql.DatasetDescriptor(id='my-org/scenes', "
                f"stac_api={api.url!r}, stac_collection='scenes', band_map={{'B1': 'B1', 'B2': 'B2'}}))"
            )
            dataset = "my-org/scenes"
        users.see(surface, users.run(surface, api.url, environment, setup=setup, dataset=dataset))
    came = {(seen.access_key, seen.region, seen.payer, seen.status) for seen in amazon.log}
    assert came == {(ACCESS_KEY, "us-west-2", "requester", 206)}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("surface", "region"), some([("python", "us-east-1"), ("sql", None)], 2))
def test_b35_wrong_region_is_found_and_asked_once(
    users: Users, amazon: S3Gate, surface: str, region: str | None
) -> None:
    """Signed for another region: S3 answers 301, and tells where the bucket is."""
    environment = {**KEYS, **({"AWS_REGION": region} if region else {})}
    items = users.item_file(users.world.items("s3://private-scenes/a b/"))
    users.see(surface, users.run(surface, items, environment))
    refused = [seen for seen in amazon.log if seen.status >= 300 and seen.method == "GET"]
    # Four headers are asked for at once, before it is known.
    assert 1 <= len(refused) <= 4
    assert {seen.code for seen in refused} == {"PermanentRedirect"}
    assert {seen.region for seen in amazon.log if seen.status == 206} == {"us-west-2"}


@pytest.mark.exhaustive
def test_b35_wrong_region_at_a_custom_endpoint(users: Users, amazon: S3Gate) -> None:
    """An endpoint that serves all regions answers 400 with the right one."""
    environment = {**KEYS, "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": amazon.url}
    items = users.item_file(users.world.items("s3://private-scenes/a b/"))
    users.see("sql", users.run("sql", items, environment))
    assert amazon.count(400, "AuthorizationHeaderMalformed") >= 1
    assert {seen.endpoint for seen in amazon.log} == {None}
    assert {seen.region for seen in amazon.log if seen.status == 206} == {"us-west-2"}


@pytest.mark.exhaustive
def test_b35_a_region_that_is_given_is_asked_at_once(users: Users, amazon: S3Gate) -> None:
    setup = "backend = rasteret_sql.create_backend(region='us-west-2')"
    items = users.item_file(users.world.items("s3://open-scenes/a b/"))
    users.see("sql", users.run("sql", items, setup=setup))
    assert {(seen.endpoint, seen.status) for seen in amazon.log} == {("us-west-2", 206)}
