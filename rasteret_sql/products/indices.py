"""Knows the spectral indices by name: formulas of the package spyndex 0.12 (MIT licence, beside the data).

`translate_indices.py` made the data. Letters of bands are spyndex's: N is near infrared, R red, S1 and S2 short wave
infrared, VV and VH radar. Case counts in names of indices: BAI and BaI are two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from rasteret_sql.errors import InvalidArgumentError, name_meant
from rasteret_sql.expr.tree import Call, Column, Literal, Node, renamed
from rasteret_sql.products.common_names import wavelength

LETTERS: dict[str, tuple[str, ...]] = {
    "A": ("coastal",),
    "B": ("blue",),
    "G": ("green",),
    "G1": ("green05",),
    "Y": ("yellow",),
    "R": ("red",),
    "RE1": ("rededge071", "rededge"),
    "RE2": ("rededge075",),
    "RE3": ("rededge078",),
    "N": ("nir", "nir08"),
    "N2": ("nir08",),
    "S1": ("swir16",),
    "S2": ("swir22",),
    "T": ("lwir", "lwir11"),
    "T1": ("lwir11",),
    "T2": ("lwir12",),
    "VV": ("VV", "vv"),
    "VH": ("VH", "vh"),
    "HH": ("HH", "hh"),
    "HV": ("HV", "hv"),
}
"""Letter of a band → common names that it has, the first that is there; of radar its own names."""
_WAVELENGTH = "lambda"
"""Constants that begin so are wavelengths of bands."""


@dataclass(frozen=True, slots=True)
class SpectralIndex:
    """A spectral index."""

    name: str
    long_name: str
    domain: str
    """vegetation, water, burn, snow, soil, urban, kernel, radar."""
    formula: str
    """As spyndex has it."""
    bands: tuple[str, ...]
    """Letters of its bands, and constants that have no value by default."""
    reference: str
    node: Node
    """Its columns are these letters and constants."""

    def missing(self, names: Mapping[str, str], product: str) -> list[str]:
        """Letters and constants that a collection does not have.

        Args:
            names: common name → band.
            product: of `product_of`.
        """
        return [letter for letter in self.bands if _meaning(letter, names, product) is None]

    def of(self, names: Mapping[str, str], product: str, where: str) -> Node:
        """The index by the names of a collection's bands.

        Args:
            names: common name → band.
            product: of `product_of`.
            where: the collection, for messages.

        Raises:
            InvalidArgumentError: it lacks a band.
        """
        lacking = self.missing(names, product)
        if lacking:
            words = ", ".join(f"{letter} ({' or '.join(LETTERS.get(letter, ('a constant',)))})" for letter in lacking)
            raise InvalidArgumentError(
                f"the index {self.name} = {self.formula} cannot be computed in {where}, which lacks {words}; write an "
                "expression over the bands that it has"
            )
        return renamed(self.node, {letter: _needed(letter, names, product) for letter in self.bands})


def _needed(letter: str, names: Mapping[str, str], product: str) -> Node:
    found = _meaning(letter, names, product)
    assert found is not None  # `missing` was asked
    return found


def _meaning(letter: str, names: Mapping[str, str], product: str) -> Node | None:
    """The band or the number of a letter in a collection; None where it has none."""
    if letter.startswith(_WAVELENGTH):
        length = wavelength(product, letter.removeprefix(_WAVELENGTH))
        return None if length is None else Literal(length)
    band = next((names[name] for name in LETTERS.get(letter, ()) if name in names), None)
    return None if band is None else Column(band)


@cache
def indices() -> dict[str, SpectralIndex]:
    """All indices by name."""
    text = (resources.files("rasteret_sql.products") / "data" / "indices.json").read_text("utf-8")
    return {one["name"]: _index(one) for one in json.loads(text)}


def index_meant(name: str) -> SpectralIndex | None:
    """The index of a name: exactly, else the only one that differs from it in case; None where there is none."""
    meant = name_meant(name, indices())
    return None if meant is None else indices()[meant]


def _index(one: Mapping[str, Any]) -> SpectralIndex:
    known: dict[str, Node] = {}

    def node(tree: Any) -> Node:
        made: Node
        if isinstance(tree, list):
            made = Call(tree[0], tuple(map(node, tree[1:])))
        else:
            made = Column(tree) if isinstance(tree, str) else Literal(tree)
        return known.setdefault(repr(made), made)  # equal parts are one object, and computed once

    return SpectralIndex(
        one["name"],
        one["long_name"],
        one["domain"],
        one["formula"],
        tuple(one["bands"]),
        one["reference"],
        node(one["tree"]),
    )
