"""Errors of every kind are renamed, pickled and handed through SQL as what they are."""

from __future__ import annotations

import importlib
import pickle
import pkgutil

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.engine import call
from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, RasteretError, did_you_mean
from rasteret_sql.reading.options import require_one_of
from tests.sampling import some
from tests.servers.stac_api import Faults, StacApiServer
from tests.stac.stac_items import make_item

EXTRAS = {"bokeh", "dbt", "pyspark", "torch", "torchgeo", "tornado"}
"""Packages without which modules cannot be imported that work for them alone."""


def leaves():
    for module in pkgutil.walk_packages(rasteret_sql.__path__, "rasteret_sql."):
        if module.name.endswith(".__main__"):  # a program
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            assert (missing.name or "").partition(".")[0] in EXTRAS, module.name
    found, todo = [], [RasteretError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo += kind.__subclasses__()
    return sorted(
        (kind for kind in found if kind.__module__.startswith("rasteret_sql")), key=lambda kind: kind.__name__
    )


class AskingError(RasteretError):
    """One whose constructor asks for more than a message."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def made(kind):
    asked = {"AskingError": (400,), "BrokenCredentialsError": ("what to do",)}.get(kind.__name__, ())
    error = kind("what was said", *asked)
    error.note_of_test = {"kept": 1}
    return error


KINDS = [*leaves(), AskingError]


def test_all_kinds_are_looked_at():
    assert {"RefusedError", "FileChangedError", "UnsupportedTiffError", "InvalidArgumentError"} <= {
        kind.__name__ for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_retold_and_pickled_with_all_that_it_carries(kind):
    error = made(kind)
    for same, says in ((error.retold("here: what was said"), "here: what was said"), (error, str(error))):
        for one in (same, pickle.loads(pickle.dumps(same))):
            assert type(one) is kind
            assert str(one) == says
            assert one.note_of_test == {"kept": 1}
            assert getattr(one, "status", None) == getattr(error, "status", None)


class _Job:
    def describe(self):
        return "band B04"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_a_job_keeps_its_cause(kind):
    error = made(kind)
    named = call._of_job(error, _Job())
    assert (type(named), str(named), named.__cause__) == (kind, f"band B04: {error}", error)
    assert named.note_of_test == {"kept": 1}


@pytest.mark.parametrize("kind", some([kind for kind in KINDS if kind is not InterruptedQueryError], 4))
def test_an_error_crosses_sql_with_its_message(kind, monkeypatch, tmp_path):
    def fails(*_):
        raise made(kind)

    monkeypatch.setattr("rasteret_sql.stac.search.iter_pages", fails)
    with rasteret_sql.connect(workspace_dir=tmp_path) as con, pytest.raises(duckdb.Error) as caught:
        con.execute("FROM rasteret_stac_search('https://host.invalid')").fetchall()
    assert "what was said" in str(caught.value)
    assert kind.__name__ in str(caught.value)
    assert "TypeError" not in str(caught.value).replace(kind.__name__, "")


@pytest.mark.parametrize("status", some([400, 405, 409, 415, 422, 501], 6))
@pytest.mark.parametrize(
    "sql", ["FROM rasteret_stac_search($1)", "FROM rasteret_build_from_stac('x', $1, collection := 'demo')"]
)
def test_a_refusal_of_a_stac_server_says_so_in_sql(status, sql, tmp_path):
    faults = Faults(status, 99, '{"description": "no such field"}')
    with (
        StacApiServer([make_item("a", collection="demo")], faults=faults) as api,
        rasteret_sql.connect(workspace_dir=tmp_path) as con,
        pytest.raises(duckdb.Error) as caught,
    ):
        con.execute(sql, [api.url]).fetchall()
    assert f'refused the request with status {status} ("no such field")' in str(caught.value)
    assert "TypeError" not in str(caught.value)


@pytest.mark.parametrize("call", ["FROM rasteret_refresh('bay')", "FROM rasteret_load('bay')"])
def test_an_unknown_name_where_there_are_none_is_said_in_whole_sentences(tmp_path, call):
    with rasteret_sql.connect(workspace_dir=tmp_path) as con, pytest.raises(duckdb.Error) as failed:
        con.execute(call).fetchall()
    assert "There are none. " in str(failed.value)


def test_of_names_that_are_as_near_the_first_is_suggested():
    assert did_you_mean("band", ["band_1", "band_2"]) == 'did you mean "band_1"? Known: band_1, band_2'
    assert did_you_mean("band_22", ["band_1", "band_2"]).startswith('did you mean "band_2"?')
    assert did_you_mean("x", ["band_1"]) == "Known: band_1"


@pytest.mark.parametrize(
    ("given", "known", "meant"),
    [
        ("avg", ("count", "mean", "max"), "mean"),
        ("mean", ("nearest", "average", "max"), "average"),
        ("linear", ("nearest", "bilinear"), "bilinear"),
        ("std", ("stddev", "stddev_pop"), "stddev"),
        ("skip", ("raise", "null"), "null"),
        ("months", ("day", "month"), "month"),
        ("crs", ("geometry_crs", "target_crs"), "target_crs"),
        ("crs", ("points", "geometry_crs"), "geometry_crs"),
        ("res", ("progress", "resolution"), "resolution"),
    ],
)
def test_words_of_other_tools_are_understood(given, known, meant):
    assert did_you_mean(given, known).startswith(f'did you mean "{meant}"? ')
    with pytest.raises(InvalidArgumentError, match=f"{given}' cannot be used; did you mean '{meant}'\\? Expected"):
        require_one_of("method", given, known)


def test_a_word_that_is_like_none_is_no_suggestion():
    with pytest.raises(
        InvalidArgumentError, match="method := 'best' cannot be used; expected one of first, last, mean"
    ):
        require_one_of("method", "best", ("first", "last", "mean"))
    require_one_of("method", "mean", ("first", "last", "mean"))
