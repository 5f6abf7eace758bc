"""Servers that are not there: skipped, or failed where all are required."""

from __future__ import annotations

import subprocess
import threading

import pytest

from tests.servers import azure
from tests.servers.wanted import CACHE, REQUIRED, installing, unavailable


def test_skipped_or_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "0"):
        monkeypatch.setenv(REQUIRED, value)
        with pytest.raises(pytest.skip.Exception, match="no such server"):
            unavailable("no such server")
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=f"no such server, and {REQUIRED} is set"):
        unavailable("no such server")


def test_a_server_is_installed_once(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """By whoever comes first; the others wait, and find it."""
    installs: list[list[str]] = []

    def install(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        installs.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr(azure.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(azure.subprocess, "run", install)
    threads = [threading.Thread(target=azure.azurite) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(installs) == 1
    with installing("azurite-3.35.0") as directory:
        assert (directory / "complete").exists()


def test_an_install_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    outcomes = iter([1, 0])
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setenv(REQUIRED, "")
    monkeypatch.setattr(azure.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(
        azure.subprocess, "run", lambda *_a, **_k: subprocess.CompletedProcess([], next(outcomes), stderr="no network")
    )
    with pytest.raises(pytest.skip.Exception, match="no network"):
        azure.azurite()
    azure.azurite()
