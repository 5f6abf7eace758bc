"""One declaration says what an argument means, in SQL's pages and in Python's docstrings."""

from __future__ import annotations

import inspect
import re

import pytest

import rasteret_sql
from rasteret_sql.functions.docstrings import Twin, with_arguments
from rasteret_sql.functions.document import TWINS
from rasteret_sql.functions.registry import DECLARED

PUBLIC = {
    **{
        name: getattr(rasteret_sql, name)
        for name in ("build", "build_from_files", "build_from_stac", "build_from_table", "load")
    },
    **{name: getattr(rasteret_sql, name) for name in ("create_backend", "register", "register_local")},
    "append": rasteret_sql.Collection.append,
    "refresh": rasteret_sql.Collection.refresh,
}
FIRST = {
    "build": "bbox: area in lon/lat: [west, south, east, north], or a geometry's bounds.",
    "load": "name: name of the collection; the one kept in the index by default.",
    "append": "bbox: where the new scenes are; as in the build.",
    "refresh": "stac_api: address of the source, if it has moved; that of the build by default.",
    "create_backend": "headers: sent to STAC APIs, and to web servers that are not a cloud's bucket, to sign in:",
    "register": "descriptor: fields of the dataset, with the names that rasteret_datasets() shows;",
    "register_local": "dataset_id: id of the dataset, such as local/my-collection.",
}


def test_all_of_them_have_their_words_from_a_declaration():
    assert {name for twins in TWINS.values() for name in twins} == set(PUBLIC)


@pytest.mark.parametrize("name", FIRST)
def test_the_words_stand_in_the_docstring(name):
    assert FIRST[name] in re.sub(r"\s+", " ", inspect.getdoc(PUBLIC[name]))


READS = {
    name: getattr(rasteret_sql.Collection, name) for name in ("get_gdf", "get_numpy", "get_xarray", "sample_points")
}
READS |= {f"{name}_async": getattr(rasteret_sql.Collection, f"{name}_async") for name in READS}
"""Reads of a collection share arguments, which are declared once."""


@pytest.mark.parametrize("name", [*PUBLIC, *READS])
def test_every_parameter_is_in_the_docstring(name):
    call = (PUBLIC | READS)[name]
    parameters = [one for one in inspect.signature(call).parameters if one != "self"]
    section = inspect.getdoc(call).partition("Args:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^    [*]*(\w+): ", section, re.MULTILINE) == parameters


def test_shared_arguments_of_reads_have_the_words_of_sql():
    (words,) = (one.doc for one in DECLARED["read_chip"].arguments if one.name == "dilate")
    said = [re.sub(r"\s+", " ", inspect.getdoc(call)) for call in READS.values()]
    assert [words in text for text in said] == [True] * len(READS)
    assert "scaled: True: values in units, by scale and offset; False (default): as stored." in said[0]


HEADERS = "sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept"
WRITTEN = '''
def refresh(self, *, stac_api=None, backend=None, headers=None):
    """Ask again."""


def other(backend=None):
    """Ask others."""


class Collection:
    def append(self, *, bbox=None, backend=None):
        """Add scenes.

        They are new.

        Args:
            backend: mine, which is long enough to be written in two lines and so it is written in two lines and
                not in one.
            bbox: old words
                in two lines. In Python a tuple, too.

        Returns:
            Itself.
        """
'''
MADE = f'''
def refresh(self, *, stac_api=None, backend=None, headers=None):
    """Ask again.

    Args:
        stac_api: address of the source, if it has moved; that of the build by default.
        headers: {HEADERS}.
    """


def other(backend=None):
    """Ask others."""


class Collection:
    def append(self, *, bbox=None, backend=None):
        """Add scenes.

        They are new.

        Args:
            bbox: where the new scenes are; as in the build. In Python a tuple, too.
            backend: mine, which is long enough to be written in two lines and so it is written in two lines and not in
                one.

        Returns:
            Itself.
        """
'''


def test_docstrings_are_made_anew_but_for_words_of_their_own():
    own = frozenset({"backend"})
    twins = {name: Twin(DECLARED[f"rasteret_{name}"], own) for name in ("append", "refresh")}
    assert with_arguments(WRITTEN, twins) == MADE
    assert with_arguments(MADE, twins) == MADE


def test_constants_are_those_of_python():
    (force,) = Twin(DECLARED["rasteret_build"]).docs(["force", "no_such"]).values()
    assert force.startswith("True: build again")
