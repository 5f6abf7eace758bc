"""The file of earlier lines holds no credential; the session itself remembers all."""

from __future__ import annotations

import pytest

from rasteret_sql.cli.history import CarefulHistory, holds_credential
from rasteret_sql.cli.prompt import open_history

WORD = "not-to-be-kept"
CREDENTIALS = [
    f"FROM rasteret_create_backend('b', default_s3_config := {{'secret_access_key': '{WORD}'}})",
    f"FROM rasteret_create_backend('b', session_token := '{WORD}')",
    f"CREATE OR REPLACE SECRET s (TYPE s3, KEY_ID 'a', SECRET '{WORD}')",
    f"create persistent secret (type azure, connection_string 'AccountName=a;AccountKey={WORD}')",
    f"FROM rasteret_build_from_stac('a', 'https://h.org/stac?token={WORD}')",
    f"FROM 'https://u:{WORD}@h.org/x.parquet'",
    f'SELECT \'{{"api_key": "{WORD}"}}\'',
]
OTHERS = [
    "SELECT 1",
    "FROM rasteret_build('a/b', name := 'x', bbox := [1, 2, 3, 4])",
    "SELECT token, sig FROM t WHERE band = 'B04'",
    "FROM rasteret_load('https://h.org/x.parquet?version=3')",
]


@pytest.mark.parametrize("line", CREDENTIALS)
def test_lines_with_credentials_are_not_kept(tmp_path, line):
    history = open_history(tmp_path)
    assert isinstance(history, CarefulHistory)
    history.append_string(line)
    history.append_string("SELECT 2")
    assert WORD not in (tmp_path / "history").read_text()
    assert "SELECT 2" in (tmp_path / "history").read_text()
    assert line in history.get_strings()


@pytest.mark.parametrize("line", OTHERS)
def test_others_are(line):
    assert not holds_credential(line)
