"""What is said to be found is what reads use, whatever is set and however broken it is. Issue 4, point 7."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from rasteret_sql.io.found_credentials import FoundCredential, found_credentials, installed_extras
from rasteret_sql.io.routed_backend import RoutedBackend
from tests.servers.earthdata import BEARER_TOKEN, PASSWORD, USER
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.secrets import planted

BROKEN_KEY = "not-base64-!!-key-of-found-credentials"
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
LIKELY = {"aws": "s3://b/k", "gcp": "gs://b/k", "azure": "abfs://c@acc.dfs.core.windows.net/k"}
CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "GCLOUD_", "EARTHDATA_", "NETRC", "STORAGE_EMULATOR_HOST", "PC_SDK_")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home of a user of whom nothing is known; variables are set in it, since stores read some by themselves."""
    for name in [name for name in os.environ if name.startswith(CLOUDS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def of(provider: str, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> FoundCredential:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = found_credentials()
    assert {"aws", "gcp", "azure", "earthdata", "planetary-computer"} <= {one.provider for one in found}
    for hidden in (ACCESS_KEY, SECRET_KEY, BROKEN_KEY, BEARER_TOKEN, PASSWORD):
        assert hidden not in repr(found)
    return next(one for one in found if one.provider == provider)


@pytest.mark.parametrize(
    ("provider", "variables"),
    [
        ("aws", {}),
        ("aws", KEYS),
        ("aws", KEYS | {"AWS_PROFILE": "mine"}),  # a variable wins over a profile
        ("aws", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/file"}),
        ("gcp", {}),
        ("azure", {}),
        ("azure", {"AZURE_STORAGE_SAS_TOKEN": "sv=2020&sig=x"}),
        ("azure", {"AZURE_CLIENT_ID": "x"}),
    ],
)
def test_the_story_is_that_of_reads(provider: str, variables: dict[str, str], home: Path, monkeypatch) -> None:
    one = of(provider, variables, monkeypatch)
    words = RoutedBackend().credential(LIKELY[provider])
    assert words == f"{'signed by ' if one.found else 'anonymous: '}{one.source}"
    assert one.found == bool(variables)
    assert ("signed" in one.effect) == one.found


@pytest.mark.parametrize(
    ("provider", "variables", "why"),
    [
        ("aws", {"AWS_ACCESS_KEY_ID": ACCESS_KEY}, "AWS_SECRET_ACCESS_KEY is not set beside it"),
        ("gcp", {"GOOGLE_APPLICATION_CREDENTIALS": "/no/file.json"}, "has to name a file"),
        ("gcp", {"GOOGLE_SERVICE_ACCOUNT_KEY": f'{{"private_key": "{BROKEN_KEY}"'}, "cannot be parsed"),
        ("azure", {"AZURE_STORAGE_ACCOUNT_KEY": BROKEN_KEY}, "cannot be parsed"),
    ],
)
def test_what_is_broken_is_said_and_not_shown(
    provider: str, variables: dict[str, str], why: str, home: Path, monkeypatch
) -> None:
    """Each of these is an error of the store with the variable's value in it."""
    one = of(provider, variables, monkeypatch)
    assert not one.found
    assert one.source == f"{next(iter(variables))} of the environment"
    assert one.effect.startswith("requests fail: ")
    assert why in one.effect


def test_profiles_of_files(home: Path, monkeypatch) -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default]\nregion=x\n[profile sso]\nsso_session=s\n[sso-session s]\n")
    found = of("aws", {}, monkeypatch)
    assert (found.found, found.source) == (False, "no variable; profiles in files: default, sso")
    assert "set AWS_PROFILE to sign all" in found.effect
    paying = of("aws", {"AWS_REQUEST_PAYER": "requester"}, monkeypatch)
    assert paying.source == "to be looked for, in profiles (default, sso) and the role of this machine"
    (home / ".aws" / "config").write_text("no section")
    assert not of("aws", {"AWS_REQUEST_PAYER": ""}, monkeypatch).found
    monkeypatch.setattr("rasteret_sql.io.clouds.s3.has_boto3", lambda: False)
    assert "pip install 'rasteret-sql[aws]'" in of("aws", {"AWS_PROFILE": "sso"}, monkeypatch).effect


def test_logins_of_earthdata(home: Path, monkeypatch) -> None:
    assert not of("earthdata", {}, monkeypatch).found
    planted(home / ".netrc").write_text(f"machine urs.earthdata.nasa.gov login {USER} password {PASSWORD} oops\n")
    broken = of("earthdata", {}, monkeypatch)
    assert not broken.found
    assert f"{home / '.netrc'} cannot be parsed, at line " in broken.source
    assert of("earthdata", {"EARTHDATA_TOKEN": BEARER_TOKEN}, monkeypatch).found  # then it is not looked at
    monkeypatch.setattr("rasteret_sql.io.clouds.credential_source.has_module", lambda _module: False)
    unused = of("earthdata", {}, monkeypatch)
    assert unused.effect == "not used: pip install 'rasteret-sql[earthdata]'"
    assert not any(installed_extras().values())


def test_b33_the_planetary_computer_needs_nothing(home: Path, monkeypatch) -> None:
    assert of("planetary-computer", {}, monkeypatch).source == "needs none"
    keyed = of("planetary-computer", {"PC_SDK_SUBSCRIPTION_KEY": BROKEN_KEY}, monkeypatch)
    assert keyed.source == "PC_SDK_SUBSCRIPTION_KEY of the environment"
