"""Promises C1 to C25: the reference page of `build`. Numbers in the names of tests are those of the promises."""

from __future__ import annotations

import inspect

import duckdb
import numpy as np
import pytest

import rasteret_sql as rasteret
from rasteret_sql import Collection, DatasetDescriptor
from rasteret_sql.io.routed_backend import RoutedBackend
from tests.promises.conftest import area

S2 = "earthsearch/sentinel-2-l2a"
BAY = (-122.5, 37.5, -122.0, 38.0)
QUARTER = ("2024-01-01", "2024-03-31")


class Counting(RoutedBackend):
    def __init__(self):
        super().__init__()
        self.read = []

    async def get_part(self, url, start, length):
        self.read.append(url)
        return await super().get_part(url, start, length)

    async def get_ranges(self, url, ranges):
        self.read.append(url)
        return await super().get_ranges(url, ranges)


def bay(site, home, **given):
    given = {"name": "bay", "bbox": BAY, "date_range": QUARTER, "stac_api": site.url, "workspace_dir": home} | given
    return rasteret.build(S2, **given)


def test_c1_the_printed_signature():
    printed = {
        "name": inspect.Parameter.empty, "bbox": None, "date_range": None, "workspace_dir": None, "force": False,
        "max_concurrent": 50, "query": None, "prefer_geoparquet": False, "stac_api": None, "cloud_config": None,
        "backend": None,
    }  # fmt: skip
    parameters = inspect.signature(rasteret.build).parameters
    assert parameters["dataset"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {name: parameters[name].default for name in printed} == printed
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in printed)


def test_c2_name_is_required():
    with pytest.raises(TypeError, match="name"):
        rasteret.build(S2)


def test_c3_c4_c9_what_build_refuses_in_both_languages(home):
    rasteret.register(DatasetDescriptor(id="acme/none"))
    cases = [
        ("nowhere/none", KeyError, "nowhere/none"),
        ("acme/none", ValueError, "acme/none"),
        (S2, ValueError, "bbox"),
    ]
    with rasteret.connect(workspace_dir=home) as con:
        for dataset, error, says in cases:
            with pytest.raises(error, match=says):
                rasteret.build(dataset, name="x", workspace_dir=home)
            with pytest.raises(duckdb.Error, match=says):
                con.execute(f"FROM rasteret_build('{dataset}', name := 'x')")


def test_c6_c23_c24_a_stac_dataset_is_searched_and_read_at_once(site, home):
    built = bay(site, home)
    assert isinstance(built, Collection)
    assert len(built) == 2
    assert len(built.subset(bbox=area("sf-jan"))) == 2
    assert len(built.subset(bbox=(0, 0, 1, 1))) == 0
    pixels = built.subset(date_range=("2024-01-01", "2024-02-01")).get_numpy(area("sf-jan"), ["B04"])
    assert np.unique(pixels).tolist() == [site.value("sf-jan", "red")]


def test_c12_c13_the_default_workspace_is_in_the_home_and_both_str_and_path_are_taken(site, home):
    assert bay(site, home, workspace_dir=None).path.is_relative_to(home / "rasteret_workspace")
    for workspace in (home / "path", str(home / "text")):
        assert bay(site, home, workspace_dir=workspace).path.is_relative_to(workspace)


def test_c14_c15_the_second_build_asks_nothing_and_force_asks_again(site, home):
    bay(site, home)
    before = site.requests()
    assert len(bay(site, home)) == 2
    assert site.requests() == before
    with rasteret.connect(workspace_dir=home) as con:
        sql = (
            "SELECT count(*) FROM rasteret_build($id, name := 'bay', bbox := [-122.5, 37.5, -122.0, 38.0], "
            "date_range := ['2024-01-01', '2024-03-31'], stac_api := $api, force := $force)"
        )
        assert con.execute(sql, {"id": S2, "api": site.url, "force": False}).fetchall() == [(2,)]
        assert site.requests() == before
        assert con.execute(sql, {"id": S2, "api": site.url, "force": True}).fetchall() == [(2,)]
    assert all(now > then for now, then in zip(site.requests(), before, strict=True))


def test_c16_max_concurrent_limits_the_requests_in_flight(site, home):
    assert inspect.signature(rasteret.build).parameters["max_concurrent"].default == 50
    site.files.settings(latency_ms=30)
    try:
        site.files.reset()
        bay(site, home, max_concurrent=2)
        assert 1 <= site.files.counts()["max_in_flight"] <= 2
    finally:
        site.files.settings(latency_ms=0)


def test_c17_c20_the_query_goes_to_the_endpoint_that_was_given(site, home):
    assert len(bay(site, home, query={"eo:cloud_cover": {"lt": 10}})) == 1
    assert any((seen.parameters.get("query") or {}) == {"eo:cloud_cover": {"lt": 10}} for seen in site.api.seen)


def test_c21_c22_urls_are_rewritten_and_the_backend_reads_them(site, home):
    backend = Counting()
    config = {"provider": "aws", "url_patterns": {f"{site.files.url}/": site.files.directory.as_uri() + "/"}}
    built = bay(site, home, cloud_config=config, backend=backend)
    assert len(built) == 2
    assert backend.read
    assert all(url.startswith(("file:", str(site.files.directory))) for url in backend.read)


def test_c25_the_usage_example(site, home, capsys):
    """(net) As printed; only `stac_api` leads to the local server."""
    collection = rasteret.build(
        "earthsearch/sentinel-2-l2a",
        name="bay-area-2024",
        bbox=(-122.5, 37.5, -122.0, 38.0),
        date_range=("2024-01-01", "2024-03-31"),
        stac_api=site.url,
    )
    print(f"Built collection with {len(collection)} scenes")
    assert "2 scenes" in capsys.readouterr().out
    collection = rasteret.build(
        "earthsearch/sentinel-2-l2a",
        name="bay-area-clear",
        bbox=(-122.5, 37.5, -122.0, 38.0),
        date_range=("2024-01-01", "2024-03-31"),
        query={"eo:cloud_cover": {"lt": 10}},
        force=True,
        stac_api=site.url,
    )
    assert len(collection) == 1
