"""Promises F1 to F8, the contradictions of the documents: settled for the user. And the page that tells of all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rasteret_sql import CloudConfig, DatasetDescriptor
from tests.promises.test_promises_e import madrid

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text()
ROWS = [re.split(r" *\| *", line[2:]) for line in PAGE.splitlines() if re.match(r"\| [A-F]\d", line)]
NUMBERS = [
    f"{group}{n}"
    for group, last in (("A", 22), ("B", 38), ("C", 25), ("D", 42), ("E", 38), ("F", 8))
    for n in range(1, last + 1)
]


def test_f2_both_names_of_the_extra_install():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"planetary-computer", "azure", "earthdata"} <= set(extras)


def test_f4_every_name_of_a_table():
    for field in ("geoparquet_uri", "record_table_uri"):
        assert DatasetDescriptor(id="a/b", **{field: "x.parquet"}).build_source_uri == "x.parquet"


def test_f5_the_end_day_is_included_everywhere(site, home):
    """The scene is of 30 June, 11:00."""
    collection = madrid(site, date_range=("2024-06-30", "2024-06-30"))
    assert len(collection) == 1
    assert len(collection.subset(date_range=("2024-06-01", "2024-06-30"))) == 1


def test_f6_a_config_is_found_by_id_collection_or_last_part():
    config = CloudConfig(provider="aws", requester_pays=True, region="eu-central-1")
    CloudConfig.register("my-collection", config)
    assert CloudConfig.get_config("my-org/my-collection") == config
    assert CloudConfig.get_config("other/x", "my-collection") == config


def test_the_page_names_every_promise_once():
    assert [row[0] for row in ROWS] == NUMBERS


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_named_test_exists(row):
    tests = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row[3])
    assert tests or row[2].startswith("later:")
    for file, name in tests:
        text = (ROOT / file).read_text()
        assert not name or f"def {name}(" in text
        number = re.compile(rf"(?<![A-Za-z0-9]){row[0]}(?![0-9])", re.IGNORECASE)
        body = text.split(f"def {name}(", 1)[-1].split("\ndef ", 1)[0] if name else text
        assert number.search(name or "") or number.search(body.replace("_", " ")), (
            f"{file}::{name} says nothing of {row[0]}"
        )
