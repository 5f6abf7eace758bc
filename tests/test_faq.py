"""Every error of docs/faq.md comes as the page has it."""

from __future__ import annotations

import re

import duckdb
import pytest

import rasteret_sql
from tests.test_readme import ROOT

TABLE = (ROOT / "docs" / "faq.md").read_text("utf-8").partition("<!-- test: errors -->\n")[2].partition("\n\n")[0]
ERRORS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", TABLE, re.MULTILINE)


def test_every_row_is_tested():
    assert len(ERRORS) == len(TABLE.splitlines()) - 2 >= 10


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("faq")) as con:
        for name, collection in (("meadows", "sentinel2-eopatch-slovenia"), ("dunes", "sentinel-s2-l2a-cogs")):
            catalog = "rasteret_example('catalog/catalog.json')"
            con.execute(f"FROM rasteret_build_from_stac('{name}', {catalog}, '{collection}')").fetchall()
        con.execute("CREATE TABLE fields AS FROM rasteret_features(rasteret_example('zones/fields.geojson'))")
        yield con


@pytest.mark.exhaustive
@pytest.mark.parametrize(("statement", "message"), ERRORS)
def test_error(con, statement, message):
    with pytest.raises(duckdb.Error) as error:
        con.execute(statement).fetchall()
    assert message in str(error.value)
