"""What libraries log of requests holds no credential."""

from __future__ import annotations

import logging

import pytest

from rasteret_sql.io.log_filter import CredentialFilter, guard_logs

WORD = "not-to-be-logged"


@pytest.mark.parametrize(
    ("message", "arguments", "safe"),
    [
        ('%s "%s %s HTTP/1.1" %s', ("http://h:80", "GET", f"/s?limit=3&token={WORD}&x=1", 200),
         'http://h:80 "GET /s?limit=3&x=1 HTTP/1.1" 200'),
        ("GET %s Headers: %s",
         (f"https://u:{WORD}@h/x?sig={WORD}", {"Authorization": f"Bearer {WORD}", "Accept": "*/*"}),
         "GET https://h/x Headers: {'Authorization': '***', 'Accept': '*/*'}"),
        ("Headers: %s",
         ({"Ocp-Apim-Subscription-Key": WORD, "Cookie": f"session={WORD}", "X-Auth-Token": WORD.encode()},),
         "Headers: {'Ocp-Apim-Subscription-Key': '***', 'Cookie': '***', 'X-Auth-Token': b'***'}"),
        ("Retry: %s", (f"(url='/x?a=1&api_key={WORD}')",), "Retry: (url='/x?a=1')"),
        ("%d%% of %s", (3, "https://h/x?a=1"), "3% of https://h/x?a=1"),
    ],
)  # fmt: skip
def test_the_text_of_a_record(message, arguments, safe):
    record = logging.LogRecord("x", logging.DEBUG, __file__, 1, message, arguments, None)
    assert CredentialFilter().filter(record)
    assert record.getMessage() == safe


def test_the_filter_is_added_once():
    guard_logs()
    guard_logs()
    logger = logging.getLogger("urllib3.connectionpool")
    assert sum(isinstance(one, CredentialFilter) for one in logger.filters) == 1
